//! A new version of a plugin on trial: a share of the messages runs on it until it is promoted or
//! rolled back.
//!
//! Only a message's first receive may run on the new version, so one that failed there is retried
//! on the old one, on whichever host. Both versions are judged by their first receives alone, since
//! retries fail more often.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;
use wasq_core::clock;
use wasq_core::message::{Key, MessageType};

use super::load::Plugin;
use crate::config::{Percent, RolloutConfig};
use crate::exit::Exit;

/// A trial.
pub struct Rollout {
    pub candidate: Arc<Plugin>,
    share: Percent,
    rules: RolloutConfig,
    began: Instant,
    runs: Mutex<Runs>,
    outcome: OnceLock<TrialEnd>,
}

/// First runs of both versions since the trial began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Runs {
    pub stable: Tally,
    pub candidate: Tally,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Tally {
    pub runs: u64,
    pub failures: u64,
}

/// How a trial ended.
#[derive(Clone, Debug, PartialEq)]
pub enum TrialEnd {
    Promoted,
    RolledBack { reason: String },
}

/// Which of the two a message runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Stable,
    Candidate,
}

impl Rollout {
    pub fn new(candidate: Arc<Plugin>, share: Percent, rules: RolloutConfig) -> Self {
        let (runs, outcome) = (Mutex::default(), OnceLock::new());
        Self { candidate, share, rules, began: clock::now(), runs, outcome }
    }

    /// The version for a message. The key decides, so that its duplicates and every host come to
    /// the same.
    pub fn version(&self, kind: &MessageType, key: &Key, receive_count: u32) -> Version {
        let handles = self.candidate.manifest.handles(kind);
        let is_candidate = handles
            && match self.outcome.get() {
                Some(TrialEnd::Promoted) => true,
                Some(TrialEnd::RolledBack { .. }) => false,
                None => receive_count <= 1 && unit_interval(key) < self.share.ratio(),
            };
        if is_candidate { Version::Candidate } else { Version::Stable }
    }

    /// Counts a first run. The answer is whether it must be repeated on the stable version,
    /// uncounted; what began before the version was rolled back is, too.
    pub fn ran(&self, version: Version, exit: &Exit) -> bool {
        let Some(failed) = exit.handler_failed() else { return false };
        if self.outcome.get().is_none() {
            self.judge(self.count(version, failed));
        }
        version == Version::Candidate && failed && self.outcome.get() != Some(&TrialEnd::Promoted)
    }

    fn count(&self, version: Version, failed: bool) -> Runs {
        let mut runs = self.runs.lock();
        let tally = match version {
            Version::Stable => &mut runs.stable,
            Version::Candidate => &mut runs.candidate,
        };
        tally.runs += 1;
        tally.failures += u64::from(failed);
        *runs
    }

    /// Whether and how it has ended; time alone may end it.
    pub fn outcome(&self) -> Option<&TrialEnd> {
        if self.outcome.get().is_none() {
            self.judge(self.runs());
        }
        self.outcome.get()
    }

    pub fn runs(&self) -> Runs {
        *self.runs.lock()
    }

    pub fn share(&self) -> Percent {
        self.share
    }

    pub fn elapsed(&self) -> Duration {
        clock::now() - self.began
    }

    fn judge(&self, runs: Runs) {
        if let Some(outcome) = judge(runs, self.elapsed(), &self.rules) {
            self.outcome.get_or_init(|| outcome);
        }
    }
}

impl Tally {
    fn ratio(self) -> f64 {
        if self.runs == 0 { 0.0 } else { self.failures as f64 / self.runs as f64 }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} runs failed", self.failures, self.runs)
    }
}

/// Where a key stands between 0 and 1, evenly spread.
fn unit_interval(key: &Key) -> f64 {
    let [a, b, c, d, ..] = key.0;
    f64::from(u32::from_le_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0)
}

/// The verdict, once there is one. Too many failures end a trial at once, a clean record at the end
/// of its window.
fn judge(runs: Runs, elapsed: Duration, rules: &RolloutConfig) -> Option<TrialEnd> {
    let Runs { stable, candidate } = runs;
    if candidate.runs < rules.min_runs {
        return None;
    }
    if candidate.ratio() > stable.ratio() + rules.failure_margin.ratio() {
        let reason = format!("{candidate} on the new version, {stable} on the earlier one");
        return Some(TrialEnd::RolledBack { reason });
    }
    (elapsed >= rules.window).then_some(TrialEnd::Promoted)
}

#[cfg(test)]
mod tests;
