//! Ends of members of one chunk that come at the same moment are recorded together: whoever comes
//! first records for all who have come until it does.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use wasq_ledgers::LedgerError;

use super::chunk::End;
use super::record::Sum;

/// What each waits to be told of its end.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Whether it is news.
    pub is_new: bool,
    /// What the chunk comes to now, for the one of them who is to tell it to the record. The
    /// others' messages may go: that one's stays in its queue until the record knows.
    pub sum: Option<Sum>,
}

/// An end that is to be recorded.
pub struct Waiting {
    pub place: usize,
    pub end: End,
    pub tell: oneshot::Sender<Result<Told, LedgerError>>,
}

/// The ends that are to be recorded, by their chunks. A chunk is there while somebody records for
/// it.
#[derive(Default)]
pub struct Combiner(Mutex<HashMap<String, Vec<Waiting>>>);

impl Combiner {
    /// Hands in an end. The answer is whether the caller is to record for all.
    pub fn hand_in(&self, chunk: &str, waiting: Waiting) -> bool {
        let mut chunks = self.0.lock();
        match chunks.get_mut(chunk) {
            Some(others) => {
                others.push(waiting);
                false
            }
            None => {
                chunks.insert(chunk.to_owned(), vec![waiting]);
                true
            }
        }
    }

    /// What has come since; none, and nobody records any more, where nothing has.
    pub fn take(&self, chunk: &str) -> Option<Vec<Waiting>> {
        let mut chunks = self.0.lock();
        let waiting = std::mem::take(chunks.get_mut(chunk)?);
        if waiting.is_empty() {
            chunks.remove(chunk);
            return None;
        }
        Some(waiting)
    }

    /// Whoever recorded has gone away: those who wait are let go, and say it again themselves.
    pub fn abandon(&self, chunk: &str) {
        self.0.lock().remove(chunk);
    }
}
