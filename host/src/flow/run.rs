//! The run: from a claim to the exit of one attempt.

use std::sync::Arc;

use wasq_core::clock;
use wasq_core::message::Message;

use super::claim::{Claimed, Ran, Recorded};
use super::joining::join_groups;
use super::outbox::{self, Finished, SendError};
use super::pace::{self, Paced};
use super::pending::{self, Pending};
use super::plugin_attempt::PluginAttempt;
use super::rate_limit;
use super::wait::parking;
use crate::admission::breaker::Admitted;
use crate::admission::permits::Needs;
use crate::config::OnExhausted;
use crate::exit::Exit;
use crate::plugins::Plugin;
use crate::plugins::manifest::OnExpired;
use crate::sandbox::{Job, RunReport};
use crate::telemetry::stats::Line;

/// Runs one attempt, if nothing speaks against it, and sends its outbox. Where an earlier attempt
/// has left something to be sent, its outbox or its dead letter, nothing is run. With the exit of a
/// run that was admitted comes what tells the breakers of it.
pub async fn run<'a>(
    plugin_attempt: &PluginAttempt<'a>,
    message: &Arc<Message>,
    plugin: &'a Plugin,
    claim: &mut Claimed,
    paced: Option<Box<Paced>>,
) -> (Exit, Option<Admitted<'a>>) {
    match owed(plugin_attempt, claim).await {
        Err(exit) => return (exit, None),
        Ok(Some(finished)) => return (send(plugin_attempt, claim, finished).await, None),
        Ok(None) => {}
    }
    match admit(plugin_attempt, message, plugin, claim) {
        Err(exit) => (exit, None),
        Ok(admitted) => (run_admitted(plugin_attempt, message, plugin, claim, paced).await, Some(admitted)),
    }
}

/// What is left of an earlier attempt to be sent, or why nothing is run now.
async fn owed(plugin_attempt: &PluginAttempt<'_>, claim: &mut Claimed) -> Result<Option<Finished>, Exit> {
    match pending::load(plugin_attempt, claim).await? {
        Some(Pending::Outbox(finished)) => return Ok(Some(finished)),
        Some(Pending::Letter(letter)) => {
            let exit = Exit::Verdict { class: letter.class.clone(), reason: letter.reason.clone() };
            claim.verdict = Some(letter);
            return Err(exit);
        }
        None => {}
    }
    match pending::backing_off(plugin_attempt, claim).await? {
        Some(remaining) => Err(Exit::BackingOff { remaining }),
        None => Ok(None),
    }
}

async fn run_admitted(
    plugin_attempt: &PluginAttempt<'_>,
    message: &Arc<Message>,
    plugin: &Plugin,
    claim: &mut Claimed,
    paced: Option<Box<Paced>>,
) -> Exit {
    let attempt = attempt(plugin_attempt, message, plugin, claim, paced);
    let report = tokio::select! {
        biased;
        () = plugin_attempt.lease.lost().cancelled() => return Exit::LeaseLost,
        () = plugin_attempt.services.interrupt.cancelled() => return Exit::Interrupted,
        report = attempt => report,
    };
    let (RunReport { exit, outbox, usage }, line) = match report {
        Err(exit) => return exit,
        Ok(ran) => ran,
    };
    claim.ran = Some(Ran { usage, line });
    match exit {
        Exit::Done { result } if !outbox.is_empty() => {
            let finished = Finished { result, messages: outbox };
            keep_and_send(plugin_attempt, claim, finished).await.unwrap_or_else(|exit| exit)
        }
        exit => exit,
    }
}

async fn keep_and_send(
    plugin_attempt: &PluginAttempt<'_>,
    claim: &mut Claimed,
    finished: Finished,
) -> Result<Exit, Exit> {
    claim_late(plugin_attempt, claim).await?;
    pending::keep_outbox(plugin_attempt, claim, &finished).await?;
    Ok(send(plugin_attempt, claim, finished).await)
}

/// Makes the claim that an attempt did without so far, for what has to be recorded under one. Where
/// another delivery has left something to be sent since this one began, that counts, and its exit
/// is the answer.
pub async fn claim_late(plugin_attempt: &PluginAttempt<'_>, claim: &mut Claimed) -> Result<(), Exit> {
    if claim.recorded != Recorded::Completion {
        return Ok(());
    }
    claim.make(plugin_attempt).await?;
    match owed(plugin_attempt, claim).await? {
        Some(finished) => Err(send(plugin_attempt, claim, finished).await),
        None => Ok(()),
    }
}

async fn send(plugin_attempt: &PluginAttempt<'_>, claim: &Claimed, finished: Finished) -> Exit {
    let Finished { result, mut messages } = finished;
    let sent = async {
        if messages.iter().any(|message| message.part.is_some()) {
            messages = Box::pin(join_groups(plugin_attempt, claim.key, messages)).await?;
        }
        outbox::send(plugin_attempt, messages).await
    };
    match sent.await {
        Ok(()) => Exit::Done { result },
        Err(SendError::Failed(reason)) => Exit::Outbox { reason },
        Err(SendError::Refused(reason)) => Exit::Reject { reason },
        Err(SendError::Ledger(error)) => pending::exit_of(plugin_attempt, error),
        // As for any dependency that is down: it waits, and no attempt is counted.
        Err(SendError::NotOpen { queue, reason }) => {
            Exit::Unavailable { dependency: format!("queue {queue}"), reason, after: None }
        }
    }
}

/// Lets a run start, or says what speaks against it.
fn admit<'a>(
    plugin_attempt: &PluginAttempt<'a>,
    message: &Message,
    plugin: &'a Plugin,
    claim: &Claimed,
) -> Result<Admitted<'a>, Exit> {
    let (services, manifest, fresh) = (plugin_attempt.services, &plugin.manifest, &claim.fresh);
    // A message that is received for the tenth time may have waited nine times.
    let exhausted = claim.is_recorded()
        && fresh.attempt > manifest.retry.max_attempts
        && plugin_attempt.runtime.config.on_exhausted == OnExhausted::DeadLetter;
    if fresh.crashes >= services.limits.max_crashes || exhausted {
        return Err(Exit::HostCrash { crashes: fresh.crashes });
    }
    if manifest.max_age.is_some_and(|max_age| plugin_attempt.age() > max_age) {
        return Err(Exit::Expired { discard: manifest.on_expired == OnExpired::Discard });
    }
    let scope = rate_limit::breaker_scope(services, message, plugin);
    let admitted = services.breakers.admit(scope, services.clock.now());
    admitted.map_err(|refused| Exit::BreakerOpen { dependency: refused.dependency, remaining: refused.remaining })
}

/// Waits for its permits and runs the handler. With the report comes the line of the statistics.
async fn attempt(
    plugin_attempt: &PluginAttempt<'_>,
    message: &Arc<Message>,
    plugin: &Plugin,
    claim: &Claimed,
    paced: Option<Box<Paced>>,
) -> Result<(RunReport, Arc<Line>), Exit> {
    let (services, manifest) = (plugin_attempt.services, &plugin.manifest);
    let fleet = services.fleet_pools.of(&manifest.pools);
    for pool in fleet.iter().filter(|pool| pool.is_used_up()) {
        plugin_attempt.runtime.meters.limited(format!("pool:{}", pool.name()), clock::now());
    }
    let permits = async {
        match plugin.is_paced() {
            false => {
                let queue = plugin_attempt.runtime.number;
                Ok(services.permits.acquire(Needs { fleet: &fleet, queue, ..plugin.into() }).await)
            }
            true => Box::pin(pace::permits(plugin_attempt, message, plugin, &fleet, paced)).await,
        }
    };
    let Ok(permits) = tokio::time::timeout(services.limits.permit_wait, permits).await else {
        plugin_attempt.runtime.limit.refused();
        // A host that ends leaves nothing hidden that another one could run.
        return Err(if services.health.is_draining() { Exit::Interrupted } else { Exit::NoPermit });
    };
    let permits = permits?;
    // A host that stood still has not heard yet that its lease is over.
    if plugin_attempt.lease.is_over() {
        return Err(Exit::LeaseLost);
    }
    plugin_attempt.lease.start();
    let started_at = services.clock.unix_ms();
    let sent_to_start = started_at.since(plugin_attempt.delivery.sent_at);
    let name = &manifest.name;
    let line = services.stats.line(&message.kind.0, name);
    let job = Job {
        policy: plugin.policy.clone(),
        message: message.clone(),
        message_id: plugin_attempt.delivery.message_id.clone(),
        sent_at: plugin_attempt.delivery.sent_at,
        started_at,
        attempt: claim.fresh.attempt,
        key: claim.key,
        fence: claim.fresh.fence,
        ledger: services.ledger.clone(),
        parking: if plugin.handler.may_wait() { parking(plugin_attempt) } else { None },
        groups: services.groups.clone(),
        destinations: plugin_attempt.destinations(),
        span: plugin_attempt.span.clone(),
        line: line.clone(),
    };
    let timed = plugin_attempt.runtime.limit.start(name);
    let report = services.sandbox.run(&plugin.handler, job, permits).await;
    if let Some(timed) = timed {
        timed.ended(&report.exit);
    }
    line.ran(claim.fresh.attempt, &report.usage, sent_to_start);
    if let Some(template) = &manifest.cost_key {
        let key = template.render_plain(&message.body, &message.attributes);
        services.stats.keys(name, services.limits.cost_keys).ran(key, &report.usage, sent_to_start);
    }
    Ok((report, line))
}
