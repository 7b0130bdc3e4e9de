//! Messages that wait in hand for a slot: the one that was sent first goes first.

use std::collections::BTreeMap;

use tokio::sync::oneshot;
use tokio::time::Instant;
use wasq_core::message::UnixMs;

use super::slot::Slot;

/// Where a message stands: by when it was sent, and by who came first among equals.
pub type Turn = (UnixMs, u64);

/// The messages that wait.
#[derive(Default)]
pub struct Line(BTreeMap<Turn, Waiter>);

/// A message that waits.
pub struct Waiter {
    pub tell: oneshot::Sender<Answer>,
    /// When it is hidden if it has no slot by then.
    pub until: Instant,
}

/// What it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Slot(Slot),
    /// There is none for it for long.
    Hide,
}

impl Line {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether nobody who waits was sent before.
    pub fn would_be_first(&self, turn: Turn) -> bool {
        self.0.first_key_value().is_none_or(|(first, _)| turn < *first)
    }

    /// How many were sent before.
    pub fn before(&self, turn: Turn) -> usize {
        // Mostly it is the newest.
        match self.0.last_key_value() {
            Some((last, _)) if *last < turn => self.0.len(),
            Some(_) => self.0.range(..turn).count(),
            None => 0,
        }
    }

    pub fn join(&mut self, turn: Turn, waiter: Waiter) {
        self.0.insert(turn, waiter);
    }

    pub fn leave(&mut self, turn: Turn) {
        self.0.remove(&turn);
    }

    /// Sends the newest away for an older message. The answer is whether there is one.
    pub fn make_room(&mut self, turn: Turn) -> bool {
        let newest = self.0.last_key_value().map(|(newest, _)| *newest);
        let Some(waiter) = newest.filter(|newest| *newest > turn).and_then(|newest| self.0.remove(&newest)) else {
            return false;
        };
        // One that has gone away needs no word.
        let _gone = waiter.tell.send(Answer::Hide);
        true
    }

    /// Gives a slot to the first who still waits.
    ///
    /// # Errors
    /// The slot, where nobody does.
    pub fn serve_first(&mut self, slot: Slot) -> Result<(), Slot> {
        while let Some((_, waiter)) = self.0.pop_first() {
            if waiter.tell.send(Answer::Slot(slot)).is_ok() {
                return Ok(());
            }
        }
        Err(slot)
    }

    /// Sends those away who would wait past their time. `slot_at` says when there is a slot for one
    /// with so many before it.
    pub fn hide_after(&mut self, slot_at: impl Fn(usize) -> Instant) {
        let late: Vec<_> = self
            .0
            .iter()
            .enumerate()
            .filter(|(before, (_, waiter))| slot_at(*before) > waiter.until)
            .map(|(_, (turn, _))| *turn)
            .collect();
        for turn in late {
            if let Some(waiter) = self.0.remove(&turn) {
                let _gone = waiter.tell.send(Answer::Hide);
            }
        }
    }
}
