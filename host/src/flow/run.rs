//! The run: from a claim to the exit of one attempt.

use std::sync::Arc;

use super::Share;
use super::breaker::Admitted;
use super::claim::Claimed;
use super::outbox::{self, Finished};
use crate::config::OnExhausted;
use crate::exit::Exit;
use crate::message::Message;
use crate::plugins::Plugin;
use crate::plugins::manifest::OnExpired;
use crate::sandbox::{Job, Report};

/// Runs one attempt, if nothing speaks against it, and sends its outbox. Where an earlier attempt succeeded and died over its
/// outbox, nothing is run: what is left is sent. With the exit of a run that was admitted comes what tells the breakers of it.
pub async fn run<'a>(
    share: &Share<'a>,
    message: &Arc<Message>,
    plugin: &'a Plugin,
    claim: &Claimed,
) -> (Exit, Option<Admitted<'a>>) {
    match outbox::left_behind(share, claim).await {
        Err(exit) => return (exit, None),
        Ok(Some(finished)) => return (send(share, finished).await, None),
        Ok(None) => {}
    }
    match admit(share, plugin, claim) {
        Err(exit) => (exit, None),
        Ok(admitted) => (run_admitted(share, message, plugin, claim).await, Some(admitted)),
    }
}

async fn run_admitted(share: &Share<'_>, message: &Arc<Message>, plugin: &Plugin, claim: &Claimed) -> Exit {
    let attempt = attempt(share, message, plugin, claim);
    let report = tokio::select! {
        biased;
        () = share.lease.lost().cancelled() => return Exit::LeaseLost,
        () = share.services.interrupt.cancelled() => return Exit::Interrupted,
        report = attempt => report,
    };
    match report {
        Err(exit) => exit,
        Ok(Report { exit: Exit::Done { result }, outbox, .. }) if !outbox.is_empty() => {
            let finished = Finished { result, messages: outbox };
            match outbox::keep(share, claim, &finished).await {
                Ok(()) => send(share, finished).await,
                Err(exit) => exit,
            }
        }
        Ok(Report { exit, .. }) => exit,
    }
}

async fn send(share: &Share<'_>, finished: Finished) -> Exit {
    match outbox::send(share, finished.messages).await {
        Ok(()) => Exit::Done { result: finished.result },
        Err(reason) => Exit::Outbox { reason },
    }
}

/// Lets a run start, or says what speaks against it.
fn admit<'a>(share: &Share<'a>, plugin: &'a Plugin, claim: &Claimed) -> Result<Admitted<'a>, Exit> {
    let (services, manifest, fresh) = (share.services, &plugin.manifest, &claim.fresh);
    let exhausted =
        fresh.attempt > manifest.retry.max_attempts && share.lane.config.on_exhausted == OnExhausted::DeadLetter;
    if fresh.crashes >= services.limits.max_crashes || exhausted {
        return Err(Exit::HostCrash { crashes: fresh.crashes });
    }
    if manifest.max_age.is_some_and(|max_age| share.age() > max_age) {
        return Err(Exit::Expired { discard: manifest.on_expired == OnExpired::Discard });
    }
    let admitted = services.breakers.admit(&manifest.name, services.clock.now());
    admitted.map_err(|refused| Exit::BreakerOpen { dependency: refused.dependency, remaining: refused.remaining })
}

/// Waits for its permits and runs the handler.
async fn attempt(share: &Share<'_>, message: &Arc<Message>, plugin: &Plugin, claim: &Claimed) -> Result<Report, Exit> {
    let services = share.services;
    let permits = services.permits.acquire(plugin);
    let Ok(permits) = tokio::time::timeout(services.limits.permit_wait, permits).await else {
        return Err(Exit::NoPermit);
    };
    // A host that stood still has not heard yet that its lease is over.
    if share.lease.is_over() {
        return Err(Exit::LeaseLost);
    }
    share.lease.start();
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
        span: share.span.clone(),
    };
    let report = services.sandbox.run(&plugin.handler, job, permits).await;
    services.stats.ran(&message.kind.0, &plugin.manifest.name, claim.fresh.attempt, &report, sent_to_start);
    Ok(report)
}
