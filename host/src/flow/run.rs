//! The run: from a claim to the exit of one attempt.

use std::sync::Arc;

use super::claim::{Claimed, age};
use super::{Lane, Services, breaker::Admission};
use crate::exit::Exit;
use crate::lease::Lease;
use crate::message::{Delivery, Message};
use crate::plugins::Plugin;
use crate::plugins::manifest::OnExpired;
use crate::sandbox::{Job, Report};
use crate::stats::Observation;

/// Runs one attempt, if nothing speaks against it, and sends its outbox.
pub async fn run(
    services: &Services,
    lane: &Lane,
    delivery: &Delivery,
    lease: &Lease,
    message: &Message,
    plugin: &Plugin,
    claim: &Claimed,
) -> Exit {
    let fresh = &claim.fresh;
    let manifest = &plugin.manifest;
    if fresh.crashes >= services.limits.max_crashes || fresh.attempt > manifest.retry.max_attempts {
        return Exit::HostCrash { crashes: fresh.crashes };
    }
    let waited = age(services.clock.unix_ms(), delivery.sent_at);
    if manifest.max_age.is_some_and(|max_age| waited > max_age) {
        return Exit::Expired { discard: manifest.on_expired == OnExpired::Discard };
    }
    if let Admission::Wait { dependency, remaining } = services.breakers.admit(&manifest.name, services.clock.now()) {
        return Exit::BreakerOpen { dependency, remaining };
    }
    let job = Job {
        policy: plugin.policy.clone(),
        message: message.clone(),
        message_id: delivery.message_id.clone(),
        sent_at: delivery.sent_at,
        attempt: fresh.attempt,
        key: claim.key,
        fence: fresh.fence,
        ledger: services.ledger.clone(),
    };
    let attempt = async {
        let permits = async { (plugin.permits.acquire().await, services.sandbox.room().await) };
        let Ok(_permits) = tokio::time::timeout(services.limits.permit_wait, permits).await else {
            return Err(Exit::NoPermit);
        };
        let sent_to_start = age(services.clock.unix_ms(), delivery.sent_at);
        let report = services.sandbox.run(&plugin.handler, job).await;
        services.stats.observe(&Observation {
            kind: &message.kind.0,
            plugin: &manifest.name,
            class: "run",
            dead_lettered: false,
            delayed: false,
            run: Some((report.elapsed, sent_to_start)),
            sent_to_done: None,
        });
        Ok(report)
    };
    let Report { exit, outbox, .. } = tokio::select! {
        biased;
        () = lease.lost().cancelled() => return Exit::LeaseLost,
        () = services.interrupt.cancelled() => return Exit::Interrupted,
        report = attempt => match report {
            Ok(report) => report,
            Err(exit) => return exit,
        },
    };
    match send_outbox(services, lane, outbox).await {
        Ok(()) => exit,
        Err(reason) => Exit::Outbox { reason },
    }
}

/// Sends what the handler left in its outbox, before its completion is recorded: a twin of a message sent twice has the
/// same key, and is a duplicate at its consumer.
async fn send_outbox(
    services: &Services,
    lane: &Lane,
    outbox: Vec<crate::sandbox::OutboxMessage>,
) -> Result<(), String> {
    for message in outbox {
        let queue: &Arc<dyn crate::queue::Queue> = match message.queue.as_str() {
            "" => &lane.queue,
            name => services.outlets.get(name).ok_or_else(|| {
                format!("the outbox names the queue `{name}`, which is not in the config; add [queues.{name}]")
            })?,
        };
        let name = queue.name().to_owned();
        let answers = queue.send(&[outgoing(message, name.ends_with(".fifo"))]).await;
        if let Some(error) = answers.into_iter().find_map(Result::err) {
            return Err(format!("cannot send to {name}: {error}"));
        }
    }
    Ok(())
}

fn outgoing(message: crate::sandbox::OutboxMessage, fifo: bool) -> crate::queue::Outgoing {
    use crate::message::AttributeValue;
    let mut attributes = message.attributes;
    attributes.insert(super::decode::TYPE_ATTRIBUTE.into(), AttributeValue::string(message.kind));
    attributes.insert(crate::dlq::OWN_KEY_ATTRIBUTE.into(), AttributeValue::string(message.key.clone()));
    crate::queue::Outgoing {
        body: message.body,
        attributes,
        delay_s: message.delay_s,
        group: message.group.or_else(|| fifo.then(|| "wasq".to_owned())),
        deduplication_id: fifo.then_some(message.key),
    }
}
