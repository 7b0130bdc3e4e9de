//! One key: its permits, and the messages that wait for one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use super::permit::KeyPermit;
use crate::admission::departures::Departures;
use crate::admission::fleet_pools::FleetPool;
use crate::admission::in_hand::Claimant;
use crate::admission::line::{Answer, Line, Turn, Waiter};
use crate::admission::returns::Returns;

/// What happened with a key so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub started: u64,
    /// Messages that were hidden because they would have waited for too long.
    pub hidden: u64,
}

pub struct Entry {
    max: usize,
    pub permits: Arc<Semaphore>,
    /// What the permits are leased of.
    pub pool: Option<Arc<FleetPool>>,
    pub line: Line<OwnedSemaphorePermit>,
    returns: Returns,
    departures: Departures,
    /// The task serves its line.
    is_served: bool,
    /// The lease goes to another host for a moment: nothing is taken.
    pub is_yielding: bool,
    pub granted_at: Instant,
    /// A message has joined the line.
    pub joined: Arc<Notify>,
    pub counts: Counts,
}

impl Entry {
    pub fn new(max: usize, pool: Option<FleetPool>, now: Instant) -> Self {
        let pool = pool.map(Arc::new);
        let permits = match &pool {
            Some(pool) => pool.permits().clone(),
            None => Arc::new(Semaphore::new(max)),
        };
        Self {
            max,
            permits,
            pool,
            line: Line::default(),
            returns: Returns::new(now),
            departures: Departures::new(now),
            is_served: false,
            is_yielding: false,
            granted_at: now,
            joined: Arc::default(),
            counts: Counts::default(),
        }
    }

    /// A permit, where one is free and nobody waits who was sent before.
    pub fn permit_now(&mut self, turn: Turn, now: Instant) -> Option<KeyPermit> {
        if self.is_yielding || !self.line.would_be_first(turn) {
            return None;
        }
        let mut permit = vec![self.permits.clone().try_acquire_owned().ok()?];
        if self.pool.as_ref().is_some_and(|pool| !pool.holds(&mut permit)) {
            return None;
        }
        self.granted(now);
        permit.pop().map(|permit| KeyPermit::new(permit, self.pool.clone()))
    }

    /// Has the message wait in line.
    ///
    /// # Errors
    /// For how long it is to be hidden, where it would wait for too long or there is no room.
    pub fn join(
        &mut self,
        turn: Turn,
        claimant: Claimant<'_>,
        until: Instant,
        hold: Duration,
        now: Instant,
    ) -> Result<oneshot::Receiver<Answer<OwnedSemaphorePermit>>, Duration> {
        if self.line.is_empty() {
            self.departures.begin(now);
        }
        let waits = self.departures.behind(self.line.before(turn));
        let is_soon = now.checked_add(waits).is_some_and(|at| at <= until);
        // The room of a newer one is there at once: that one is told to leave.
        if !is_soon || !(claimant.in_hand.wait_in(claimant.room) || self.line.make_room(turn)) {
            return Err(self.hide(claimant.is_returned, hold, now));
        }
        let (tell, answer) = oneshot::channel();
        self.line.join(turn, Waiter { tell, until });
        self.joined.notify_one();
        Ok(answer)
    }

    /// Gives a permit to the first who waits.
    ///
    /// # Errors
    /// It, where nobody does.
    pub fn serve(&mut self, permit: OwnedSemaphorePermit, now: Instant) -> Result<(), OwnedSemaphorePermit> {
        self.line.serve_first(permit)?;
        self.departures.note(now);
        self.granted(now);
        Ok(())
    }

    /// For how long a message is to be hidden that cannot wait here.
    pub fn hide(&mut self, is_returned: bool, hold: Duration, now: Instant) -> Duration {
        self.counts.hidden += 1;
        let (least, interval) = (self.departures.hide(self.line.len(), now), self.departures.interval());
        self.returns.book(is_returned, least, interval, hold, now)
    }

    /// Whether the task has to begin to serve it.
    pub fn begin_to_serve(&mut self) -> bool {
        !std::mem::replace(&mut self.is_served, true)
    }

    /// The task serves it no more.
    pub fn ends_to_be_served(&mut self) {
        self.is_served = false;
    }

    /// Runs that have a permit.
    pub fn running(&self) -> usize {
        match &self.pool {
            Some(pool) => pool.leased().1,
            None => self.max - self.permits.available_permits(),
        }
    }

    /// Whether nothing of it would be missed but for when its hidden messages come back.
    pub fn is_idle(&self) -> bool {
        self.line.is_empty() && !self.is_served && self.running() == 0
    }

    fn granted(&mut self, now: Instant) {
        self.counts.started += 1;
        self.granted_at = now;
    }
}
