//! The record: durable before the delivery is settled. Done before delete, dead letter before delete.

use std::time::Duration;

use super::claim::{Claimed, age};
use super::decide::{HELD_BACK, Record, Settlement};
use super::{Lane, Services};
use crate::dlq::{self, Letter};
use crate::exit::Exit;
use crate::lease::Lease;
use crate::ledger::{Finish, LedgerError};
use crate::message::{Delivery, Message};
use crate::plugins::Plugin;
use crate::stats::Observation;

/// How often a record or a dead letter is tried while the lease holds.
const TRIES: u32 = 5;
/// The wait after the first failed try; it doubles.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// Tells the breakers how the run went. The answer is when an unavailable dependency is probed next.
pub fn feed_breakers(services: &Services, plugin: &Plugin, exit: &Exit) -> Duration {
    match exit {
        Exit::Done { .. } => {
            services.breakers.succeeded(&plugin.manifest.name);
            Duration::ZERO
        }
        Exit::Unavailable { dependency, after, .. } => {
            services.breakers.unavailable(&plugin.manifest.name, dependency, *after, services.clock.now())
        }
        _ => Duration::ZERO,
    }
}

/// Records one plugin's share. The answer is what then holds: a share that could not be recorded is not settled.
#[allow(clippy::too_many_arguments, reason = "the whole of a share meets here, once")]
pub async fn record(
    services: &Services,
    lane: &Lane,
    delivery: &Delivery,
    lease: &Lease,
    message: &Message,
    plugin: Option<&Plugin>,
    claim: Option<Claimed>,
    exit: Exit,
    settlement: Settlement,
) -> Settlement {
    let settled = try_record(services, lane, delivery, lease, Some(message), plugin, claim.as_ref(), &exit, settlement).await;
    if let Some(claim) = &claim {
        lease.remove_claim(claim.key);
    }
    observe(services, delivery, Some(message), plugin, &exit, &settled);
    settled
}

/// Records the way of a delivery that no plugin saw.
pub async fn record_nobody(
    services: &Services,
    lane: &Lane,
    delivery: &Delivery,
    lease: &Lease,
    message: Option<&Message>,
    exit: Exit,
    settlement: Settlement,
) -> Settlement {
    let settled = try_record(services, lane, delivery, lease, message, None, None, &exit, settlement).await;
    observe(services, delivery, message, None, &exit, &settled);
    settled
}

#[allow(clippy::too_many_arguments, reason = "the whole of a share meets here, once")]
async fn try_record(
    services: &Services,
    lane: &Lane,
    delivery: &Delivery,
    lease: &Lease,
    message: Option<&Message>,
    plugin: Option<&Plugin>,
    claim: Option<&Claimed>,
    exit: &Exit,
    settlement: Settlement,
) -> Settlement {
    let held_back = |record| Settlement::Delay { delay: HELD_BACK, record };
    let finish = match &settlement {
        Settlement::Leave => return settlement,
        Settlement::DeadLetter => {
            let letter = letter(services, lane, delivery, message, plugin, claim, exit);
            if let Err(error) = send_letter(services, lane, delivery, lease, &letter).await {
                tracing::error!(message_id = %delivery.message_id, class = exit.class(), %error, "a message stays in its queue: its dead letter cannot be sent");
                Finish::Released
            } else {
                Finish::DeadLettered { message_id: delivery.message_id.clone(), ttl: ttl(plugin) }
            }
        }
        Settlement::Delete { record } | Settlement::Delay { record, .. } => match record {
            Record::Done => Finish::Done { result: result(exit), discarded: false, ttl: ttl(plugin) },
            Record::Discarded => {
                tracing::info!(message_id = %delivery.message_id, reason = exit.reason(), "a message was discarded");
                Finish::Done { result: None, discarded: true, ttl: ttl(plugin) }
            }
            Record::Failed => Finish::Failed { at: services.clock.unix_ms() },
            Record::Released => Finish::Released,
            Record::Nothing => return settlement,
        },
    };
    let letter_not_sent = settlement == Settlement::DeadLetter && finish == Finish::Released;
    let Some(claim) = claim else {
        return if letter_not_sent { held_back(Record::Nothing) } else { settlement };
    };
    match finish_claim(services, lease, claim, finish).await {
        Ok(()) if letter_not_sent => held_back(Record::Released),
        Ok(()) => settlement,
        Err(LedgerError::Stale) => {
            tracing::warn!(message_id = %delivery.message_id, "the ledger refused an outcome: the claim was taken over");
            Settlement::Leave
        }
        Err(error) => {
            services.health.ledger_failed(&error.to_string());
            tracing::error!(message_id = %delivery.message_id, %error, "an outcome could not be recorded; the message stays in its queue");
            held_back(Record::Nothing)
        }
    }
}

async fn finish_claim(services: &Services, lease: &Lease, claim: &Claimed, finish: Finish) -> Result<(), LedgerError> {
    let mut wait = TRY_AGAIN;
    for _ in 1..TRIES {
        match services.ledger.finish(claim.key, claim.fresh.fence, finish.clone()).await {
            Err(LedgerError::Unavailable(reason)) => {
                tracing::warn!(reason, "cannot record in the ledger; trying again");
                tokio::select! {
                    biased;
                    () = lease.lost().cancelled() => return Err(LedgerError::Stale),
                    () = tokio::time::sleep(wait) => wait *= 2,
                }
            }
            answer => return answer,
        }
    }
    services.ledger.finish(claim.key, claim.fresh.fence, finish).await
}

async fn send_letter(
    services: &Services,
    lane: &Lane,
    delivery: &Delivery,
    lease: &Lease,
    letter: &Letter,
) -> Result<(), dlq::LetterError> {
    let mut wait = TRY_AGAIN;
    let mut answer = dlq::send(lane.dlq.as_ref(), services.ledger.as_ref(), delivery, letter).await;
    for _ in 1..TRIES {
        if answer.is_ok() || lease.lost().is_cancelled() {
            return answer;
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
        answer = dlq::send(lane.dlq.as_ref(), services.ledger.as_ref(), delivery, letter).await;
    }
    answer
}

fn letter(
    services: &Services,
    lane: &Lane,
    delivery: &Delivery,
    message: Option<&Message>,
    plugin: Option<&Plugin>,
    claim: Option<&Claimed>,
    exit: &Exit,
) -> Letter {
    let now = services.clock.unix_ms();
    let reason = crate::sandbox::text::sanitize(&exit.reason(), services.limits.reason_bytes);
    Letter {
        queue: lane.queue.name().to_owned(),
        message_id: delivery.message_id.clone(),
        kind: message.map(|message| message.kind.0.clone()),
        plugin: plugin.map(|plugin| plugin.manifest.name.clone()),
        digest: plugin.map(|plugin| plugin.digest.clone()),
        class: exit.class().to_owned(),
        reason,
        attempts: claim.map_or(0, |claim| claim.fresh.attempt),
        receive_count: delivery.receive_count,
        first_failed_at: claim.and_then(|claim| claim.fresh.first_failed_at).or(Some(now)),
        last_failed_at: now,
        // A key that is too long would not fit beside the message either; its replay makes it again from the body.
        key: message.map(|message| message.key.clone()).filter(|key| key.len() <= services.limits.key_bytes),
        traceparent: message.and_then(|message| message.traceparent.clone()),
        group: delivery.group.clone(),
        replays: 0,
    }
}

fn result(exit: &Exit) -> Option<Vec<u8>> {
    match exit {
        Exit::Done { result } => result.clone(),
        _ => None,
    }
}

/// How long the ledger remembers.
fn ttl(plugin: Option<&Plugin>) -> Duration {
    plugin.map_or_else(|| crate::plugins::manifest::Idempotency::default().ttl, |plugin| plugin.manifest.idempotency.ttl)
}

fn observe(
    services: &Services,
    delivery: &Delivery,
    message: Option<&Message>,
    plugin: Option<&Plugin>,
    exit: &Exit,
    settled: &Settlement,
) {
    if matches!(exit, Exit::Duplicate { same_message: true }) {
        return;
    }
    let kind = message.map_or("", |message| message.kind.0.as_str());
    let plugin = plugin.map_or("", |plugin| plugin.manifest.name.as_str());
    let dead_lettered = *settled == Settlement::DeadLetter;
    let delayed = matches!(settled, Settlement::Delay { .. });
    let done = matches!(exit, Exit::Done { .. });
    services.stats.observe(&Observation {
        kind,
        plugin,
        class: exit.class(),
        dead_lettered,
        delayed,
        run: None,
        sent_to_done: done.then(|| age(services.clock.unix_ms(), delivery.sent_at)),
    });
    if dead_lettered {
        tracing::warn!(message_id = %delivery.message_id, kind, plugin, class = exit.class(), reason = exit.reason(), "dead-lettered");
    } else if delayed {
        tracing::debug!(message_id = %delivery.message_id, kind, plugin, class = exit.class(), reason = exit.reason(), ?settled, "put back");
    } else {
        tracing::debug!(message_id = %delivery.message_id, kind, plugin, class = exit.class(), "settled");
    }
}
