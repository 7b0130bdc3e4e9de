//! The record: durable before the delivery is settled. Done before delete, dead letter before delete.

use std::time::Duration;

use wasq_core::clock;
use wasq_ledgers::{Finish, LedgerError};
use wasq_queues::MESSAGE_MAX_BYTES;

use super::claim::Claimed;
use super::decide::{HELD_BACK, Record, Settlement, letter_wait};
use super::pending;
use super::recent::{Outcome, REASON_MAX_BYTES};
use super::{Ended, Share};
use crate::admission::breaker::Admitted;
use crate::dlq::{self, Letter};
use crate::exit::Exit;
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
                (Some(claim), Some(finish)) => match hold_back(share, claim, &exit, &settlement).await {
                    Ok(()) => finish_claim(share, claim, finish, settlement).await,
                    Err(error) => unrecorded(share, claim, &error),
                },
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
        Record::Released => Some(Finish::Released { ran: exit.handler_failed().is_some() }),
        Record::Nothing => None,
    }
}

/// Where another plugin's delay may bring the message back earlier, the ledger keeps this one's.
async fn hold_back(
    share: &Share<'_>,
    claim: &Claimed,
    exit: &Exit,
    settlement: &Settlement,
) -> Result<(), LedgerError> {
    let asked_for = exit.handler_failed().is_some() || matches!(exit, Exit::Outbox { .. });
    match settlement {
        Settlement::Delay { delay, .. } if asked_for && !share.is_only_plugin && !delay.is_zero() => {
            pending::keep_not_before(share, claim, *delay).await
        }
        Settlement::Delay { .. } | Settlement::Delete { .. } | Settlement::DeadLetter | Settlement::Leave => Ok(()),
    }
}

/// Records the verdict, sends the dead letter, then records that it was sent. If it cannot be sent, the message stays in its
/// queue, and whoever receives it next sends the letter, without a run.
async fn dead_letter(share: &Share<'_>, claim: Option<&Claimed>, exit: &Exit) -> Settlement {
    let letter = letter(share, claim, exit);
    if let Some(claim) = claim {
        match keep_verdict(share, claim, &letter).await {
            // Nobody can read what stands there: the letter has to do without it.
            Ok(()) | Err(LedgerError::Damaged(_) | LedgerError::TooLarge(_)) => {}
            Err(error @ (LedgerError::Stale | LedgerError::Unavailable(_))) => return unrecorded(share, claim, &error),
        }
    }
    let (health, queue) = (&share.services.health, share.lane.queue.name());
    if let Err(error) = send_letter(share, &letter).await {
        let class = letter.class.as_str();
        about!(error, share, letter.attempts, class, %error, "a message stays in its queue: its dead letter cannot be sent");
        health.letters_failing(queue, share.lane.dlq.name(), &error.to_string());
        let delay = letter_wait(share.delivery.receive_count, fastrand::f64());
        let settlement = Settlement::Delay { delay, record: Record::Released };
        return match claim {
            Some(claim) => finish_claim(share, claim, Finish::Released { ran: false }, settlement).await,
            None => settlement,
        };
    }
    health.letters_sent(queue);
    let message_id = share.delivery.message_id.clone();
    let finish = Finish::DeadLettered { message_id, ttl: ttl(share.plugin) };
    let Some(claim) = claim else { return Settlement::DeadLetter };
    match tell(share, claim, finish).await {
        Ok(()) | Err(LedgerError::Damaged(_) | LedgerError::TooLarge(_)) => Settlement::DeadLetter,
        Err(error @ (LedgerError::Stale | LedgerError::Unavailable(_))) => unrecorded(share, claim, &error),
    }
}

/// From here on no handler runs for the message. A letter cannot be taken back either, so this also asks whether another
/// delivery has the message by now.
async fn keep_verdict(share: &Share<'_>, claim: &Claimed, letter: &Letter) -> Result<(), LedgerError> {
    match &claim.verdict {
        Some(_recorded) => confirm(share, claim).await,
        None => pending::keep_letter(share, claim, letter).await,
    }
}

/// Whether the claim is still ours.
async fn confirm(share: &Share<'_>, claim: &Claimed) -> Result<(), LedgerError> {
    let (claims, lease) = ([(claim.key, claim.fresh.fence)], share.lease.remaining());
    let extend = async || share.services.ledger.extend(&claims, lease).await.pop().unwrap_or(Ok(false));
    match insist(share, extend).await? {
        true => Ok(()),
        false => Err(LedgerError::Stale),
    }
}

/// Tells the ledger. What it could not record is not settled.
async fn finish_claim(share: &Share<'_>, claim: &Claimed, finish: Finish, settlement: Settlement) -> Settlement {
    match tell(share, claim, finish).await {
        Ok(()) => settlement,
        Err(error) => unrecorded(share, claim, &error),
    }
}

async fn tell(share: &Share<'_>, claim: &Claimed, finish: Finish) -> Result<(), LedgerError> {
    let ledger = &share.services.ledger;
    // From here on the keeper may find the claim gone, because its end is recorded.
    share.lease.finish_claim(claim.key);
    insist(share, || ledger.finish(claim.key, claim.fresh.fence, finish.clone())).await
}

/// What becomes of a delivery whose outcome the ledger has not taken.
fn unrecorded(share: &Share<'_>, claim: &Claimed, error: &LedgerError) -> Settlement {
    let attempt = claim.fresh.attempt;
    match error {
        LedgerError::Stale => {
            about!(warn, share, attempt, "the ledger refused an outcome: the claim was taken over");
            Settlement::Leave
        }
        LedgerError::Unavailable(_) | LedgerError::Damaged(_) | LedgerError::TooLarge(_) => {
            if let LedgerError::Unavailable(reason) = error {
                share.services.health.ledger_failed(reason);
            }
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
            () = tokio::time::sleep(clock::jittered(wait)) => wait = (wait * 2).min(TRY_AGAIN_MAX),
        }
    }
}

async fn send_letter(share: &Share<'_>, letter: &Letter) -> Result<(), dlq::LetterError> {
    let (dlq, ledger) = (share.lane.dlq.as_ref(), share.services.ledger.as_ref());
    let mut wait = TRY_AGAIN;
    let max_bytes = share.lane.dlq_max_bytes.get().unwrap_or(MESSAGE_MAX_BYTES);
    let send = || dlq::send(dlq, ledger, share.delivery, letter, max_bytes);
    let mut answer = send().await;
    for _ in 1..TRIES {
        let may_pass = answer.as_ref().is_err_and(dlq::LetterError::is_transient);
        if !may_pass || share.lease.lost().is_cancelled() {
            return answer;
        }
        tokio::time::sleep(clock::jittered(wait)).await;
        wait *= 2;
        answer = send().await;
    }
    answer
}

fn letter(share: &Share<'_>, claim: Option<&Claimed>, exit: &Exit) -> Letter {
    let Share { services, lane, delivery, message, plugin, .. } = *share;
    let now = services.clock.unix_ms();
    if let Some(verdict) = claim.and_then(|claim| claim.verdict.as_deref()) {
        // A twin of the message may be the one that comes next.
        let message_id = delivery.message_id.clone();
        return Letter { message_id, receive_count: delivery.receive_count, ..verdict.clone() };
    }
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
        in_ledger: None,
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
