//! The buckets of all rates, and when something is to be done with one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::time::Instant;

use super::bucket::{Bucket, Counts};
use crate::admission::limit_key::LimitKey;
use crate::quotas::rate_document::Pace;

/// One rate, for one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketId {
    pub(super) rate: usize,
    pub(super) key: LimitKey,
}

impl BucketId {
    /// Whether it is for one key.
    pub fn has_key(&self) -> bool {
        self.key != LimitKey::All
    }
}

/// All buckets.
pub struct Buckets {
    numbers: HashMap<BucketId, u64>,
    by_number: BTreeMap<u64, Entry>,
    /// Of each rate, the buckets of its keys by when they were used last.
    by_use: Vec<BTreeSet<(u64, u64)>>,
    /// Buckets with something to be done, by when.
    due: BTreeSet<(Instant, u64)>,
    /// When the task looks next.
    known_due: Option<Instant>,
    keys_max: usize,
    forgotten: Vec<Counts>,
    counter: u64,
}

struct Entry {
    id: BucketId,
    bucket: Bucket,
    used: u64,
    due_at: Option<Instant>,
}

impl Buckets {
    pub fn new(rates: usize, keys_max: usize) -> Self {
        Self {
            numbers: HashMap::new(),
            by_number: BTreeMap::new(),
            by_use: vec![BTreeSet::new(); rates],
            due: BTreeSet::new(),
            known_due: None,
            keys_max,
            forgotten: vec![Counts::default(); rates],
            counter: 0,
        }
    }

    /// A number that grows, for those that came at the same time.
    pub fn next_turn(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// Does something with a bucket, which is made if it is not there.
    pub fn change<T>(
        &mut self,
        id: &BucketId,
        pace: Pace,
        now: Instant,
        change: impl FnOnce(&mut Bucket, Instant) -> T,
    ) -> T {
        let number = match self.numbers.get(id) {
            Some(number) => *number,
            None => self.make(id, pace, now),
        };
        self.touch(number);
        self.change_number(number, now, change).expect("it is there, or was made just now")
    }

    /// As [`Buckets::change`], by its number. None where it is gone.
    pub fn change_number<T>(
        &mut self,
        number: u64,
        now: Instant,
        change: impl FnOnce(&mut Bucket, Instant) -> T,
    ) -> Option<T> {
        let entry = self.by_number.get_mut(&number)?;
        let answer = change(&mut entry.bucket, now);
        let due_at = entry.bucket.due_at(now);
        if due_at != entry.due_at {
            if let Some(before) = entry.due_at {
                self.due.remove(&(before, number));
            }
            self.due.extend(due_at.map(|at| (at, number)));
            entry.due_at = due_at;
        }
        Some(answer)
    }

    /// Another limit of a rate holds from now on, for all its keys.
    pub fn change_pace(&mut self, rate: usize, pace: Pace, now: Instant) {
        let numbers: Vec<_> =
            self.numbers.iter().filter(|(id, _)| id.rate == rate).map(|(_, number)| *number).collect();
        for number in numbers {
            self.change_number(number, now, |bucket, now| bucket.change_pace(pace, now));
        }
    }

    /// The buckets with something to be done by now.
    pub fn due(&self, now: Instant) -> Vec<u64> {
        self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, number)| *number).collect()
    }

    /// When the next one has, behind `after`, which the task knows from now on.
    pub fn next_due(&mut self, after: Option<Instant>) -> Option<Instant> {
        self.known_due = self.due.iter().map(|(at, _)| *at).find(|at| after.is_none_or(|after| *at > after));
        self.known_due
    }

    /// What became of the slots of keys that are forgotten.
    pub fn forgotten(&self, rate: usize) -> Counts {
        self.forgotten[rate]
    }

    pub fn is_due_before_known(&self) -> bool {
        self.due.first().is_some_and(|(at, _)| self.known_due.is_none_or(|known| *at < known))
    }

    pub fn id(&self, number: u64) -> Option<&BucketId> {
        self.by_number.get(&number).map(|entry| &entry.id)
    }

    pub fn all(&self) -> impl Iterator<Item = (&BucketId, &Bucket)> {
        self.by_number.values().map(|entry| (&entry.id, &entry.bucket))
    }

    fn make(&mut self, id: &BucketId, pace: Pace, now: Instant) -> u64 {
        let number = self.next_turn();
        if id.key != LimitKey::All {
            self.forget_one(id.rate);
        }
        self.numbers.insert(id.clone(), number);
        let entry = Entry { id: id.clone(), bucket: Bucket::new(pace, now), used: 0, due_at: None };
        self.by_number.insert(number, entry);
        number
    }

    fn touch(&mut self, number: u64) {
        let used = self.next_turn();
        let Some(entry) = self.by_number.get_mut(&number) else { return };
        if entry.id.key != LimitKey::All {
            let by_use = &mut self.by_use[entry.id.rate];
            by_use.remove(&(entry.used, number));
            by_use.insert((used, number));
        }
        entry.used = used;
    }

    /// Makes room for one more key of the rate: the one that was used longest ago goes, unless a
    /// message waits for it. What it had in hand is lost.
    fn forget_one(&mut self, rate: usize) {
        let by_use = &mut self.by_use[rate];
        if by_use.len() < self.keys_max {
            return;
        }
        let is_idle = |(_, number): &&(u64, u64)| self.by_number[number].bucket.is_idle();
        let Some((used, number)) = by_use.iter().find(is_idle).copied() else { return };
        by_use.remove(&(used, number));
        if let Some(entry) = self.by_number.remove(&number) {
            self.numbers.remove(&entry.id);
            self.forgotten[rate].add(entry.bucket.counts);
            if let Some(at) = entry.due_at {
                self.due.remove(&(at, number));
            }
        }
    }
}
