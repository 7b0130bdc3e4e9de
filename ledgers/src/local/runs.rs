//! The runs that there are, and which of them are merged next.

use std::ops::Range;
use std::sync::Arc;

use wasq_core::message::{Key, UnixMs};

use super::record::Stored;
use super::run::Run;
use crate::ledger::LedgerError;

/// Neighbours that are merged at once: at least, and, where more have come meanwhile, at most.
pub const MERGE_RUNS: usize = 6;
const MERGE_RUNS_MAX: usize = 12;
/// A merge makes at least so many times the largest of its runs: an entry is written again once
/// for each such growth.
const GROWTH: u64 = 4;
/// With more runs than this, the smallest neighbours are merged whatever they grow to: each run
/// is asked for a new key.
const RUNS_MAX: usize = 64;

/// Immutable: a change makes a new list.
#[derive(Clone, Default)]
pub struct Runs(
    /// The newest first. Of a key's entries, the newest counts.
    Vec<Arc<Run>>,
);

impl Runs {
    pub fn new(newest_first: Vec<Run>) -> Self {
        Self(newest_first.into_iter().map(Arc::new).collect())
    }

    pub fn all(&self) -> &[Arc<Run>] {
        &self.0
    }

    /// Whether one of them may have the key. False is certain.
    pub fn may_have(&self, key: Key) -> bool {
        self.0.iter().any(|run| run.may_have(key))
    }

    /// The key's entry, from the disk.
    pub fn get(&self, key: Key) -> Result<Option<Stored>, LedgerError> {
        for run in self.0.iter().filter(|run| run.may_have(key)) {
            if let Some(stored) = run.get(key)? {
                return Ok(Some(stored));
            }
        }
        Ok(None)
    }

    /// Entries that they have. One that has changed since it came may count more than once.
    pub fn entries(&self) -> u64 {
        self.0.iter().map(|run| run.entries).sum()
    }

    /// With one that is newer than all.
    pub fn with_newest(&self, run: Run) -> Self {
        Self(std::iter::once(Arc::new(run)).chain(self.0.iter().cloned()).collect())
    }

    /// With `merged` in the place of these neighbours.
    pub fn with_merged(&self, inputs: &[Arc<Run>], merged: Option<Run>) -> Self {
        let is_input = |run: &Arc<Run>| inputs.iter().any(|input| Arc::ptr_eq(input, run));
        let at = self.0.iter().position(is_input).unwrap_or(self.0.len());
        let mut list: Vec<_> = self.0.iter().filter(|run| !is_input(run)).cloned().collect();
        if let Some(merged) = merged {
            list.insert(at, Arc::new(merged));
        }
        Self(list)
    }

    /// Which neighbours are to be merged; of one alone, what has expired is left out.
    pub fn next_merge(&self, now: UnixMs) -> Option<Range<usize>> {
        let sizes: Vec<u64> = self.0.iter().map(|run| run.entries).collect();
        let half_expired = |run: &Arc<Run>| run.half_expired_at <= now;
        next_by_size(&sizes).or_else(|| self.0.iter().rposition(half_expired).map(|n| n..n + 1))
    }
}

fn next_by_size(sizes: &[u64]) -> Option<Range<usize>> {
    let sum = |runs: &[u64]| runs.iter().fold(0, |sum: u64, size| sum.saturating_add(*size));
    let grows = |runs: &[u64]| runs.iter().max().is_some_and(|max| sum(runs) >= max.saturating_mul(GROWTH));
    let windows = || sizes.windows(MERGE_RUNS).enumerate();
    if let Some((at, _)) = windows().find(|(_, window)| grows(window)) {
        let ends = at + MERGE_RUNS..=sizes.len().min(at + MERGE_RUNS_MAX);
        let end = ends.take_while(|end| grows(&sizes[at..*end])).last()?;
        return Some(at..end);
    }
    let are_too_many = sizes.len() > RUNS_MAX;
    let smallest = are_too_many.then(|| windows().min_by_key(|(_, window)| sum(window))).flatten();
    smallest.map(|(at, _)| at..at + MERGE_RUNS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs of one that come one after the other, each followed by the merges that are due: how
    /// many runs are left, and how often an entry was written.
    fn load(count: u64) -> (usize, f64) {
        let (mut sizes, mut written) = (Vec::new(), 0);
        for _ in 0..count {
            sizes.insert(0, 1);
            written += 1;
            while let Some(merge) = next_by_size(&sizes) {
                let merged = sizes[merge.clone()].iter().sum();
                written += merged;
                sizes.splice(merge, [merged]);
            }
        }
        (sizes.len(), written as f64 / count as f64)
    }

    #[test]
    fn runs_stay_few_and_entries_are_seldom_written_again() {
        let check = |count: u64, runs_max: usize, written_max: f64| {
            let (runs, written) = load(count);
            assert!(runs <= runs_max && written <= written_max, "{count}: {runs} runs, written {written} times");
        };
        check(5, 5, 1.0);
        check(40, 10, 3.0);
        check(400, 15, 4.5);
        check(4_000, 20, 6.0);
    }

    #[test]
    fn sizes_in_any_order_are_merged_before_they_are_too_many() {
        let mut sizes: Vec<u64> = (0..RUNS_MAX as u32 + 1).map(|n| 1 << (n % 60)).collect();
        while let Some(merge) = next_by_size(&sizes) {
            let merged = sizes[merge.clone()].iter().fold(0, |sum: u64, size| sum.saturating_add(*size));
            sizes.splice(merge, [merged]);
        }
        assert!(sizes.len() <= RUNS_MAX);
    }

    #[test]
    fn where_many_have_come_meanwhile_more_are_merged_at_once() {
        let check = |sizes: &[u64], expect: Option<Range<usize>>| assert_eq!(next_by_size(sizes), expect, "{sizes:?}");
        check(&[1; 5], None);
        check(&[1; 6], Some(0..6));
        check(&[1; 50], Some(0..MERGE_RUNS_MAX));
        check(&[1, 1, 1, 1, 1, 1, 1, 6, 6], Some(0..7));
        check(&[9, 1, 1, 1, 1, 1, 1], Some(1..7));
    }
}
