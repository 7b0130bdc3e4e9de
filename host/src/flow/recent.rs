//! What has ended lately: failures always, everything only while somebody looks. No bodies.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::message::{MessageId, UnixMs};

/// Endings that are kept of each kind.
const KEPT_MAX: usize = 200;
/// What is kept of a reason, in bytes.
pub const REASON_MAX_BYTES: usize = 500;
/// For how long everything is kept after somebody has looked.
const WATCHED: Duration = Duration::from_secs(60);

/// How one share of a delivery ended.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Outcome {
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

/// The latest outcomes.
#[derive(Default)]
pub struct Recent {
    watched_until: AtomicU64,
    all: Mutex<VecDeque<Outcome>>,
    failures: Mutex<VecDeque<Outcome>>,
}

impl Recent {
    /// Keeps the outcome if it is a failure, or somebody looks. While nobody does, what is no failure costs one load.
    pub fn ended(&self, is_failure: bool, now: impl Fn() -> UnixMs, outcome: impl FnOnce(UnixMs) -> Outcome) {
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
    pub fn watch(&self, now: UnixMs) -> Vec<Outcome> {
        self.watched_until.store(now.0 + WATCHED.as_millis() as u64, Ordering::Relaxed);
        read(&self.all)
    }

    /// The latest failures, newest first.
    pub fn failures(&self) -> Vec<Outcome> {
        read(&self.failures)
    }
}

fn push(kept: &Mutex<VecDeque<Outcome>>, outcome: Outcome) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= KEPT_MAX {
        kept.pop_front();
    }
    kept.push_back(outcome);
}

fn read(kept: &Mutex<VecDeque<Outcome>>) -> Vec<Outcome> {
    kept.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_always_kept_and_the_rest_while_somebody_looks() {
        let recent = Recent::default();
        let end = |ms: u64, is_failure: bool| {
            let outcome = |at| Outcome {
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
        let ids = |all: Vec<Outcome>| all.into_iter().map(|outcome| outcome.message_id.0).collect::<Vec<_>>();
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
