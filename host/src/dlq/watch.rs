//! Pure parts of a replay: how fast it goes, and whether too many letters fail again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;
use wasq_core::message::{MessageId, UnixMs};
use wasq_queues::BATCH_MAX_ENTRIES;

use super::letter_view::LetterView;

/// Messages that must have been replayed before their failure ratio is judged: one failure among
/// two says little. A canary is judged by itself, however small.
pub const JUDGED_MIN: u64 = 10;
/// Messages that one replay watches, by their new ids; then it ends, to be run again.
pub const WATCHED_MAX: usize = 1_000_000;

/// The messages that were replayed, and those of them that came back as letters.
pub struct FailureWatch {
    began: UnixMs,
    failures_max: f64,
    /// By the message ids of their replays: whether they failed again.
    sent: HashMap<MessageId, bool>,
    failed: u64,
    /// All letters that came into the DLQ since the replay began.
    newcomers: HashSet<MessageId>,
}

impl FailureWatch {
    /// What failed after `began` is new; more than `failures_max` of the replayed may not fail
    /// again.
    pub fn new(began: UnixMs, failures_max: f64) -> Self {
        Self { began, failures_max, sent: HashMap::new(), failed: 0, newcomers: HashSet::new() }
    }

    /// A letter was replayed as this message. A FIFO queue answers a twin with the first one's id.
    pub fn sent(&mut self, id: MessageId) {
        self.sent.entry(id).or_insert(false);
    }

    /// Whether a letter came into the DLQ since the replay began: such a one is not replayed in a
    /// circle. It is known by the message id that its replay had, or by its time.
    pub fn is_new(&mut self, view: &LetterView) -> bool {
        let source_id = view.letter().map_or(view.id(), |letter| &letter.message_id);
        let ours = self.sent.get_mut(source_id);
        let is_new = ours.is_some() || view.failed_at() > self.began;
        if let Some(failed) = ours
            && !std::mem::replace(failed, true)
        {
            self.failed += 1;
        }
        if is_new {
            self.newcomers.insert(view.id().clone());
        }
        is_new
    }

    /// Replayed messages that came back; one that failed several plugins counts once.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// All letters that are known to have come into the DLQ since.
    pub fn newcomers(&self) -> u64 {
        self.newcomers.len() as u64
    }

    /// Messages that were sent.
    pub fn replayed(&self) -> u64 {
        self.sent.len() as u64
    }

    pub fn is_full(&self) -> bool {
        self.sent.len() >= WATCHED_MAX
    }

    /// Whether too many have failed again, once there are enough to judge.
    pub fn too_many(&self) -> bool {
        self.replayed() >= JUDGED_MIN && self.ratio_is_over(self.failed)
    }

    /// Whether too many of a canary have.
    pub fn canary_failed(&self) -> bool {
        self.ratio_is_over(self.failed)
    }

    /// Whether it would be too many if all that came into the DLQ, by its counts, were replayed
    /// letters: then it is worth a look at them.
    pub fn is_suspicious(&self, newcomers: u64) -> bool {
        let unknown = newcomers.saturating_sub(self.newcomers.len() as u64);
        self.replayed() >= JUDGED_MIN && unknown > 0 && self.ratio_is_over(self.failed + unknown)
    }

    fn ratio_is_over(&self, failed: u64) -> bool {
        failed as f64 > self.failures_max * self.replayed() as f64
    }
}

/// Keeps to a rate.
pub struct Pace {
    per_s: Option<u32>,
    next: Instant,
}

impl Pace {
    /// At most `per_s` letters a second; none is no limit.
    pub fn new(per_s: Option<u32>, now: Instant) -> Self {
        Self { per_s, next: now }
    }

    /// How many may go at once: a second's worth, and no more than a batch.
    pub fn batch(&self) -> usize {
        self.per_s.map_or(BATCH_MAX_ENTRIES, |per_s| (per_s as usize).clamp(1, BATCH_MAX_ENTRIES))
    }

    /// So many went now; what was not used before is not made up for.
    pub fn went(&mut self, letters: usize, now: Instant) {
        if let Some(per_s) = self.per_s {
            self.next = self.next.max(now) + Duration::from_secs_f64(letters as f64 / f64::from(per_s));
        }
    }

    /// When the next may go.
    pub fn next(&self) -> Instant {
        self.next
    }
}

#[cfg(test)]
mod tests;
