//! Messages that wait in hand, for a slot of a rate or a permit of their key: the one that was sent
//! first goes first.

use std::collections::BTreeMap;

use tokio::sync::oneshot;
use tokio::time::Instant;
use wasq_core::message::UnixMs;

/// Where a message stands: by when it was sent, and by who came first among equals.
pub type Turn = (UnixMs, u64);

/// The messages that wait for a `T`.
pub struct Line<T>(BTreeMap<Turn, Waiter<T>>);

/// A message in a line. It leaves when it waits no more, whatever the reason.
pub struct InLine<F: FnMut()>(pub F);

/// A message that waits.
pub struct Waiter<T> {
    pub tell: oneshot::Sender<Answer<T>>,
    /// When it is hidden if it has nothing by then.
    pub until: Instant,
}

/// What it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    Granted(T),
    /// There is none for it for long.
    Hide,
}

impl<F: FnMut()> Drop for InLine<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Line<T> {
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

    pub fn join(&mut self, turn: Turn, waiter: Waiter<T>) {
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

    /// Sends the newest away. The answer is whether there is one.
    pub fn hide_newest(&mut self) -> bool {
        let Some((_, waiter)) = self.0.pop_last() else { return false };
        let _gone = waiter.tell.send(Answer::Hide);
        true
    }

    /// Grants it to the first who still waits.
    ///
    /// # Errors
    /// It, where nobody does.
    pub fn serve_first(&mut self, mut granted: T) -> Result<(), T> {
        while let Some((_, waiter)) = self.0.pop_first() {
            match waiter.tell.send(Answer::Granted(granted)) {
                Ok(()) | Err(Answer::Hide) => return Ok(()),
                Err(Answer::Granted(back)) => granted = back,
            }
        }
        Err(granted)
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
