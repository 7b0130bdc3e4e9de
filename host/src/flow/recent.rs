//! What has ended lately: failures always, everything only while somebody looks; and the types that
//! no plugin handles. No bodies.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use wasq_core::message::{MessageId, UnixMs};

use super::unroutable::Unroutable;

/// Endings that are kept of each kind.
const KEPT_MAX: usize = 200;
/// What is kept of a reason, in bytes.
pub const REASON_MAX_BYTES: usize = 500;
/// For how long everything is kept after somebody has looked.
const WATCHED: Duration = Duration::from_secs(60);

/// How one attempt of a delivery ended.
#[derive(Clone, Debug, serde::Serialize)]
pub struct RecentOutcome {
    pub at: UnixMs,
    pub message_id: MessageId,
    #[serde(rename = "type")]
    pub kind: String,
    pub plugin: String,
    /// 0 where nothing was run.
    pub attempt: u32,
    pub class: &'static str,
    pub settlement: &'static str,
    pub reason: String,
}

/// What one message came to, in all the plugins in which it came to the same.
#[derive(Clone, Debug, serde::Serialize)]
pub struct MessageOutcome {
    /// The latest of them; its reason has those of the others too, where they differ.
    #[serde(flatten)]
    pub outcome: RecentOutcome,
    pub plugins: Vec<String>,
}

/// The latest outcomes.
#[derive(Default)]
pub struct Recent {
    pub unroutable: Unroutable,
    watched_until: AtomicU64,
    all: Mutex<VecDeque<RecentOutcome>>,
    failures: Mutex<VecDeque<RecentOutcome>>,
}

impl Recent {
    /// Keeps the outcome if it is a failure, or somebody looks. While nobody does, what is no failure costs one load.
    pub fn ended(&self, is_failure: bool, now: impl Fn() -> UnixMs, outcome: impl FnOnce(UnixMs) -> RecentOutcome) {
        let watched_until = self.watched_until.load(Ordering::Relaxed);
        if !is_failure && watched_until == 0 {
            return;
        }
        let now = now();
        let is_watched = now.0 < watched_until;
        if !is_watched && watched_until != 0 {
            self.watched_until.store(0, Ordering::Relaxed);
        }
        let outcome = outcome(now);
        if is_failure {
            push(&self.failures, outcome.clone());
        }
        if is_watched {
            push(&self.all, outcome);
        }
    }

    /// The latest outcomes, newest first. From now on they are kept, for a minute.
    pub fn watch(&self, now: UnixMs) -> Vec<RecentOutcome> {
        self.watched_until.store(now.0 + WATCHED.as_millis() as u64, Ordering::Relaxed);
        read(&self.all)
    }

    /// The latest failures, newest first.
    pub fn failures(&self) -> Vec<RecentOutcome> {
        read(&self.failures)
    }
}

/// Outcomes with each message once for all plugins that ended its attempt in the same way; in the
/// order of the first of each.
pub fn by_message(outcomes: impl IntoIterator<Item = RecentOutcome>) -> Vec<MessageOutcome> {
    let mut merged: Vec<MessageOutcome> = Vec::new();
    for outcome in outcomes {
        let is_same = |known: &&mut MessageOutcome| {
            let MessageOutcome { outcome: of, plugins } = known;
            of.message_id == outcome.message_id
                && (of.attempt, of.class, of.settlement) == (outcome.attempt, outcome.class, outcome.settlement)
                && !plugins.contains(&outcome.plugin)
        };
        match merged.iter_mut().find(is_same) {
            Some(known) => {
                if !known.outcome.reason.split("; ").any(|reason| reason == outcome.reason) {
                    known.outcome.reason = format!("{}; {}", known.outcome.reason, outcome.reason);
                }
                known.plugins.push(outcome.plugin);
            }
            None => merged.push(MessageOutcome { plugins: vec![outcome.plugin.clone()], outcome }),
        }
    }
    merged
}

fn push(kept: &Mutex<VecDeque<RecentOutcome>>, outcome: RecentOutcome) {
    let mut kept = kept.lock();
    if kept.len() >= KEPT_MAX {
        kept.pop_front();
    }
    kept.push_back(outcome);
}

fn read(kept: &Mutex<VecDeque<RecentOutcome>>) -> Vec<RecentOutcome> {
    kept.lock().iter().rev().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_several_plugins_reject_is_one_outcome_with_its_plugins() {
        let outcome = |id: &str, plugin: &str, attempt, reason: &str| RecentOutcome {
            at: UnixMs(1),
            message_id: MessageId(id.into()),
            kind: "t".into(),
            plugin: plugin.into(),
            attempt,
            class: "reject",
            settlement: "dead-letter",
            reason: reason.into(),
        };
        let merged = by_message([
            outcome("1", "a", 1, "no"),
            outcome("2", "a", 1, "no"),
            outcome("1", "b", 1, "no"),
            outcome("1", "c", 1, "never"),
            outcome("1", "a", 2, "no"),
        ]);
        let seen: Vec<_> = merged.iter().map(|m| (m.outcome.message_id.0.as_str(), m.plugins.join("+"))).collect();
        assert_eq!(seen, [("1", "a+b+c".to_owned()), ("2", "a".to_owned()), ("1", "a".to_owned())]);
        assert_eq!(merged[0].outcome.reason, "no; never");
        let json = serde_json::to_value(&merged[0]).unwrap();
        assert_eq!((&json["plugin"], &json["plugins"][2]), (&"a".into(), &"c".into()));
    }

    #[test]
    fn failures_are_always_kept_and_the_rest_while_somebody_looks() {
        let recent = Recent::default();
        let end = |ms: u64, is_failure: bool| {
            let outcome = |at| RecentOutcome {
                at,
                message_id: MessageId(ms.to_string()),
                kind: "t".into(),
                plugin: "p".into(),
                attempt: 1,
                class: "done",
                settlement: "delete",
                reason: String::new(),
            };
            recent.ended(is_failure, || UnixMs(ms), outcome);
        };
        end(1, false);
        end(2, true);
        assert!(recent.watch(UnixMs(3)).is_empty());
        end(4, false);
        end(5, true);
        let ids = |all: Vec<RecentOutcome>| all.into_iter().map(|outcome| outcome.message_id.0).collect::<Vec<_>>();
        assert_eq!(
            (ids(recent.watch(UnixMs(6))), ids(recent.failures())),
            (vec!["5".into(), "4".into()], vec!["5".into(), "2".into()])
        );
        end(60_006, false);
        (0..KEPT_MAX as u64 + 5).for_each(|ms| end(70_000 + ms, true));
        assert_eq!(ids(recent.watch(UnixMs(80_000))), ["5", "4"], "nobody looked");
        assert_eq!(recent.failures().len(), KEPT_MAX);
    }
}
