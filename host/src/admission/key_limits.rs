//! Keyed concurrency: how many runs of a plugin there are at once for each key, on this host or on
//! all hosts together.
//!
//! The flow asks [`KeyLimits::acquire`] before a message is claimed. A key's permits are a
//! semaphore; a fleet's are what this host has leased of a pool of the key's own
//! ([`super::fleet_pools`]). A message that finds no permit waits in hand, in a line in which the
//! one that was sent first goes first, or is hidden. One task ([`KeyLimits::keep`]) gives what
//! comes free to the first in line, and keeps the leases. A key that nothing waits for costs no
//! task.

mod entry;
mod keys;
mod permit;
mod serve;
mod status;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;
use wasq_core::clock;

pub use keys::KeyId;
pub use permit::KeyPermit;
pub use status::{KeyedStatus, KeyedTop};

use keys::Keys;

use super::fleet_pools::{FleetPool, Wish};
use super::in_hand::Claimant;
use super::line::{Answer, InLine, Turn};
use crate::config::Limits;

/// Calls to the ledger under way at once, for all keys.
const CALLS: usize = 32;

/// For how long a message is hidden for whose key there is no room.
const NO_ROOM: Duration = Duration::from_secs(5);

/// The keys of all plugins with keyed concurrency, as this host knows them.
pub struct KeyLimits {
    /// How long a message waits in hand, and how long it is hidden at most.
    wait: Duration,
    hold: Duration,
    state: Mutex<Keys>,
    /// A key has something to be served.
    changed: Notify,
    calls: Semaphore,
}

/// What a message has at once.
enum Taken {
    Permit(KeyPermit),
    Place(Place),
}

/// A place in a line.
struct Place {
    turn: Turn,
    answer: oneshot::Receiver<Answer<OwnedSemaphorePermit>>,
    /// What the permit will be of, and the wish that it is leased.
    pool: Option<(Arc<FleetPool>, Wish)>,
}

impl KeyLimits {
    pub fn new(limits: &Limits) -> Self {
        Self {
            wait: limits.rate_wait,
            hold: limits.rate_hold,
            state: Mutex::new(Keys::new(limits.concurrency_keys)),
            changed: Notify::new(),
            calls: Semaphore::new(CALLS),
        }
    }

    /// A permit of the key. Waits in hand, where that is not for long.
    ///
    /// # Errors
    /// For how long the message is to be hidden.
    pub async fn acquire(&self, id: &KeyId, claimant: Claimant<'_>) -> Result<KeyPermit, Duration> {
        let until = clock::now() + self.wait;
        let place = match self.take(id, claimant, until)? {
            Taken::Permit(permit) => return Ok(permit),
            Taken::Place(place) => place,
        };
        let in_line = InLine(|| self.leave(id, place.turn));
        let answer = tokio::time::timeout_at(until, place.answer).await;
        drop(in_line);
        if let Ok(Ok(Answer::Granted(permit))) = answer {
            return Ok(KeyPermit::new(permit, place.pool.map(|(pool, _wish)| pool)));
        }
        let state = &mut *self.state.lock();
        let hide = state.get(id).map(|entry| entry.hide(claimant.is_returned, self.hold, clock::now()));
        Err(hide.unwrap_or(NO_ROOM))
    }

    fn leave(&self, id: &KeyId, turn: Turn) {
        if let Some(entry) = self.state.lock().get(id) {
            entry.line.leave(turn);
        }
    }

    /// A permit, where one is free and nobody waits who was sent before; else a place in the line.
    fn take(&self, id: &KeyId, claimant: Claimant<'_>, until: Instant) -> Result<Taken, Duration> {
        let state = &mut *self.state.lock();
        let (turn, now) = ((claimant.sent_at, state.next_turn()), clock::now());
        let Some(entry) = state.get_or_make(id, now) else { return Err(NO_ROOM) };
        if let Some(permit) = entry.permit_now(turn, now) {
            return Ok(Taken::Permit(permit));
        }
        let answer = entry.join(turn, claimant, until, self.hold, now)?;
        let pool = entry.pool.as_ref().map(|pool| (pool.clone(), pool.wish()));
        if entry.begin_to_serve() {
            state.begun.push(id.clone());
            self.changed.notify_one();
        }
        Ok(Taken::Place(Place { turn, answer, pool }))
    }
}

#[cfg(test)]
mod tests;
