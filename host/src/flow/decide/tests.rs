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
        queue_age: S(100),
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
    check(Exit::NotDue { remaining: S(30), at: UnixMs(0) }, 1, hide(S(30), None));
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
    check(Exit::RateLimited { rate: text(), remaining: S(30) }, 0, delay(24, NOT_RUN));
    check(Exit::KeyLimited { remaining: S(30) }, 0, delay(24, NOT_RUN));
    check(Exit::Yielded { remaining: S(30) }, 0, delay(24, NOT_RUN));
    let soon = Exit::RateLimited { rate: text(), remaining: Duration::from_millis(5) };
    check(soon, 0, delay(1, NOT_RUN));
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
            queue_age: S(0),
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
            queue_age: S(age_s),
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
        queue_age: age,
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
        let (exit, settlement) = within_retention(exit.clone(), decide(&exit, &at), &at, || false);
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

#[test]
fn a_dependency_that_no_breaker_probes_is_waited_for_longer_each_time() {
    let delay = |receive_count, after| {
        let retry = Retry::default();
        let at = DecisionInput {
            attempt: 0,
            retry: &retry,
            draw: 0.0,
            receive_count,
            age: S(100),
            queue_age: S(100),
            unroutable_after: S(3600),
            pause_hold: S(60),
            retention: None,
            next_probe: S(0),
            on_exhausted: OnExhausted::DeadLetter,
            message_id: &MESSAGE,
            now: NOW,
            ttl: TTL,
        };
        let down = Exit::Unavailable { dependency: "s3".into(), reason: "down".into(), after };
        match decide(&down, &at).queue {
            QueueAction::Hide(delay) => delay,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!([1, 2, 3].map(|receives| delay(receives, None)), [S(1), S(2), S(4)]);
    assert_eq!(delay(1_000, None), S(300));
    assert_eq!(delay(1, Some(S(10))), S(10));
}
