//! The leases that are live in this process. They count in monotonic time, so that no jump of the
//! wall clock ends one. They die with the process, and so they should: a claim found on disk
//! without one belongs to a run that crashed.
//!
//! Each lease has its claim's entry as it was written, so that finishing a claim reads nothing.

use std::collections::hash_map::Entry;
use std::time::Duration;

use tokio::time::Instant;
use wasq_core::message::Key;

use super::key_map::KeyMap;
use super::record::Stored;
use crate::ledger::Fence;

/// Leases by key; changes can be taken back until [`Leases::settle`].
///
/// Bounded by the claims at once: a lease goes when its claim is finished, and a while after it has
/// run out ([`Leases::forget_ended`]).
#[derive(Debug, Default)]
pub struct Leases {
    live: KeyMap<Lease>,
    /// What each change of the open batch replaced, oldest first.
    undo: Vec<(Key, Option<Lease>)>,
    /// The latest moment that a caller named.
    now: Option<Instant>,
    /// Keys under which steps are being recorded just now, and how many.
    steps_coming: KeyMap<usize>,
}

/// The clock cannot add up every duration, and nobody needs more: SQS holds a message for 12 hours
/// at most.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone, Debug)]
struct Lease {
    stored: Stored,
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

    /// Makes the claim that is `stored` last until `now + lease`. `has_steps` tells whether there
    /// may be any from before it.
    pub fn hold(&mut self, key: Key, stored: Stored, has_steps: bool, now: Instant, lease: Duration) {
        self.now = Some(now);
        let before = self.live.insert(key, Lease { stored, until: now + lease.min(LONGEST), has_steps });
        self.undo.push((key, before));
    }

    /// Makes the key's lease last until `now + lease`, if there is one.
    pub fn extend(&mut self, key: Key, now: Instant, lease: Duration) {
        self.now = Some(now);
        self.change(key, |held| held.until = now + lease.min(LONGEST));
    }

    /// A step is on its way to the store: until [`Leases::step_came`] nobody claims or finishes the
    /// key, so that the step is not written behind a newer claim.
    pub fn step_comes(&mut self, key: Key) {
        if let Some(held) = self.live.get_mut(&key) {
            held.has_steps = true;
        }
        *self.steps_coming.entry(key).or_default() += 1;
    }

    /// The step is recorded, or it is not and will not be.
    pub fn step_came(&mut self, key: Key) {
        if let Entry::Occupied(mut coming) = self.steps_coming.entry(key) {
            *coming.get_mut() -= 1;
            if *coming.get() == 0 {
                coming.remove();
            }
        }
    }

    pub fn is_step_coming(&self, key: Key) -> bool {
        !self.steps_coming.is_empty() && self.steps_coming.contains_key(&key)
    }

    fn change(&mut self, key: Key, change: impl FnOnce(&mut Lease)) {
        if let Some(lease) = self.live.get_mut(&key) {
            self.undo.push((key, Some(lease.clone())));
            change(lease);
        }
    }

    /// The key's entry, if a lease stands on it, run out or not.
    pub fn stored(&self, key: Key) -> Option<&Stored> {
        self.live.get(&key).map(|lease| &lease.stored)
    }

    /// Whether steps may have been recorded under the key, as far as this process knows.
    pub fn may_have_steps(&self, key: Key) -> bool {
        self.live.get(&key).is_none_or(|lease| lease.has_steps)
    }

    /// Whether the latest claim of the key was given `fence`, as far as this process remembers.
    pub fn is_held_by(&self, key: Key, fence: Fence) -> bool {
        self.live.get(&key).is_some_and(|lease| lease.stored.entry.fence == fence)
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

    /// Drops the leases that have run out by the latest moment a caller named. The log still knows
    /// whose claims they were.
    pub fn forget_ended(&mut self) {
        if let Some(now) = self.now {
            self.live.retain(|_, lease| lease.until > now);
        }
    }

    /// Whether there are claims whose ends or steps may come: those of which no step is on its way.
    pub fn may_end(&self) -> bool {
        self.live.len() > self.steps_coming.len()
    }

    /// Whether a lease stands on the key, run out or not.
    pub fn knows(&self, key: Key) -> bool {
        self.live.contains_key(&key)
    }
}

#[cfg(test)]
mod tests;
