//! The run: from a claim to the exit of one attempt.

use super::Share;
use super::breaker::Admission;
use super::claim::Claimed;
use crate::exit::Exit;
use crate::message::{AttributeValue, Message};
use crate::plugins::Plugin;
use crate::plugins::manifest::OnExpired;
use crate::queue::Outgoing;
use crate::sandbox::{Job, OutboxMessage, Report};

/// Runs one attempt, if nothing speaks against it, and sends its outbox.
pub async fn run(share: &Share<'_>, message: &Message, plugin: &Plugin, claim: &Claimed) -> Exit {
    if let Some(exit) = refusal(share, plugin, claim) {
        return exit;
    }
    let attempt = attempt(share, message, plugin, claim);
    let report = tokio::select! {
        biased;
        () = share.lease.lost().cancelled() => return Exit::LeaseLost,
        () = share.services.interrupt.cancelled() => return Exit::Interrupted,
        report = attempt => report,
    };
    match report {
        Err(exit) => exit,
        Ok(Report { exit, outbox, .. }) => match send_outbox(share, outbox).await {
            Ok(()) => exit,
            Err(reason) => Exit::Outbox { reason },
        },
    }
}

/// What speaks against a run before it starts.
fn refusal(share: &Share<'_>, plugin: &Plugin, claim: &Claimed) -> Option<Exit> {
    let (services, manifest, fresh) = (share.services, &plugin.manifest, &claim.fresh);
    if fresh.crashes >= services.limits.max_crashes || fresh.attempt > manifest.retry.max_attempts {
        return Some(Exit::HostCrash { crashes: fresh.crashes });
    }
    if manifest.max_age.is_some_and(|max_age| share.age() > max_age) {
        return Some(Exit::Expired { discard: manifest.on_expired == OnExpired::Discard });
    }
    match services.breakers.admit(&manifest.name, services.clock.now()) {
        Admission::Run => None,
        Admission::Wait { dependency, remaining } => Some(Exit::BreakerOpen { dependency, remaining }),
    }
}

/// Waits for its permits and runs the handler.
async fn attempt(share: &Share<'_>, message: &Message, plugin: &Plugin, claim: &Claimed) -> Result<Report, Exit> {
    let services = share.services;
    let permits = services.permits.acquire(plugin);
    let Ok(_permits) = tokio::time::timeout(services.limits.permit_wait, permits).await else {
        return Err(Exit::NoPermit);
    };
    let sent_to_start = share.age();
    let job = Job {
        policy: plugin.policy.clone(),
        message: message.clone(),
        message_id: share.delivery.message_id.clone(),
        sent_at: share.delivery.sent_at,
        attempt: claim.fresh.attempt,
        key: claim.key,
        fence: claim.fresh.fence,
        ledger: services.ledger.clone(),
    };
    let report = services.sandbox.run(&plugin.handler, job).await;
    services.stats.ran(&message.kind.0, &plugin.manifest.name, report.elapsed, sent_to_start);
    Ok(report)
}

/// Sends what the handler left in its outbox, before its completion is recorded: a twin of a message sent twice has the
/// same key, and is a duplicate at its consumer.
async fn send_outbox(share: &Share<'_>, outbox: Vec<OutboxMessage>) -> Result<(), String> {
    for message in outbox {
        let queue = match message.queue.as_str() {
            "" => &share.lane.queue,
            name => share.services.outlets.get(name).ok_or_else(|| {
                format!("the outbox names the queue `{name}`, which is not in the config; add [queues.{name}]")
            })?,
        };
        let answers = queue.send(&[outgoing(message, queue.name().ends_with(".fifo"))]).await;
        if let Some(error) = answers.into_iter().find_map(Result::err) {
            return Err(format!("cannot send to {}: {error}", queue.name()));
        }
    }
    Ok(())
}

fn outgoing(message: OutboxMessage, fifo: bool) -> Outgoing {
    let mut attributes = message.attributes;
    attributes.insert(super::decode::TYPE_ATTRIBUTE.into(), AttributeValue::string(message.kind));
    attributes.insert(crate::dlq::OWN_KEY_ATTRIBUTE.into(), AttributeValue::string(message.key.clone()));
    Outgoing {
        body: message.body,
        attributes,
        delay_s: message.delay_s,
        group: message.group.or_else(|| fifo.then(|| "wasq".to_owned())),
        deduplication_id: fifo.then_some(message.key),
    }
}
