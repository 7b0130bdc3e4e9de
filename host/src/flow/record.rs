//! The record: durable before the delivery is settled. Done before delete, dead letter before
//! delete.

use std::time::Duration;

use wasq_core::backoff::Backoff;
use wasq_core::message::KeySource;
use wasq_ledgers::{Completion, Finish, LedgerError};
use wasq_queues::QueueRules;

use super::claim::{Claimed, Ran, Recorded};
use super::decide::{HELD_BACK, QueueAction, Settlement, letter_wait};
use super::held_back::held_back;
use super::insist::insist;
use super::pending;
use super::plugin_attempt::{AttemptEnd, PluginAttempt};
use super::recent::{REASON_MAX_BYTES, RecentOutcome};
use super::wait::{cannot_hide, place_to_park};
use crate::admission::breaker::Admitted;
use crate::dlq::{self, Letter};
use crate::exit::Exit;
use crate::sandbox::text::sanitize;
use crate::telemetry::stats::End;
use crate::timers::parked::Why;
use crate::timers::schedules::outcome::{self, Outcome, schedule_of};

/// How often a dead letter is tried while the lease holds.
const TRIES: u32 = 5;
/// The wait between two tries.
const TRY_AGAIN: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));

/// Tells the breakers how the run went. The answer is when an unavailable dependency is probed
/// next.
pub fn feed_breakers(plugin_attempt: &PluginAttempt<'_>, admitted: Option<Admitted<'_>>, exit: &Exit) -> Duration {
    let Some(admitted) = admitted else { return Duration::ZERO };
    if let Exit::Done { .. } = exit {
        admitted.succeeded();
        return Duration::ZERO;
    }
    if let Exit::Unavailable { dependency, after, .. } = exit {
        return admitted.unavailable(dependency, *after, plugin_attempt.services.clock.now());
    }
    Duration::ZERO
}

/// Records an attempt's end. What could not be recorded is not settled: the message comes again.
pub async fn record(
    plugin_attempt: &PluginAttempt<'_>,
    claim: Option<Claimed>,
    exit: Exit,
    settlement: Settlement,
) -> AttemptEnd {
    let settlement = match (&settlement.ledger, &claim) {
        (Some(Finish::DeadLettered { .. }), claim) => {
            dead_letter(plugin_attempt, claim.as_ref(), &exit, settlement).await
        }
        (Some(_), Some(claim)) if claim.is_recorded() => {
            match hold_back(plugin_attempt, claim, &exit, &settlement).await {
                Ok(()) => finish_claim(plugin_attempt, claim, settlement).await,
                Err(error) => unrecorded(plugin_attempt, claim, &error),
            }
        }
        (Some(Finish::Done { .. }), Some(claim)) if claim.recorded == Recorded::Completion => {
            complete(plugin_attempt, claim, settlement).await
        }
        (Some(_) | None, _) => settlement,
    };
    let attempt = attempt(claim.as_ref());
    if let Some(claim) = &claim {
        plugin_attempt.lease.remove_claim(claim.key);
    }
    let ran = claim.as_ref().and_then(|claim| claim.ran.as_ref());
    observe(plugin_attempt, attempt, &exit, &settlement, ran);
    let own_key = plugin_attempt.message.filter(|message| message.key_source == KeySource::OwnKey);
    if let Some((schedule, tick)) = own_key.and_then(|message| schedule_of(&message.key)) {
        keep_outcome(plugin_attempt, schedule, tick, &exit, &settlement).await;
    }
    let to_hide = match settlement.queue {
        QueueAction::Hide(_) => held_back(plugin_attempt, &exit).map(Box::new),
        QueueAction::Delete | QueueAction::Leave => None,
    };
    AttemptEnd { exit, settlement, to_hide }
}

/// Says in the ledger what became of a schedule's message.
async fn keep_outcome(
    plugin_attempt: &PluginAttempt<'_>,
    schedule: &str,
    tick: &str,
    exit: &Exit,
    settlement: &Settlement,
) {
    let services = plugin_attempt.services;
    // A twin says nothing new.
    if let Exit::Duplicate { .. } = exit {
        return;
    }
    let outcome = Outcome {
        plugin: plugin_attempt.names().1.to_owned(),
        tick: tick.to_owned(),
        exit: exit.class().to_owned(),
        settlement: settlement.name().to_owned(),
        at: services.clock.unix_ms(),
        reason: sanitize(&exit.reason(), REASON_MAX_BYTES),
    };
    outcome::keep(&*services.ledger, &services.scope, schedule, &outcome).await;
}

/// Where another plugin's delay may bring the message back earlier, or its queue cannot hide it for
/// so long, the ledger keeps this one's.
async fn hold_back(
    plugin_attempt: &PluginAttempt<'_>,
    claim: &Claimed,
    exit: &Exit,
    settlement: &Settlement,
) -> Result<(), LedgerError> {
    let asked_for = exit.handler_failed().is_some() || matches!(exit, Exit::Outbox { .. });
    let may_come_early = |delay| {
        !plugin_attempt.is_only_plugin
            || (cannot_hide(plugin_attempt, delay) && place_to_park(plugin_attempt, Why::Waits).is_none())
    };
    match settlement.queue {
        QueueAction::Hide(delay) if asked_for && !delay.is_zero() && may_come_early(delay) => {
            pending::keep_not_before(plugin_attempt, claim, delay).await
        }
        QueueAction::Hide(_) | QueueAction::Delete | QueueAction::Leave => Ok(()),
    }
}

/// Records the verdict, sends the dead letter, then records that it was sent. If it cannot be sent,
/// the message stays in its queue, and whoever receives it next sends the letter, without a run.
async fn dead_letter(
    plugin_attempt: &PluginAttempt<'_>,
    claim: Option<&Claimed>,
    exit: &Exit,
    settlement: Settlement,
) -> Settlement {
    let letter = letter(plugin_attempt, claim, exit);
    let claim = claim.filter(|claim| claim.is_recorded());
    if let Some(claim) = claim {
        match keep_verdict(plugin_attempt, claim, &letter).await {
            // Nobody can read what stands there: the letter has to do without it.
            Ok(()) | Err(LedgerError::Damaged(_) | LedgerError::TooLarge(_)) => {}
            Err(error @ (LedgerError::Stale | LedgerError::Unavailable(_))) => {
                return unrecorded(plugin_attempt, claim, &error);
            }
        }
    }
    let (health, queue) = (&plugin_attempt.services.health, plugin_attempt.runtime.queue.name());
    if let Err(error) = send_letter(plugin_attempt, &letter).await {
        let class = letter.class.as_str();
        log_attempt!(error, plugin_attempt, letter.attempts, class, %error, "a message stays in its queue: its dead letter cannot be sent");
        health.letters_failing(queue, plugin_attempt.runtime.dlq.name(), &error.to_string());
        let delay = letter_wait(plugin_attempt.delivery.receive_count, fastrand::f64());
        let queue = QueueAction::Hide(delay);
        return match claim {
            Some(claim) => {
                let settlement = Settlement { ledger: Some(Finish::Released { ran: false }), queue };
                finish_claim(plugin_attempt, claim, settlement).await
            }
            None => Settlement::unrecorded(queue),
        };
    }
    health.letters_sent(queue);
    let Some(claim) = claim else { return settlement };
    match tell(plugin_attempt, claim, settlement.ledger.as_ref()).await {
        Ok(()) | Err(LedgerError::Damaged(_) | LedgerError::TooLarge(_)) => settlement,
        Err(error @ (LedgerError::Stale | LedgerError::Unavailable(_))) => unrecorded(plugin_attempt, claim, &error),
    }
}

/// From here on no handler runs for the message. A letter cannot be taken back either, so this also
/// asks whether another delivery has the message by now.
async fn keep_verdict(plugin_attempt: &PluginAttempt<'_>, claim: &Claimed, letter: &Letter) -> Result<(), LedgerError> {
    match &claim.verdict {
        Some(_recorded) => confirm(plugin_attempt, claim).await,
        None => pending::keep_letter(plugin_attempt, claim, letter).await,
    }
}

/// Whether the claim is still ours.
async fn confirm(plugin_attempt: &PluginAttempt<'_>, claim: &Claimed) -> Result<(), LedgerError> {
    let (claims, lease) = ([(claim.key, claim.fresh.fence)], plugin_attempt.lease.remaining());
    let extend = async || plugin_attempt.services.ledger.extend(&claims, lease).await.pop().unwrap_or(Ok(false));
    match insist(plugin_attempt, extend).await? {
        true => Ok(()),
        false => Err(LedgerError::Stale),
    }
}

/// Tells the ledger. What it could not record is not settled.
async fn finish_claim(plugin_attempt: &PluginAttempt<'_>, claim: &Claimed, settlement: Settlement) -> Settlement {
    match tell(plugin_attempt, claim, settlement.ledger.as_ref()).await {
        Ok(()) => settlement,
        Err(error) => unrecorded(plugin_attempt, claim, &error),
    }
}

async fn tell(plugin_attempt: &PluginAttempt<'_>, claim: &Claimed, finish: Option<&Finish>) -> Result<(), LedgerError> {
    let Some(finish) = finish else { return Ok(()) };
    // From here on the keeper may find the claim gone, because its end is recorded.
    plugin_attempt.lease.finish_claim(claim.key);
    insist(plugin_attempt, || plugin_attempt.batch.finish(claim.key, claim.fresh.fence, finish.clone())).await
}

/// Records a completion that had no claim.
async fn complete(plugin_attempt: &PluginAttempt<'_>, claim: &Claimed, settlement: Settlement) -> Settlement {
    let Some(Finish::Done { result, discarded, ttl }) = settlement.ledger.clone() else { return settlement };
    let message_id = plugin_attempt.delivery.message_id.clone();
    let completion = Completion { body: claim.body, message_id, result, discarded, ttl };
    match insist(plugin_attempt, || plugin_attempt.batch.complete(claim.key, completion.clone())).await {
        Ok(()) => settlement,
        Err(error) => unrecorded(plugin_attempt, claim, &error),
    }
}

/// What becomes of a delivery whose outcome the ledger has not taken.
fn unrecorded(plugin_attempt: &PluginAttempt<'_>, claim: &Claimed, error: &LedgerError) -> Settlement {
    let attempt = claim.fresh.attempt;
    match error {
        LedgerError::Stale => {
            log_attempt!(warn, plugin_attempt, attempt, "the ledger refused an outcome: the claim was taken over");
            Settlement::unrecorded(QueueAction::Leave)
        }
        LedgerError::Unavailable(_) | LedgerError::Damaged(_) | LedgerError::TooLarge(_) => {
            if let LedgerError::Unavailable(reason) = error {
                plugin_attempt.services.health.ledger_failed(reason);
            }
            log_attempt!(error, plugin_attempt, attempt, %error, "an outcome could not be recorded; the message stays in its queue");
            Settlement::unrecorded(QueueAction::Hide(HELD_BACK))
        }
    }
}

async fn send_letter(plugin_attempt: &PluginAttempt<'_>, letter: &Letter) -> Result<(), dlq::LetterError> {
    let (dlq, ledger) = (plugin_attempt.runtime.dlq.as_ref(), plugin_attempt.services.ledger.as_ref());
    let rules = QueueRules::of(dlq, &plugin_attempt.runtime.dlq_max_bytes);
    let send = || dlq::send(dlq, ledger, plugin_attempt.delivery, letter, &rules);
    let mut answer = send().await;
    for failures in 1..TRIES {
        let may_pass = answer.as_ref().is_err_and(dlq::LetterError::is_transient);
        if !may_pass || plugin_attempt.lease.lost().is_cancelled() {
            return answer;
        }
        tokio::time::sleep(TRY_AGAIN.jittered(failures)).await;
        answer = send().await;
    }
    answer
}

fn letter(plugin_attempt: &PluginAttempt<'_>, claim: Option<&Claimed>, exit: &Exit) -> Letter {
    let PluginAttempt { services, runtime, delivery, message, plugin, .. } = *plugin_attempt;
    let now = services.clock.unix_ms();
    if let Some(verdict) = claim.and_then(|claim| claim.verdict.as_deref()) {
        // A twin of the message may be the one that comes next.
        let message_id = delivery.message_id.clone();
        return Letter { message_id, receive_count: delivery.receive_count, ..verdict.clone() };
    }
    Letter {
        queue: runtime.queue.name().to_owned(),
        message_id: delivery.message_id.clone(),
        kind: message.map(|message| message.kind.0.clone()),
        plugin: plugin.map(|plugin| plugin.manifest.name.clone()),
        digest: plugin.map(|plugin| plugin.digest.clone()),
        class: exit.class().to_owned(),
        reason: sanitize(&exit.reason(), services.limits.reason_bytes),
        attempts: claim.map_or(0, |claim| claim.fresh.attempt),
        receive_count: delivery.receive_count,
        first_failed_at: claim.and_then(|claim| claim.fresh.first_failed_at).or(Some(now)),
        last_failed_at: now,
        // A key that is too long would not fit beside the message either; its replay makes it again
        // from the body.
        key: message.map(|message| message.key.clone()).filter(|key| key.len() <= services.limits.key_bytes),
        traceparent: message.and_then(|message| message.traceparent.clone()),
        group: delivery.group.clone(),
        replays: claim.map_or(0, |claim| claim.fresh.replays),
        in_ledger: None,
    }
}

/// The attempt that was claimed; 0 where none was.
fn attempt(claim: Option<&Claimed>) -> u32 {
    claim.map_or(0, |claim| claim.fresh.attempt)
}

fn observe(plugin_attempt: &PluginAttempt<'_>, attempt: u32, exit: &Exit, settled: &Settlement, ran: Option<&Ran>) {
    let (class, used) = (exit.class(), ran.map(|ran| &ran.usage));
    /// The last record of the attempt: how it ended, and what its run used, if there was one.
    macro_rules! log_end {
        ($level:ident, $($said:tt)*) => {
            log_attempt!($level, plugin_attempt, attempt, class,
                run_us = used.map(|used| used.elapsed.as_micros() as u64),
                cpu_us = used.map(|used| used.cpu.as_micros() as u64),
                memory_bytes = used.map(|used| used.memory_bytes),
                http_calls = used.map(|used| used.calls.http),
                outbox_calls = used.map(|used| used.calls.outbox),
                step_calls = used.map(|used| used.calls.step),
                log_calls = used.map(|used| used.calls.log),
                sent_bytes = used.map(|used| used.sent_bytes),
                received_bytes = used.map(|used| used.received_bytes),
                $($said)*)
        };
    }
    let end = End {
        exit: class,
        settlement: settled.name(),
        retry_delay: match (settled.queue, &settled.ledger) {
            (QueueAction::Hide(delay), Some(Finish::Failed { .. })) => Some(delay),
            _ => None,
        },
        sent_to_done: match (exit, settled.queue) {
            (Exit::Done { .. }, QueueAction::Delete) => Some(plugin_attempt.age()),
            _ => None,
        },
    };
    match ran {
        Some(ran) => ran.line.ended(&end),
        None => {
            let (kind, plugin) = plugin_attempt.names();
            plugin_attempt.services.stats.line(kind, plugin).ended(&end);
        }
    }
    plugin_attempt.span.ended(attempt, class, settled.name());
    remember(plugin_attempt, attempt, exit, settled);
    match (settled.queue, &settled.ledger) {
        (QueueAction::Delete, Some(Finish::DeadLettered { .. })) => {
            log_end!(warn, reason = exit.reason(), "dead-lettered")
        }
        (QueueAction::Delete, Some(Finish::Done { discarded: true, .. })) => {
            log_end!(info, reason = exit.reason(), "discarded")
        }
        (QueueAction::Delete, _) => log_end!(debug, "settled"),
        (QueueAction::Hide(delay), _) => {
            log_end!(debug, reason = exit.reason(), ?delay, "put back")
        }
        (QueueAction::Leave, _) => {
            log_end!(warn, reason = exit.reason(), "left to another delivery")
        }
    }
}

/// For whoever looks at what goes on.
fn remember(plugin_attempt: &PluginAttempt<'_>, attempt: u32, exit: &Exit, settled: &Settlement) {
    let services = plugin_attempt.services;
    let is_failure = exit.handler_failed() == Some(true) || settled.is_dead_letter();
    let is_plain = settled.queue == QueueAction::Delete
        && matches!(settled.ledger, None | Some(Finish::Done { discarded: false, .. }));
    let (kind, plugin) = plugin_attempt.names();
    services.recent.ended(
        is_failure,
        || services.clock.unix_ms(),
        |at| RecentOutcome {
            at,
            message_id: plugin_attempt.delivery.message_id.clone(),
            kind: sanitize(kind, REASON_MAX_BYTES),
            plugin: plugin.to_owned(),
            attempt,
            class: exit.class(),
            settlement: settled.name(),
            reason: if is_plain { String::new() } else { sanitize(&exit.reason(), REASON_MAX_BYTES) },
        },
    );
}
