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
    /// Keeps the outcome if it is a failure, or somebody looks. While nobody does, what is no
    /// failure costs one load.
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
mod tests;
