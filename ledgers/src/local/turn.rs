//! What is decided and written together, under the table's lock: one frame of the log.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wasq_core::message::{Key, UnixMs};

use super::fences::Fences;
use super::leases::Leases;
use super::record::Stored;
use super::runs::Runs;
use super::segment::{Append, Segment};
use crate::entry::{self, Change, State, Steps};
use crate::ledger::{Claim, ClaimRequest, Completion, Ended, Fence, Finish, LedgerError};

/// What was read from the runs before the table was locked.
#[derive(Default)]
pub struct Found {
    /// The runs that were asked. What they say holds as long as the table has the same.
    pub runs: Arc<Runs>,
    pub entries: Vec<(Key, Result<Option<Stored>, LedgerError>)>,
}

impl Found {
    /// Reads these keys.
    pub fn read(runs: Arc<Runs>, keys: Vec<Key>) -> Self {
        let entries = keys.into_iter().map(|key| (key, runs.get(key))).collect();
        Self { runs, entries }
    }

    pub fn get(&self, key: Key) -> Option<&Result<Option<Stored>, LedgerError>> {
        self.entries.iter().find(|(found, _)| *found == key).map(|(_, entry)| entry)
    }
}

/// A turn at the table.
pub struct Turn<'a> {
    pub append: Append<'a>,
    pub sealed: &'a VecDeque<Arc<Segment>>,
    pub leases: &'a mut Leases,
    pub fences: &'a mut Fences,
    pub found: &'a Found,
    /// How much of the log has to be on the disk before the turn is answered.
    pub wait_for: u64,
    /// Keys whose steps are forgotten, each with the latest fence of those.
    pub forgotten: Vec<(Key, Fence)>,
}

impl Turn<'_> {
    /// What is recorded under the key: a lease has its claim's entry, the log what is newer than
    /// the runs.
    fn stored(&self, key: Key) -> Result<Option<Stored>, LedgerError> {
        if let Some(stored) = self.leases.stored(key) {
            return Ok(Some(stored.clone()));
        }
        if let Some((record, _)) = self.segments().find_map(|segment| segment.get(key)) {
            return Stored::decode(key, record.content()).map(Some);
        }
        self.found.get(key).cloned().unwrap_or(Ok(None))
    }

    /// How much of the log has to be on the disk for the key's latest record to be.
    pub fn position(&self, key: Key) -> u64 {
        self.segments().find_map(|segment| segment.get(key)).map_or(0, |(_, position)| position)
    }

    /// The turn is answered when the key's latest record is on the disk.
    fn answer_durably(&mut self, key: Key) {
        self.wait_for = self.wait_for.max(self.position(key));
    }

    /// The newest first.
    fn segments(&self) -> impl Iterator<Item = &Segment> {
        std::iter::once(self.append.segment()).chain(self.sealed.iter().rev().map(Arc::as_ref))
    }

    fn put(&mut self, key: Key, stored: &Stored) -> Result<(), LedgerError> {
        self.append.put(key, |buffer| stored.encode(key, buffer))
    }

    pub fn claim(
        &mut self,
        key: Key,
        request: &ClaimRequest,
        now: Instant,
        today: UnixMs,
    ) -> Result<Claim, LedgerError> {
        let held_for = self.leases.remaining(key, now);
        let found = self.stored(key)?;
        let fence = self.fences.next();
        let steps_since = found.as_ref().map(|stored| stored.steps_since);
        let (claim, change) = entry::claim(found.map(|stored| stored.entry), held_for, request, fence, today);
        if let Some(Change { entry, .. }) = change {
            let is_new = matches!(&claim, Claim::Fresh(fresh) if fresh.is_new);
            let steps_since = steps_since.filter(|_| !is_new).unwrap_or(fence);
            let stored = Stored { entry, steps_since };
            self.put(key, &stored)?;
            self.leases.hold(key, stored, !is_new, now, request.lease);
        }
        // A claim that says what another delivery has recorded has its message deleted.
        if matches!(claim, Claim::Done { .. } | Claim::DeadLettered) {
            self.answer_durably(key);
        }
        Ok(claim)
    }

    pub fn finish(&mut self, key: Key, fence: Fence, finish: Finish, today: UnixMs) -> Result<(), LedgerError> {
        let found = self.stored(key)?;
        let steps_since = found.as_ref().map_or(fence, |stored| stored.steps_since);
        if let Some(Change { entry, steps }) = entry::finish(found.map(|stored| stored.entry), fence, finish, today)? {
            self.put(key, &Stored { entry, steps_since })?;
            if steps == Steps::Forgotten && self.leases.may_have_steps(key) {
                self.forgotten.push((key, fence));
            }
            self.leases.end(key);
        }
        self.answer_durably(key);
        Ok(())
    }

    pub fn knows(&self, key: Key) -> Result<bool, LedgerError> {
        Ok(self.stored(key)?.is_some())
    }

    pub fn ended(&mut self, key: Key) -> Result<Option<Ended>, LedgerError> {
        let ended = self.stored(key)?.and_then(|stored| stored.entry.state.ended());
        self.answer_durably(key);
        Ok(ended)
    }

    pub fn complete(&mut self, key: Key, completion: Completion, today: UnixMs) -> Result<(), LedgerError> {
        let (found, fence) = (self.stored(key)?, self.fences.next());
        let may_have_steps = found.is_some();
        let change = entry::complete(found.map(|stored| stored.entry), completion, fence, today);
        if let Some(Change { entry, .. }) = change {
            self.put(key, &Stored { entry, steps_since: fence })?;
            if may_have_steps {
                self.forgotten.push((key, fence));
            }
            self.leases.end(key);
        }
        self.answer_durably(key);
        Ok(())
    }

    pub fn extend(&mut self, key: Key, fence: Fence, now: Instant, lease: Duration) -> Result<bool, LedgerError> {
        if self.leases.is_held_by(key, fence) {
            self.leases.extend(key, now, lease);
            return Ok(true);
        }
        let claimed = self.claimed_by(key, fence)?;
        let is_ours = claimed.is_some();
        if let Some(stored) = claimed {
            self.leases.hold(key, stored, true, now, lease);
        }
        Ok(is_ours)
    }

    /// Since which fence the steps of the claim count, if it is the key's latest and has not been
    /// finished.
    pub fn steps_since(&self, key: Key, fence: Fence) -> Result<Fence, LedgerError> {
        self.claimed_by(key, fence)?.map(|stored| stored.steps_since).ok_or(LedgerError::Stale)
    }

    /// The entry, if `fence` is its latest claim and has not been finished; that its lease has run
    /// out does not matter as long as nobody else has claimed the key.
    fn claimed_by(&self, key: Key, fence: Fence) -> Result<Option<Stored>, LedgerError> {
        Ok(self.stored(key)?.filter(|stored| stored.entry.fence == fence && stored.entry.state == State::Claimed))
    }

    /// Whether a step that was recorded under `fence` can still be asked for.
    pub fn needs_step(&self, key: Key, fence: Fence, today: UnixMs) -> Result<bool, LedgerError> {
        let is_held = self.leases.knows(key);
        Ok(self.stored(key)?.is_some_and(|Stored { entry, steps_since }| {
            let is_over = matches!(entry.state, State::Done { .. }) || (entry.removable_at <= today && !is_held);
            !is_over && fence >= steps_since
        }))
    }
}
