//! The decision: from an exit to what happens to the delivery. Pure; docs/use/semantics.md lists every exit, and its test computes that list.

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
    /// How the claim ends, where there is one. Before it ends as dead-lettered, the letter is sent; without a claim, too.
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

impl Settlement {
    /// What failed on a version that is on trial is repeated at once on the earlier one, and does not count.
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
        if self.is_dead_letter() { DEAD_LETTER } else { self.queue.name() }
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
    /// How long the message has been in the queue.
    pub age: Duration,
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
/// A message whose plugin had no permit, or whose ledger was down, comes back after about this long; one whose key another
/// delivery holds, after this long at first.
pub const HELD_BACK: Duration = Duration::from_secs(2);
/// What counts no attempt waits at least so long: nothing else would end its loop.
const UNCOUNTED_MIN: Duration = Duration::from_secs(1);
/// A message that keeps its place in a blocked group comes back after this long at least.
const BLOCKED_MIN: Duration = Duration::from_secs(1);
/// The wait before a dead letter that could not be sent is tried again.
const LETTER_WAIT: Backoff = Backoff::new(HELD_BACK, Duration::from_secs(5 * 60));
/// The wait before a message is looked at again whose key another delivery holds: never longer than that one's lease.
const BUSY: Backoff = Backoff::new(HELD_BACK, VISIBILITY_MAX);
/// A message is dead-lettered so long before its queue deletes it, or a tenth of the retention if that is shorter: time
/// for a letter whose DLQ does not answer at once.
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

/// As [`decide`] has it, unless the queue would delete the message while it waits: then it is dead-lettered now. A
/// message that another delivery runs is that one's to settle.
pub fn within_retention(exit: Exit, settlement: Settlement, at: &DecisionInput<'_>) -> (Exit, Settlement) {
    let (QueueAction::Hide(delay), Some(retention)) = (settlement.queue, at.retention) else {
        return (exit, settlement);
    };
    let margin = (retention / 10).min(RETENTION_MARGIN_MAX);
    if matches!(exit, Exit::Busy { .. })
        || at.age.saturating_add(delay.min(VISIBILITY_MAX)).saturating_add(margin) < retention
    {
        return (exit, settlement);
    }
    (Exit::Retention { retention, waiting_for: exit.reason() }, dead_letter(at))
}

/// How long a message waits whose dead letter could not be sent: longer each time.
pub fn letter_wait(receive_count: u32, draw: f64) -> Duration {
    jitter(LETTER_WAIT.after(receive_count), draw)
}

/// A message that keeps its place, and its group behind it: it comes again at the longest interval until it goes through or
/// somebody takes it away.
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
        Exit::Duplicate { .. } => delete(None),
        Exit::Snooze { delay } => release((*delay).max(UNCOUNTED_MIN)),
        // Not before it was told to come back, nor before the next probe; and not all who were told the same at once.
        Exit::Unavailable { after, .. } => {
            let wait = after.unwrap_or_default().max(at.next_probe).max(UNCOUNTED_MIN);
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
        // Hidden longer each time, and past the end of the pause by its jitter alone: a resumed type comes back within the hold.
        Exit::Paused { remaining, .. } => {
            let longest = at.pause_hold.min(remaining.unwrap_or(Duration::MAX));
            let hold = PAUSED.after(at.receive_count).min(longest);
            hide(jitter(hold, at.draw))
        }
        Exit::Interrupted => release(Duration::ZERO),
        Exit::NoPermit => release(jitter(HELD_BACK, at.draw)),
        Exit::LedgerDown { .. } => release(jitter(HELD_BACK, at.draw)),
        Exit::BreakerOpen { remaining, .. } => release(*remaining + jitter(HELD_BACK, at.draw)),
        // The other run mostly ends long before its lease: look again soon, and less and less often.
        Exit::Busy { remaining } => hide(BUSY.after(at.receive_count).min(*remaining)),
        Exit::BackingOff { remaining } => release(*remaining),
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
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;
    const NOW: UnixMs = UnixMs(1_000);
    const TTL: Duration = Duration::from_secs(86_400);
    const FAILED: Option<Finish> = Some(Finish::Failed { at: NOW });
    const DONE: Option<Finish> = Some(Finish::Done { result: None, discarded: false, ttl: TTL });
    const DISCARDED: Option<Finish> = Some(Finish::Done { result: None, discarded: true, ttl: TTL });
    /// Of a handler that ran, and of one that did not.
    const RAN: Option<Finish> = Some(Finish::Released { ran: true });
    const NOT_RUN: Option<Finish> = Some(Finish::Released { ran: false });
    static MESSAGE: MessageId = MessageId(String::new());

    fn delete(ledger: Option<Finish>) -> Settlement {
        Settlement { ledger, queue: QueueAction::Delete }
    }

    fn hide(delay: Duration, ledger: Option<Finish>) -> Settlement {
        Settlement { ledger, queue: QueueAction::Hide(delay) }
    }

    fn dead_lettered() -> Settlement {
        delete(Some(Finish::DeadLettered { message_id: MESSAGE.clone(), ttl: TTL }))
    }

    fn left() -> Settlement {
        Settlement::unrecorded(QueueAction::Leave)
    }

    fn check(exit: Exit, attempt: u32, expect: Settlement) {
        let retry = Retry { max_attempts: 3, ..Retry::default() };
        let at = DecisionInput {
            attempt,
            retry: &retry,
            draw: 0.0,
            receive_count: 3,
            age: S(100),
            unroutable_after: S(3600),
            pause_hold: S(60),
            retention: None,
            next_probe: S(7),
            on_exhausted: OnExhausted::DeadLetter,
            message_id: &MESSAGE,
            now: NOW,
            ttl: TTL,
        };
        assert_eq!(decide(&exit, &at), expect, "{exit:?} at attempt {attempt}");
    }

    /// The table of exits and settlements, line by line.
    #[test]
    fn a_settlement_is_named_as_metrics_and_traces_name_it() {
        let all = [delete(None), hide(Duration::ZERO, None), dead_lettered(), left()];
        assert_eq!(all.map(|settlement| settlement.name()), ["delete", "delay", "dead-letter", "leave"]);
    }

    #[test]
    fn every_exit_has_its_settlement() {
        let delay = |s: u64, ledger| hide(S(s), ledger);
        let half_s = |ledger| hide(Duration::from_millis(500), ledger);
        let text = || "x".to_owned();

        check(Exit::Done { result: None }, 1, delete(DONE));
        check(Exit::Discard { reason: text() }, 1, delete(DISCARDED));
        check(Exit::Snooze { delay: S(9) }, 1, delay(9, RAN));
        check(Exit::Snooze { delay: S(9) }, 3, delay(9, RAN));

        check(Exit::Retry { reason: text(), after: None }, 1, half_s(FAILED));
        check(Exit::Retry { reason: text(), after: Some(S(40)) }, 2, delay(40, FAILED));
        check(Exit::Retry { reason: text(), after: Some(S(40)) }, 3, dead_lettered());
        let down = |after| Exit::Unavailable { dependency: text(), reason: text(), after };
        check(down(None), 3, delay(7, RAN));
        check(down(Some(S(5))), 3, delay(7, RAN));
        check(down(Some(S(9))), 3, delay(9, RAN));
        check(Exit::Reject { reason: text() }, 1, dead_lettered());

        let host_found = [
            Exit::Timeout { limit: S(1) },
            Exit::Trap { reason: text() },
            Exit::OutOfMemory { reason: "too much".into() },
            Exit::Exited { code: 0 },
            Exit::BadResult { reason: text() },
            Exit::Outbox { reason: text() },
        ];
        for exit in host_found {
            check(exit.clone(), 1, half_s(FAILED));
            check(exit, 3, dead_lettered());
        }

        check(Exit::Invalid { reason: text() }, 0, dead_lettered());
        check(Exit::Conflict, 0, dead_lettered());
        check(Exit::OversizedKey { size_bytes: 2, limit_bytes: 1 }, 0, dead_lettered());
        check(Exit::OutboxDepth { depth: 33, limit: 32 }, 0, dead_lettered());
        check(Exit::HostCrash { crashes: 3 }, 4, dead_lettered());
        check(Exit::Unroutable { kind: text() }, 0, delay(240, None));
        let paused = |remaining| Exit::Paused { target: text(), remaining };
        check(paused(None), 0, delay(20, None));
        check(paused(Some(S(9))), 0, delay(9, None));
        check(Exit::LedgerDamaged { reason: text() }, 0, dead_lettered());
        check(Exit::Verdict { class: text(), reason: text() }, 1, dead_lettered());
        check(Exit::BackingOff { remaining: S(6) }, 2, delay(6, NOT_RUN));
        check(Exit::LeaseLost, 1, left());
        check(Exit::Interrupted, 1, delay(0, NOT_RUN));
        check(Exit::Expired { discard: true }, 1, delete(DISCARDED));
        check(Exit::Expired { discard: false }, 1, dead_lettered());

        check(Exit::Duplicate { same_message: true }, 0, delete(None));
        check(Exit::Busy { remaining: S(11) }, 0, delay(8, None));
        check(Exit::Busy { remaining: S(3) }, 0, delay(3, None));
        check(Exit::NoPermit, 1, delay(2, NOT_RUN));
        check(Exit::LedgerDown { reason: text() }, 0, delay(2, NOT_RUN));
        check(Exit::BreakerOpen { dependency: text(), remaining: S(3) }, 1, delay(5, NOT_RUN));
    }

    #[test]
    fn a_blocked_group_keeps_what_would_be_dead_lettered() {
        let retry = Retry { max_attempts: 3, maximum_interval: S(50), ..Retry::default() };
        let check = |exit: Exit, attempt, expect| {
            let at = DecisionInput {
                attempt,
                retry: &retry,
                draw: 0.0,
                receive_count: 1,
                age: S(0),
                unroutable_after: S(3600),
                pause_hold: S(60),
                retention: None,
                next_probe: S(1),
                on_exhausted: OnExhausted::BlockGroup,
                message_id: &MESSAGE,
                now: NOW,
                ttl: TTL,
            };
            assert_eq!(decide(&exit, &at), expect, "{exit:?} at attempt {attempt}");
        };
        let held = |ledger| hide(S(50), ledger);
        let failed = || Exit::Retry { reason: "x".into(), after: None };
        check(failed(), 1, hide(Duration::from_millis(500), FAILED));
        check(failed(), 3, held(FAILED));
        check(failed(), 9, held(FAILED));
        check(Exit::Reject { reason: "x".into() }, 1, held(FAILED));
        check(Exit::Conflict, 0, held(None));
        check(Exit::HostCrash { crashes: 3 }, 4, held(NOT_RUN));
        check(Exit::Done { result: None }, 4, delete(DONE));
        check(Exit::Verdict { class: "x".into(), reason: "x".into() }, 1, dead_lettered());
    }

    #[test]
    fn an_unroutable_message_is_hidden_longer_each_time_and_dead_lettered_at_last() {
        let retry = Retry::default();
        let settle = |receive_count, age_s| {
            let at = DecisionInput {
                attempt: 0,
                retry: &retry,
                draw: 0.5,
                receive_count,
                age: S(age_s),
                unroutable_after: S(3600),
                pause_hold: S(60),
                retention: None,
                next_probe: S(1),
                on_exhausted: OnExhausted::DeadLetter,
                message_id: &MESSAGE,
                now: NOW,
                ttl: TTL,
            };
            decide(&Exit::Unroutable { kind: "t".into() }, &at)
        };
        let hidden = |s| hide(S(s), None);
        assert_eq!(settle(1, 0), hidden(60));
        assert_eq!(settle(2, 60), hidden(120));
        assert_eq!(settle(1000, 60), hidden(900));
        assert_eq!(settle(5, 3600), dead_lettered());
    }

    fn with_retention(retention: Option<Duration>, age: Duration) -> DecisionInput<'static> {
        static RETRY: std::sync::LazyLock<Retry> =
            std::sync::LazyLock::new(|| Retry { maximum_interval: Duration::ZERO, ..Retry::default() });
        DecisionInput {
            attempt: 1,
            retry: &RETRY,
            draw: 0.0,
            receive_count: 1,
            age,
            unroutable_after: S(3600),
            pause_hold: S(60),
            retention,
            next_probe: Duration::ZERO,
            on_exhausted: OnExhausted::BlockGroup,
            message_id: &MESSAGE,
            now: NOW,
            ttl: TTL,
        }
    }

    #[test]
    fn what_counts_no_attempt_waits_at_least_a_second() {
        let at = with_retention(None, S(0));
        let at_once = Duration::ZERO;
        let exits = [
            Exit::Snooze { delay: at_once },
            Exit::Unavailable { dependency: "x".into(), reason: "x".into(), after: Some(at_once) },
            Exit::Reject { reason: "its group is blocked".into() },
        ];
        for exit in exits {
            let QueueAction::Hide(delay) = decide(&exit, &at).queue else { panic!("{exit:?} waits") };
            assert_eq!(delay, S(1), "{exit:?}");
        }
    }

    #[test]
    fn nothing_waits_until_its_queue_deletes_it() {
        let check = |exit: Exit, retention_s, age_s, dies| {
            let at = with_retention(Some(S(retention_s)), S(age_s));
            let (exit, settlement) = within_retention(exit.clone(), decide(&exit, &at), &at);
            assert_eq!(settlement.is_dead_letter(), dies, "{exit:?} of {retention_s} s after {age_s} s");
            assert_eq!(matches!(exit, Exit::Retention { .. }), dies);
        };
        let snooze = |delay_s| Exit::Snooze { delay: S(delay_s) };
        check(snooze(30), 60, 23, false);
        check(snooze(30), 60, 24, true);
        check(snooze(1), 60, 60, true);
        check(snooze(600), 4 * 86_400, 0, false);
        check(snooze(600), 4 * 86_400, 4 * 86_400 - 901, false);
        check(snooze(600), 4 * 86_400, 4 * 86_400 - 900, true);
        // It comes back when SQS has hidden it for as long as it can.
        check(snooze(1_000_000), 86_400, 0, false);
        check(Exit::Reject { reason: "its group is blocked".into() }, 60, 58, true);
        check(Exit::LedgerDown { reason: "x".into() }, 60, 58, true);
        check(Exit::Busy { remaining: S(30) }, 60, 58, false);
        check(Exit::Done { result: None }, 60, 58, false);
        check(Exit::LeaseLost, 60, 58, false);
    }

    #[test]
    fn a_letter_that_cannot_be_sent_waits_longer_each_time() {
        let waits: Vec<_> = [1, 2, 5, 8, 9, 1_000].map(|receive| letter_wait(receive, 0.0).as_secs()).into();
        assert_eq!(waits, [2, 4, 32, 256, 300, 300]);
        assert_eq!(letter_wait(1, 1.0), S(3));
    }
}
