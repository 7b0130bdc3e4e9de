//! The record: durable before the delivery is settled. Done before delete, dead letter before delete.

use std::time::Duration;

use super::breaker::Admitted;
use super::claim::Claimed;
use super::decide::{HELD_BACK, Record, Settlement};
use super::recent::{Outcome, REASON_MAX_BYTES};
use super::{Ended, Share};
use crate::dlq::{self, Letter};
use crate::exit::Exit;
use crate::ledger::{Finish, LedgerError};
use crate::plugins::Plugin;
use crate::plugins::manifest::Idempotency;
use crate::sandbox::text::sanitize;

/// How often a dead letter is tried while the lease holds.
const TRIES: u32 = 5;
/// The wait after the first failed try; it doubles, up to the other.
const TRY_AGAIN: Duration = Duration::from_millis(200);
const TRY_AGAIN_MAX: Duration = Duration::from_secs(2);

/// Tells the breakers how the run went. The answer is when an unavailable dependency is probed next.
pub fn feed_breakers(share: &Share<'_>, admitted: Option<Admitted<'_>>, exit: &Exit) -> Duration {
    let Some(admitted) = admitted else { return Duration::ZERO };
    if let Exit::Done { .. } = exit {
        admitted.succeeded();
        return Duration::ZERO;
    }
    if let Exit::Unavailable { dependency, after, .. } = exit {
        return admitted.unavailable(dependency, *after, share.services.clock.now());
    }
    Duration::ZERO
}

/// Records a share's end. A share that could not be recorded is not settled: it comes again.
pub async fn record(share: &Share<'_>, claim: Option<Claimed>, exit: Exit, settlement: Settlement) -> Ended {
    let settlement = match settlement {
        Settlement::Leave => Settlement::Leave,
        Settlement::DeadLetter => dead_letter(share, claim.as_ref(), &exit).await,
        Settlement::Delete { record } | Settlement::Delay { record, .. } => {
            match (&claim, finish(share, record, &exit)) {
                (Some(claim), Some(finish)) => finish_claim(share, claim, finish, settlement).await,
                (_, _) => settlement,
            }
        }
    };
    let attempt = attempt(claim.as_ref());
    if let Some(claim) = &claim {
        share.lease.remove_claim(claim.key);
    }
    observe(share, attempt, &exit, &settlement);
    Ended { exit, settlement }
}

/// What the ledger is told; nothing where nothing was claimed.
fn finish(share: &Share<'_>, record: Record, exit: &Exit) -> Option<Finish> {
    let ttl = ttl(share.plugin);
    match record {
        Record::Done => {
            let result = if let Exit::Done { result } = exit { result.clone() } else { None };
            Some(Finish::Done { result, discarded: false, ttl })
        }
        Record::Discarded => Some(Finish::Done { result: None, discarded: true, ttl }),
        Record::Failed => Some(Finish::Failed { at: share.services.clock.unix_ms() }),
        Record::Released => Some(Finish::Released),
        Record::Nothing => None,
    }
}

/// Sends the dead letter, then records it. If it cannot be sent, the message stays in its queue.
async fn dead_letter(share: &Share<'_>, claim: Option<&Claimed>, exit: &Exit) -> Settlement {
    // A letter cannot be taken back: whoever wakes up late asks first whether another has the message now.
    if let Some(claim) = claim
        && let Err(error) = confirm(share, claim).await
    {
        return unrecorded(share, claim, &error);
    }
    let sent = send_letter(share, &letter(share, claim, exit)).await;
    let (finish, settlement) = match sent {
        Ok(()) => {
            let message_id = share.delivery.message_id.clone();
            (Finish::DeadLettered { message_id, ttl: ttl(share.plugin) }, Settlement::DeadLetter)
        }
        Err(error) => {
            about!(error, share, attempt(claim), class = exit.class(), %error, "a message stays in its queue: its dead letter cannot be sent");
            (Finish::Released, Settlement::Delay { delay: HELD_BACK, record: Record::Released })
        }
    };
    match claim {
        Some(claim) => finish_claim(share, claim, finish, settlement).await,
        None => settlement,
    }
}

/// Whether the claim is still ours.
async fn confirm(share: &Share<'_>, claim: &Claimed) -> Result<(), LedgerError> {
    let (claims, lease) = ([(claim.key, claim.fresh.fence)], share.lease.remaining());
    match insist(share, || share.services.ledger.extend(&claims, lease)).await?[..] {
        [true] => Ok(()),
        _ => Err(LedgerError::Stale),
    }
}

/// Tells the ledger. What it could not record is not settled.
async fn finish_claim(share: &Share<'_>, claim: &Claimed, finish: Finish, settlement: Settlement) -> Settlement {
    let ledger = &share.services.ledger;
    // From here on the keeper may find the claim gone, because its end is recorded.
    share.lease.finish_claim(claim.key);
    match insist(share, || ledger.finish(claim.key, claim.fresh.fence, finish.clone())).await {
        Ok(()) => settlement,
        Err(error) => unrecorded(share, claim, &error),
    }
}

/// What becomes of a delivery whose outcome the ledger has not taken.
fn unrecorded(share: &Share<'_>, claim: &Claimed, error: &LedgerError) -> Settlement {
    let attempt = claim.fresh.attempt;
    match error {
        LedgerError::Stale => {
            about!(warn, share, attempt, "the ledger refused an outcome: the claim was taken over");
            Settlement::Leave
        }
        LedgerError::Unavailable(_) | LedgerError::Damaged(_) => {
            share.services.health.ledger_failed(&error.to_string());
            about!(error, share, attempt, %error, "an outcome could not be recorded; the message stays in its queue");
            Settlement::Delay { delay: HELD_BACK, record: Record::Nothing }
        }
    }
}

/// Asks the ledger again and again while it does not answer: what has been done is worth a record. Ends with the lease, after
/// `settle_grace`, or when the host must stop.
pub async fn insist<T, F>(share: &Share<'_>, ask: impl Fn() -> F) -> Result<T, LedgerError>
where
    F: Future<Output = Result<T, LedgerError>>,
{
    let services = share.services;
    let until = services.clock.now() + services.limits.settle_grace;
    let mut wait = TRY_AGAIN;
    loop {
        let reason = match ask().await {
            Err(LedgerError::Unavailable(reason)) => reason,
            answer => return answer,
        };
        let stopping = services.interrupt.is_cancelled();
        if share.lease.is_over() || stopping || services.clock.now() + wait >= until {
            return Err(LedgerError::Unavailable(reason));
        }
        services.health.ledger_failed(&reason);
        tracing::warn!(reason, "the ledger does not answer; trying again");
        tokio::select! {
            biased;
            () = share.lease.lost().cancelled() => {}
            () = services.interrupt.cancelled() => {}
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(TRY_AGAIN_MAX),
        }
    }
}

async fn send_letter(share: &Share<'_>, letter: &Letter) -> Result<(), dlq::LetterError> {
    let (dlq, ledger) = (share.lane.dlq.as_ref(), share.services.ledger.as_ref());
    let mut wait = TRY_AGAIN;
    let mut answer = dlq::send(dlq, ledger, share.delivery, letter).await;
    for _ in 1..TRIES {
        if answer.is_ok() || share.lease.lost().is_cancelled() {
            return answer;
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
        answer = dlq::send(dlq, ledger, share.delivery, letter).await;
    }
    answer
}

fn letter(share: &Share<'_>, claim: Option<&Claimed>, exit: &Exit) -> Letter {
    let Share { services, lane, delivery, message, plugin, .. } = *share;
    let now = services.clock.unix_ms();
    Letter {
        queue: lane.queue.name().to_owned(),
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
        // A key that is too long would not fit beside the message either; its replay makes it again from the body.
        key: message.map(|message| message.key.clone()).filter(|key| key.len() <= services.limits.key_bytes),
        traceparent: message.and_then(|message| message.traceparent.clone()),
        group: delivery.group.clone(),
        replays: claim.map_or(0, |claim| claim.fresh.replays),
    }
}

/// How long the ledger remembers.
fn ttl(plugin: Option<&Plugin>) -> Duration {
    plugin.map_or_else(|| Idempotency::default().ttl, |plugin| plugin.manifest.idempotency.ttl)
}

/// The attempt that was claimed; 0 where none was.
fn attempt(claim: Option<&Claimed>) -> u32 {
    claim.map_or(0, |claim| claim.fresh.attempt)
}

fn observe(share: &Share<'_>, attempt: u32, exit: &Exit, settled: &Settlement) {
    let (kind, plugin) = share.names();
    let class = exit.class();
    share.services.stats.exit(kind, plugin, exit, settled, share.age());
    share.span.ended(attempt, class, settled.name());
    remember(share, attempt, exit, settled);
    match settled {
        Settlement::DeadLetter => about!(warn, share, attempt, class, reason = exit.reason(), "dead-lettered"),
        Settlement::Delay { delay, .. } => {
            about!(debug, share, attempt, class, reason = exit.reason(), ?delay, "put back")
        }
        Settlement::Delete { record: Record::Discarded } => {
            about!(info, share, attempt, class, reason = exit.reason(), "discarded")
        }
        Settlement::Leave => about!(warn, share, attempt, class, reason = exit.reason(), "left to another delivery"),
        Settlement::Delete { .. } => about!(debug, share, attempt, class, "settled"),
    }
}

/// For whoever looks at what goes on.
fn remember(share: &Share<'_>, attempt: u32, exit: &Exit, settled: &Settlement) {
    let services = share.services;
    let is_failure = exit.handler_failed() == Some(true) || *settled == Settlement::DeadLetter;
    let is_plain = matches!(settled, Settlement::Delete { record: Record::Done | Record::Nothing });
    let (kind, plugin) = share.names();
    services.recent.ended(
        is_failure,
        || services.clock.unix_ms(),
        |at| Outcome {
            at,
            message_id: share.delivery.message_id.clone(),
            kind: sanitize(kind, REASON_MAX_BYTES),
            plugin: plugin.to_owned(),
            attempt,
            class: exit.class(),
            settlement: settled.name(),
            reason: if is_plain { String::new() } else { sanitize(&exit.reason(), REASON_MAX_BYTES) },
        },
    );
}
