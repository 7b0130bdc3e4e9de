//! The decision: from an exit to what happens to the delivery. Pure; docs/use/semantics.md lists
//! every exit, and its test computes that list.

use std::time::Duration;

use wasq_core::backoff::Backoff;
use wasq_core::message::{MessageId, UnixMs};
use wasq_ledgers::Finish;
use wasq_queues::VISIBILITY_MAX;

use super::retry::backoff;
use crate::config::OnExhausted;
use crate::exit::Exit;
use crate::plugins::manifest::Retry;

/// What becomes of one plugin's attempt: what the ledger is told, and then the queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    /// How the claim ends, where there is one. Before it ends as dead-lettered, the letter is sent;
    /// without a claim, too.
    pub ledger: Option<Finish>,
    pub queue: QueueAction,
}

/// What the queue is told about a delivery.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum QueueAction {
    /// Nothing is left to do: delete it once every plugin says so.
    Delete,
    /// Hide it for so long. Then it is delivered again.
    Hide(Duration),
    /// Touch nothing: the delivery is not ours.
    Leave,
}

impl QueueAction {
    /// A delivery that was not begun is there for others at once.
    pub const PUT_BACK: Self = Self::Hide(Duration::ZERO);

    pub fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Hide(_) => "delay",
            Self::Leave => "leave",
        }
    }
}

/// A settlement whose message goes to the DLQ, as metrics and traces name it.
pub const DEAD_LETTER: &str = "dead-letter";
/// A delivery that is stored to be sent again, as traces name it.
pub const PARK: &str = "park";

impl Settlement {
    /// What failed on a version that is on trial is repeated at once on the earlier one, and does
    /// not count.
    pub fn on_the_earlier_version(exit: &Exit) -> Self {
        Self { ledger: Some(released(exit)), queue: QueueAction::Hide(Duration::ZERO) }
    }

    /// Where the ledger has nothing to record.
    pub fn unrecorded(queue: QueueAction) -> Self {
        Self { ledger: None, queue }
    }

    /// Whether its message goes to the DLQ.
    pub fn is_dead_letter(&self) -> bool {
        matches!(self.ledger, Some(Finish::DeadLettered { .. }))
    }

    /// As metrics and traces name it.
    pub fn name(&self) -> &'static str {
        match (&self.ledger, self.queue) {
            (Some(Finish::DeadLettered { .. }), _) => DEAD_LETTER,
            (Some(Finish::Released { .. }), QueueAction::Delete) => PARK,
            (Some(_) | None, queue) => queue.name(),
        }
    }
}

/// What the decision depends on beside the exit.
#[derive(Clone, Debug)]
pub struct DecisionInput<'a> {
    /// The counted attempt that ended; 0 when there was no run.
    pub attempt: u32,
    pub retry: &'a Retry,
    /// A uniform draw from [0, 1) for the jitter.
    pub draw: f64,
    /// SQS's receive count: an unroutable message is hidden longer each time.
    pub receive_count: u32,
    /// How long ago the message was sent.
    pub age: Duration,
    /// How long its queue has had it: less, if it was parked.
    pub queue_age: Duration,
    /// After how long an unroutable message is dead-lettered.
    pub unroutable_after: Duration,
    /// The longest time for which a paused message is hidden.
    pub pause_hold: Duration,
    /// How long the queue keeps a message; none where the host may not ask.
    pub retention: Option<Duration>,
    /// When an unavailable dependency is probed next.
    pub next_probe: Duration,
    /// What becomes of a message that would be dead-lettered.
    pub on_exhausted: OnExhausted,
    /// The delivery's message, by which its dead letter is recognised.
    pub message_id: &'a MessageId,
    pub now: UnixMs,
    /// How long the ledger remembers that the message is done, or dead-lettered.
    pub ttl: Duration,
}

/// For how long an unroutable message is hidden.
const UNROUTABLE: Backoff = Backoff::new(Duration::from_secs(60), Duration::from_secs(15 * 60));
/// For how long a paused message is hidden: never longer than `limits.pause_hold`.
const PAUSED: Backoff = Backoff::new(Duration::from_secs(5), VISIBILITY_MAX);
/// A message whose plugin had no permit, or whose ledger was down, comes back after about this
/// long; one whose key another delivery holds, after this long at first.
pub const HELD_BACK: Duration = Duration::from_secs(2);
/// What counts no attempt waits at least so long: nothing else would end its loop.
const UNCOUNTED_MIN: Duration = Duration::from_secs(1);
/// By how much of its wait a message comes back early that waits for a rate.
const RATE_JITTER: f64 = 0.2;
/// The wait for a dependency that no breaker probes: S3, SNS, a queue that is not open, for which
/// nothing was run. A message that came back at once would only use up its `maxReceiveCount`.
const UNPROBED: Backoff = Backoff::new(UNCOUNTED_MIN, Duration::from_secs(5 * 60));
/// A message that keeps its place in a blocked group comes back after this long at least.
const BLOCKED_MIN: Duration = Duration::from_secs(1);
/// The wait before a dead letter that could not be sent is tried again.
const LETTER_WAIT: Backoff = Backoff::new(HELD_BACK, Duration::from_secs(5 * 60));
/// The wait before a message is looked at again whose key another delivery holds: never longer than
/// that one's lease.
const BUSY: Backoff = Backoff::new(HELD_BACK, VISIBILITY_MAX);
/// A message is parked or dead-lettered so long before its queue deletes it, or a tenth of the
/// retention if that is shorter: time for a letter whose DLQ does not answer at once.
const RETENTION_MARGIN_MAX: Duration = Duration::from_secs(5 * 60);

/// From an exit to a settlement.
pub fn decide(exit: &Exit, at: &DecisionInput<'_>) -> Settlement {
    let settlement = settlement(exit, at);
    match at.on_exhausted {
        // A verdict was recorded: its message is not run again.
        OnExhausted::BlockGroup if settlement.is_dead_letter() && !matches!(exit, Exit::Verdict { .. }) => {
            blocked(exit, at)
        }
        OnExhausted::DeadLetter | OnExhausted::BlockGroup => settlement,
    }
}

/// As [`decide`] has it, unless the queue would delete the message while it waits, and it cannot be
/// parked: then it is dead-lettered now. A message that another delivery runs is that one's to
/// settle.
pub fn within_retention(
    exit: Exit,
    settlement: Settlement,
    at: &DecisionInput<'_>,
    can_park: impl FnOnce() -> bool,
) -> (Exit, Settlement) {
    match (settlement.queue, at.retention) {
        (QueueAction::Hide(delay), Some(retention))
            if !matches!(exit, Exit::Busy { .. })
                && outlives_retention(delay.min(VISIBILITY_MAX), at.queue_age, at.retention)
                && !can_park() =>
        {
            (Exit::Retention { retention, waiting_for: exit.reason() }, dead_letter(at))
        }
        (QueueAction::Hide(_) | QueueAction::Delete | QueueAction::Leave, _) => (exit, settlement),
    }
}

/// Whether a queue that has had a message for so long would delete it before it comes back.
pub fn outlives_retention(delay: Duration, queue_age: Duration, retention: Option<Duration>) -> bool {
    retention.is_some_and(|retention| {
        let margin = (retention / 10).min(RETENTION_MARGIN_MAX);
        queue_age.saturating_add(delay).saturating_add(margin) >= retention
    })
}

/// How long a message waits whose dead letter could not be sent: longer each time.
pub fn letter_wait(receive_count: u32, draw: f64) -> Duration {
    jitter(LETTER_WAIT.after(receive_count), draw)
}

/// A message that keeps its place, and its group behind it: it comes again at the longest interval
/// until it goes through or somebody takes it away.
fn blocked(exit: &Exit, at: &DecisionInput<'_>) -> Settlement {
    let was_run = !matches!(exit, Exit::HostCrash { .. } | Exit::Expired { .. });
    let ledger = match at.attempt {
        0 => None,
        _ if was_run => Some(Finish::Failed { at: at.now }),
        _ => Some(released(exit)),
    };
    Settlement { ledger, queue: QueueAction::Hide(at.retry.maximum_interval.max(BLOCKED_MIN)) }
}

fn settlement(exit: &Exit, at: &DecisionInput<'_>) -> Settlement {
    let delete = |ledger| Settlement { ledger, queue: QueueAction::Delete };
    let hide = |delay| Settlement::unrecorded(QueueAction::Hide(delay));
    let release = |delay| Settlement { ledger: Some(released(exit)), queue: QueueAction::Hide(delay) };
    let done = |result, discarded| Some(Finish::Done { result, discarded, ttl: at.ttl });
    match exit {
        Exit::Done { result } => delete(done(result.clone(), false)),
        Exit::Discard { .. } | Exit::Expired { discard: true } => delete(done(None, true)),
        Exit::Duplicate { .. } | Exit::Notice { .. } | Exit::Cancelled { .. } => delete(None),
        // It is among the timers already.
        Exit::Waiting => delete(Some(released(exit))),
        Exit::Snooze { delay } => release((*delay).max(UNCOUNTED_MIN)),
        // Not before it was told to come back, nor before the next probe; and not all who were told
        // the same at once.
        Exit::Unavailable { after, .. } => {
            let probe = if at.next_probe.is_zero() { UNPROBED.after(at.receive_count) } else { at.next_probe };
            let wait = after.unwrap_or_default().max(probe).max(UNCOUNTED_MIN);
            release(jitter(wait, at.draw))
        }
        Exit::Retry { after, .. } => again(at, *after),
        Exit::Timeout { .. }
        | Exit::Trap { .. }
        | Exit::OutOfMemory { .. }
        | Exit::Exited { .. }
        | Exit::BadResult { .. }
        | Exit::Outbox { .. } => again(at, None),
        Exit::Reject { .. }
        | Exit::Invalid { .. }
        | Exit::Conflict
        | Exit::OversizedKey { .. }
        | Exit::OutboxDepth { .. }
        | Exit::HostCrash { .. }
        | Exit::LedgerDamaged { .. }
        | Exit::Verdict { .. }
        | Exit::Retention { .. }
        | Exit::Expired { discard: false } => dead_letter(at),
        Exit::Unroutable { .. } if at.age >= at.unroutable_after => dead_letter(at),
        Exit::Unroutable { .. } => {
            let delay = UNROUTABLE.after(at.receive_count);
            hide(delay)
        }
        // Hidden longer each time, and past the end of the pause by its jitter alone: a resumed
        // type comes back within the hold.
        Exit::Paused { remaining, .. } => {
            let longest = at.pause_hold.min(remaining.unwrap_or(Duration::MAX));
            let hold = PAUSED.after(at.receive_count).min(longest);
            hide(jitter(hold, at.draw))
        }
        Exit::Interrupted => release(Duration::ZERO),
        Exit::NoPermit => release(jitter(HELD_BACK, at.draw)),
        Exit::LedgerDown { .. } => release(jitter(HELD_BACK, at.draw)),
        Exit::BreakerOpen { remaining, .. } => release(*remaining + jitter(HELD_BACK, at.draw)),
        // A bit early: it waits in hand for the rest, and no start is left unused meanwhile.
        Exit::RateLimited { remaining, .. } | Exit::KeyLimited { remaining } | Exit::Yielded { remaining } => {
            release(remaining.mul_f64(1.0 - RATE_JITTER * (1.0 - at.draw)).max(UNCOUNTED_MIN))
        }
        // The other run mostly ends long before its lease: look again soon, and less and less
        // often.
        Exit::Busy { remaining } => hide(BUSY.after(at.receive_count).min(*remaining)),
        Exit::BackingOff { remaining } => release(*remaining),
        Exit::NotDue { remaining, .. } => hide(*remaining),
        Exit::LeaseLost => Settlement::unrecorded(QueueAction::Leave),
    }
}

/// Below the cap: once more, later. At the cap: dead-letter.
fn again(at: &DecisionInput<'_>, after: Option<Duration>) -> Settlement {
    if at.attempt >= at.retry.max_attempts {
        return dead_letter(at);
    }
    let delay = after.unwrap_or_else(|| backoff(at.retry, at.attempt, at.draw));
    Settlement { ledger: Some(Finish::Failed { at: at.now }), queue: QueueAction::Hide(delay) }
}

fn dead_letter(at: &DecisionInput<'_>) -> Settlement {
    let finish = Finish::DeadLettered { message_id: at.message_id.clone(), ttl: at.ttl };
    Settlement { ledger: Some(finish), queue: QueueAction::Delete }
}

/// The end of an attempt that does not count.
pub fn released(exit: &Exit) -> Finish {
    Finish::Released { ran: exit.handler_failed().is_some() }
}

/// A uniform draw from [d, 1.5 d]: never earlier than asked, and not all at once.
fn jitter(delay: Duration, draw: f64) -> Duration {
    delay.mul_f64(1.0 + draw / 2.0)
}

#[cfg(test)]
mod tests;
