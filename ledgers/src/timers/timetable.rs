//! What each operation makes of a service's timers, as pure functions of the time and of the fences
//! that are given out. The stores decide the same, each in its own way; the contract suite holds
//! them to it. It keeps everything in memory, so that a simulated ledger is one of these.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use wasq_core::message::UnixMs;

use super::{
    COUNT_MAX, Cancelled, Counts, Due, LIST_MAX, List, Listed, NewTimer, Place, Set, TAKE_MAX, TAKE_MAX_BYTES, Taken,
    Timer, TimerId, Update,
};
use crate::entry::after;
use crate::error::LedgerError;
use crate::fence::Fence;

/// A service's timers.
#[derive(Clone, Debug, Default)]
pub struct Timetable {
    rows: BTreeMap<TimerId, Row>,
    /// All of them by the moment from which they can be taken.
    by_look: BTreeSet<(UnixMs, TimerId)>,
}

#[derive(Clone, Debug)]
struct Row {
    due: UnixMs,
    /// From when it can be taken: when it is due, or when the lease ends that it is taken under.
    look: UnixMs,
    is_taken: bool,
    fence: Fence,
    queue: String,
    message: Bytes,
}

impl Row {
    fn is_held(&self, now: UnixMs) -> bool {
        self.is_taken && self.look > now
    }
}

impl Timetable {
    /// # Errors
    /// [`LedgerError::TooLarge`], as of every store.
    pub fn set(&mut self, timer: NewTimer, fence: Fence, now: UnixMs) -> Result<Set, LedgerError> {
        timer.fits()?;
        if self.rows.contains_key(&timer.id) {
            return Ok(Set::Exists);
        }
        let due = timer.due.from(now);
        let row = Row { due, look: due, is_taken: false, fence, queue: timer.queue, message: timer.message };
        self.put(timer.id, row);
        Ok(Set::New)
    }

    /// Each that is taken gets a fence of `next_fence`.
    pub fn take_due(&mut self, lease: Duration, max: usize, now: UnixMs, mut next_fence: impl FnMut() -> Fence) -> Due {
        let (mut due, mut bytes) = (Due { now, ..Due::default() }, 0_usize);
        while due.taken.len() < max.min(TAKE_MAX)
            && let Some((look, id)) = self.by_look.first().cloned()
            && look <= now
            && let Some(row) = self.rows.get(&id)
        {
            bytes = bytes.saturating_add(row.message.len());
            if !due.taken.is_empty() && bytes > TAKE_MAX_BYTES {
                break;
            }
            let row = Row { fence: next_fence(), is_taken: true, look: UnixMs(u64::MAX), ..row.clone() };
            due.taken.push(Taken {
                id: id.clone(),
                fence: row.fence,
                due: row.due,
                queue: row.queue.clone(),
                message: row.message.clone(),
            });
            self.put(id, row);
        }
        for taken in &due.taken {
            if let Some(row) = self.rows.get(&taken.id).cloned() {
                self.put(taken.id.clone(), Row { look: after(now, lease), ..row });
            }
        }
        due.taken.sort_unstable_by(|a, b| (a.due, &a.id).cmp(&(b.due, &b.id)));
        due.next_in = self.by_look.first().map(|(look, _)| look.since(now));
        due
    }

    /// # Errors
    /// [`LedgerError::Stale`] if the timer's fence is another one.
    pub fn done(&mut self, id: &TimerId, fence: Fence) -> Result<bool, LedgerError> {
        if self.find(id, fence)?.is_none() {
            return Ok(false);
        }
        self.remove(id);
        Ok(true)
    }

    /// # Errors
    /// As [`Timetable::done`], and [`LedgerError::TooLarge`].
    pub fn update(&mut self, update: Update, fence: Fence, now: UnixMs) -> Result<bool, LedgerError> {
        update.fits()?;
        let Some(row) = self.find(&update.id, update.fence)?.cloned() else { return Ok(false) };
        let due = update.due.from(now);
        let message = update.message.unwrap_or(row.message);
        self.put(update.id, Row { due, look: due, is_taken: false, fence, queue: row.queue, message });
        Ok(true)
    }

    pub fn cancel(&mut self, id: &TimerId, now: UnixMs) -> Cancelled {
        match self.remove(id) {
            None => Cancelled::Gone,
            Some(row) if row.is_held(now) => Cancelled::Taken,
            Some(_) => Cancelled::Waiting,
        }
    }

    pub fn get(&self, id: &TimerId, now: UnixMs) -> Option<Timer> {
        let row = self.rows.get(id)?;
        Some(Timer {
            due: row.due,
            queue: row.queue.clone(),
            message: row.message.clone(),
            fence: (!row.is_held(now)).then_some(row.fence),
        })
    }

    pub fn list(&self, limit: usize, after: Option<&Place>, now: UnixMs) -> List {
        let begin = after.map_or((UnixMs(0), TimerId(String::new())), |place| (place.look, TimerId(place.tie.clone())));
        let behind = self
            .by_look
            .range(begin..)
            .filter(|(look, id)| after.is_none_or(|place| (*look, id.0.as_str()) > (place.look, place.tie.as_str())));
        let limit = limit.min(LIST_MAX);
        let found: Vec<_> = behind.take(limit.saturating_add(1)).collect();
        let shown = &found[..found.len().min(limit)];
        let listed = |(_, id): &&(UnixMs, TimerId)| {
            self.rows.get(id).map(|row| Listed {
                id: id.clone(),
                due: row.due,
                queue: row.queue.clone(),
                bytes: row.message.len(),
                is_taken: row.is_held(now),
            })
        };
        let is_more = found.len() > shown.len();
        let next = shown.last().filter(|_| is_more).map(|(look, id)| Place { look: *look, tie: id.0.clone() });
        List { timers: shown.iter().filter_map(listed).collect(), next }
    }

    pub fn counts(&self, now: UnixMs) -> Counts {
        let all = self.by_look.len() as u64;
        let overdue = self.by_look.iter().take_while(|(look, _)| *look <= now).count() as u64;
        Counts { all: all.min(COUNT_MAX), overdue: overdue.min(COUNT_MAX), is_at_least: all > COUNT_MAX }
    }

    fn find(&self, id: &TimerId, fence: Fence) -> Result<Option<&Row>, LedgerError> {
        match self.rows.get(id) {
            Some(row) if row.fence != fence => Err(LedgerError::Stale),
            found => Ok(found),
        }
    }

    fn put(&mut self, id: TimerId, row: Row) {
        self.remove(&id);
        self.by_look.insert((row.look, id.clone()));
        self.rows.insert(id, row);
    }

    fn remove(&mut self, id: &TimerId) -> Option<Row> {
        let row = self.rows.remove(id)?;
        self.by_look.remove(&(row.look, id.clone()));
        Some(row)
    }
}
