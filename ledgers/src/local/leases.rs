//! The leases that are live in this process. They count in monotonic time, so that no jump of the
//! wall clock ends one. They die with the process, and so they should: a claim found on disk
//! without one belongs to a run that crashed.
//!
//! Each lease has its claim's entry as it stands on the disk, so that finishing a claim reads
//! nothing.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use wasq_core::message::Key;

use crate::entry::Entry;
use crate::ledger::Fence;

/// Leases by key; changes can be taken back until [`Leases::settle`].
///
/// Bounded by the claims at once: a lease goes when its claim is finished, and a while after it has
/// run out ([`Leases::forget_ended`]).
#[derive(Debug, Default)]
pub struct Leases {
    live: HashMap<Key, Lease>,
    /// What each change of the open batch replaced, oldest first.
    undo: Vec<(Key, Option<Lease>)>,
    /// The latest moment that a caller named.
    now: Option<Instant>,
}

/// The clock cannot add up every duration, and nobody needs more: SQS holds a message for 12 hours
/// at most.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone, Debug)]
struct Lease {
    entry: Entry,
    until: Instant,
    /// Whether steps may have been recorded under the key.
    has_steps: bool,
}

impl Leases {
    /// How long the key's lease still lasts, if it does.
    pub fn remaining(&mut self, key: Key, now: Instant) -> Option<Duration> {
        self.now = Some(now);
        self.live.get(&key).and_then(|lease| lease.until.checked_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// Makes the claim that is `entry` last until `now + lease`. `has_steps` tells whether there
    /// may be any from before it.
    pub fn hold(&mut self, key: Key, entry: Entry, has_steps: bool, now: Instant, lease: Duration) {
        self.now = Some(now);
        let before = self.live.insert(key, Lease { entry, until: now + lease.min(LONGEST), has_steps });
        self.undo.push((key, before));
    }

    /// Makes the key's lease last until `now + lease`, if there is one.
    pub fn extend(&mut self, key: Key, now: Instant, lease: Duration) {
        self.now = Some(now);
        self.change(key, |held| held.until = now + lease.min(LONGEST));
    }

    /// Steps are recorded under the key.
    pub fn has_steps_now(&mut self, key: Key) {
        self.change(key, |held| held.has_steps = true);
    }

    fn change(&mut self, key: Key, change: impl FnOnce(&mut Lease)) {
        if let Some(lease) = self.live.get_mut(&key) {
            self.undo.push((key, Some(lease.clone())));
            change(lease);
        }
    }

    /// The key's entry, if a lease stands on it, run out or not.
    pub fn entry(&self, key: Key) -> Option<&Entry> {
        self.live.get(&key).map(|lease| &lease.entry)
    }

    /// Whether steps may have been recorded under the key, as far as this process knows.
    pub fn may_have_steps(&self, key: Key) -> bool {
        self.live.get(&key).is_none_or(|lease| lease.has_steps)
    }

    /// Whether the latest claim of the key was given `fence`, as far as this process remembers.
    pub fn is_held_by(&self, key: Key, fence: Fence) -> bool {
        self.live.get(&key).is_some_and(|lease| lease.entry.fence == fence)
    }

    pub fn end(&mut self, key: Key) {
        let before = self.live.remove(&key);
        self.undo.push((key, before));
    }

    /// The batch is written: its changes stand.
    pub fn settle(&mut self) {
        self.undo.clear();
    }

    /// The batch is void: all is as before it.
    pub fn take_back(&mut self) {
        for (key, before) in self.undo.drain(..).rev() {
            match before {
                Some(lease) => self.live.insert(key, lease),
                None => self.live.remove(&key),
            };
        }
    }

    /// Drops the leases that have run out by the latest moment a caller named. The disk still
    /// knows whose claims they were.
    pub fn forget_ended(&mut self) {
        if let Some(now) = self.now {
            self.live.retain(|_, lease| lease.until > now);
        }
    }

    /// Whether a lease stands on the key, run out or not.
    pub fn knows(&self, key: Key) -> bool {
        self.live.contains_key(&key)
    }
}

#[cfg(test)]
mod tests;
