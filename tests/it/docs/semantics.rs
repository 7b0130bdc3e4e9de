//! `docs/use/semantics.md`: its tables are what the code's own decision and backoff say.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use wasq::config::{Limits, OnExhausted, QueueConfig};
use wasq::exit::Exit;
use wasq::flow::decide::{DecisionInput, QueueAction, decide};
use wasq::flow::retry::backoff;
use wasq::plugins::manifest::Retry;
use wasq_core::message::{MessageId, UnixMs};
use wasq_ledgers::Finish;

use super::document;

const S: fn(u64) -> Duration = Duration::from_secs;

/// The rows of the table under a heading, without those of its head.
fn rows(heading: &str) -> Vec<String> {
    let text = document("semantics.md");
    let section = text.split("\n## ").find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("semantics.md has no section {heading}"));
    section.lines().filter(|line| line.starts_with("| ")).skip(2).map(str::to_owned).collect()
}

/// Each exit, with what it depends on in words, and the receive at which it is met.
fn exits() -> Vec<(&'static str, Exit, u32)> {
    let text = || "x".to_owned();
    let unavailable = |after| Exit::Unavailable { dependency: text(), reason: text(), after };
    let paused = |remaining| Exit::Paused { target: text(), remaining };
    let unroutable = || Exit::Unroutable { kind: text() };
    vec![
        ("", Exit::Done { result: None }, 1),
        ("", Exit::Discard { reason: text() }, 1),
        (" for 600 s", Exit::Snooze { delay: S(600) }, 1),
        ("", Exit::Waiting, 1),
        ("", Exit::Retry { reason: text(), after: None }, 1),
        (" after 40 s", Exit::Retry { reason: text(), after: Some(S(40)) }, 1),
        (", the next probe in 4 s", unavailable(None), 1),
        (" after 40 s", unavailable(Some(S(40))), 1),
        ("", Exit::Reject { reason: text() }, 1),
        ("", Exit::Timeout { limit: S(1) }, 1),
        ("", Exit::Trap { reason: text() }, 1),
        ("", Exit::OutOfMemory { reason: text() }, 1),
        ("", Exit::Exited { code: 0 }, 1),
        ("", Exit::BadResult { reason: text() }, 1),
        ("", Exit::Outbox { reason: text() }, 1),
        ("", Exit::Invalid { reason: text() }, 1),
        ("", Exit::Notice { reason: text() }, 1),
        ("", Exit::Cancelled { group: text() }, 1),
        ("", Exit::Conflict, 1),
        ("", Exit::OversizedKey { size_bytes: 2, limit_bytes: 1 }, 1),
        ("", Exit::OutboxDepth { depth: 33, limit: 32 }, 1),
        (", 1st receive", unroutable(), 1),
        (", 3rd receive", unroutable(), 3),
        (", 9th receive", unroutable(), 9),
        (", `on_expired = \"discard\"`", Exit::Expired { discard: true }, 1),
        (", `on_expired = \"dead-letter\"`", Exit::Expired { discard: false }, 1),
        ("", Exit::HostCrash { crashes: 3 }, 1),
        (", 1st receive", paused(None), 1),
        (", 3rd receive", paused(None), 3),
        (", 9th receive", paused(None), 9),
        (", 9th receive, 7 s before its end", paused(Some(S(7))), 9),
        ("", Exit::LeaseLost, 1),
        ("", Exit::Interrupted, 1),
        ("", Exit::NoPermit, 1),
        (" for 30 s more", Exit::BreakerOpen { dependency: text(), remaining: S(30) }, 1),
        (", its start in 30 s", Exit::RateLimited { rate: text(), remaining: S(30) }, 1),
        (", another ends in 30 s", Exit::KeyLimited { remaining: S(30) }, 1),
        (", its turn in 30 s", Exit::Yielded { remaining: S(30) }, 1),
        (", 1st receive", Exit::Busy { remaining: S(60) }, 1),
        (", 4th receive", Exit::Busy { remaining: S(60) }, 4),
        ("", Exit::Duplicate { same_message: true }, 1),
        (", with 7 s left", Exit::BackingOff { remaining: S(7) }, 1),
        (", due in 30 s", Exit::NotDue { remaining: S(30), at: UnixMs(0) }, 1),
        ("", Exit::LedgerDown { reason: text() }, 1),
        ("", Exit::LedgerDamaged { reason: text() }, 1),
        ("", Exit::Verdict { class: text(), reason: text() }, 1),
        ("", Exit::Retention { retention: S(345_600), waiting_for: text() }, 1),
    ]
}

#[test]
fn the_table_of_exits_says_what_the_host_decides() {
    let expect: Vec<_> = exits().iter().map(|(words, exit, receive)| row(words, exit, *receive)).collect();
    let rows = rows("How a run can end");
    let documented: Vec<_> = rows.iter().map(|row| row.splitn(6, '|').take(5).collect::<Vec<_>>().join("|")).collect();
    assert_eq!(documented, expect, "the table should begin with:\n{}", expect.join("\n"));
    for row in &rows {
        let meaning = row.trim_end_matches(" |").rsplit("| ").next().unwrap();
        assert!(meaning.len() > 10, "nothing says what it means: {row}");
    }
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/exit.rs")).unwrap();
    let body = source.split("fn class").nth(1).and_then(|rest| rest.split("\n    }\n").next()).unwrap();
    let classes: BTreeSet<_> = body.split('"').skip(1).step_by(2).collect();
    assert!(classes.len() > 20, "the classes were not found in exit.rs");
    assert_eq!(exits().iter().map(|(_, exit, _)| exit.class()).collect::<BTreeSet<_>>(), classes);
}

/// A row's columns that the code knows: the exit, whether it counts, and what follows before and at
/// the last attempt.
fn row(words: &str, exit: &Exit, receive_count: u32) -> String {
    let (retry, message_id) = (Retry::default(), MessageId("m".into()));
    let decided = |attempt, draw| {
        let at = DecisionInput {
            attempt,
            retry: &retry,
            draw,
            receive_count,
            age: S(60),
            queue_age: S(60),
            unroutable_after: QueueConfig::default().unroutable_after,
            retention: None,
            next_probe: S(4),
            pause_hold: Limits::default().pause_hold,
            on_exhausted: OnExhausted::DeadLetter,
            message_id: &message_id,
            now: UnixMs(0),
            ttl: S(1),
        };
        decide(exit, &at)
    };
    let followed = |attempt| {
        let (low, high) = (decided(attempt, 0.0), decided(attempt, 1.0));
        match (low.queue, high.queue) {
            (QueueAction::Hide(low), QueueAction::Hide(high)) => format!("again in {}", range(low, high)),
            (QueueAction::Delete, _) if low.is_dead_letter() => "dead letter".into(),
            (QueueAction::Delete, _) if matches!(low.ledger, Some(Finish::Released { .. })) => "parked".into(),
            (QueueAction::Delete, _) => "deleted".into(),
            (QueueAction::Leave, _) => "left alone".into(),
            (QueueAction::Hide(_), _) => panic!("{low:?} depends on chance"),
        }
    };
    let ran = exit.handler_failed().is_some();
    let first = decided(1, 0.0);
    let counts = match (first.queue, first.ledger) {
        (QueueAction::Hide(_), Some(Finish::Failed { .. })) => "yes",
        (QueueAction::Delete, Some(Finish::Released { .. })) => "no",
        (QueueAction::Delete, _) if ran => "yes",
        (QueueAction::Delete, _) => "no run",
        (QueueAction::Hide(_) | QueueAction::Leave, _) => "no",
    };
    format!("| `{}`{words} | {counts} | {} | {} ", exit.class(), followed(1), followed(retry.max_attempts))
}

#[test]
fn the_backoff_is_the_one_that_the_host_computes() {
    let retry = Retry::default();
    let expect: Vec<_> = [1, 2, 3, 4, 6, 8, 10, 11, 20]
        .map(|failure| {
            format!("| {failure} | {} |", range(backoff(&retry, failure, 0.0), backoff(&retry, failure, 1.0)))
        })
        .into();
    assert_eq!(rows("Backoff"), expect, "the table should be:\n{}", expect.join("\n"));
}

#[test]
fn the_numbers_in_its_prose_are_the_defaults() {
    let (limits, queue, text) = (Limits::default(), QueueConfig::default(), document("semantics.md"));
    for sentence in [
        format!("after `max_crashes` ({}) claims", limits.max_crashes),
        format!("More than `outbox_depth` ({}) outboxes", limits.outbox_depth),
        format!("`breaker_failures` ({}) failures in a row", limits.breaker_failures),
        format!("`breaker_probe` ({} s)", limits.breaker_probe.as_secs()),
        format!("`breaker_dependencies` ({})", limits.breaker_dependencies),
        format!("`visibility` ({} s)", queue.visibility.as_secs()),
        format!("after `unroutable_after` ({} h)", queue.unroutable_after.as_secs() / 3_600),
        format!("`permit_wait` ({} s)", limits.permit_wait.as_secs()),
        format!("`settle_grace` ({} s)", limits.settle_grace.as_secs()),
    ] {
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(&sentence), "semantics.md does not say: {sentence}");
    }
}

fn range(low: Duration, high: Duration) -> String {
    let [low, high] = [low, high].map(|time| time.as_secs_f64());
    if low == high { format!("{low} s") } else { format!("{low} to {high} s") }
}
