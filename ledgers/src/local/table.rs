//! What the ledger has in memory, under one lock that callers take on their own tasks: the log's
//! segments, the leases, and which runs there are.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use wasq_core::message::Key;

use super::bell::Bell;
use super::fences::Fences;
use super::leases::Leases;
use super::run::Run;
use super::runs::Runs;
use super::segment::Segment;
use super::turn::{Found, Turn};
use crate::ledger::{Fence, LedgerError};

/// Segments that may wait for the mover. With the one that is written to, the log has some 64 MiB,
/// on the disk and in memory, and its index some 20 MiB. Then callers wait for the mover.
pub const SEALED_MAX: usize = 7;

pub struct Table {
    pub dir: PathBuf,
    active: Segment,
    /// Full segments, the oldest first.
    sealed: VecDeque<Arc<Segment>>,
    runs: Arc<Runs>,
    pub leases: Leases,
    fences: Fences,
    /// The last number that a segment was given.
    last_number: u64,
    /// Why the log cannot be synced. Nothing is written until it can.
    pub failing: Option<String>,
    /// Why the mover has come no further.
    stalled: Option<String>,
    pub is_closed: bool,
    /// Rung when a segment is full.
    pub mover: Arc<Bell>,
}

/// Whether a turn can be made.
pub enum Ready {
    Now,
    /// Not before these keys are read from the runs.
    Read(Vec<Key>),
    /// Not before something changes.
    Later,
}

/// What a turn came to.
pub struct Turned<T> {
    pub answer: T,
    pub wait_for: u64,
    pub forgotten: Vec<(Key, Fence)>,
}

/// What may not be on the disk.
pub struct Unsynced {
    pub sealed: Vec<Arc<Segment>>,
    pub active: Arc<File>,
    pub active_number: u64,
    pub end: u64,
}

impl Table {
    /// `replayed` are the segments that another process has left, the oldest first.
    pub fn new(dir: PathBuf, replayed: Vec<Segment>, runs: Runs, first: Fence, last_number: u64) -> io::Result<Self> {
        let base = replayed.last().map_or(0, Segment::end);
        let active = Segment::create(&dir, last_number + 1, base)?;
        Ok(Self {
            dir,
            active,
            sealed: replayed.into_iter().map(Arc::new).collect(),
            runs: Arc::new(runs),
            leases: Leases::default(),
            fences: Fences::starting_with(first),
            last_number: last_number + 1,
            failing: None,
            stalled: None,
            is_closed: false,
            mover: Arc::default(),
        })
    }

    /// Whether a turn over these keys can be made, with what was `found`. A turn that `changes` the
    /// keys waits for their steps on their way, and for room in the log.
    pub fn ready(
        &mut self,
        keys: impl Iterator<Item = Key> + Clone,
        found: &Found,
        changes: bool,
    ) -> Result<Ready, LedgerError> {
        if self.is_closed {
            return Err(LedgerError::Unavailable("the ledger is closed".into()));
        }
        if changes {
            if let Some(reason) = &self.failing {
                return Err(LedgerError::Unavailable(reason.clone()));
            }
            if keys.clone().any(|key| self.leases.is_step_coming(key)) || !self.make_room()? {
                return Ok(Ready::Later);
            }
        }
        let is_found = |key: Key| Arc::ptr_eq(&found.runs, &self.runs) && found.get(key).is_some();
        let is_missing = |key: &Key| !self.has(*key) && self.runs.may_have(*key);
        let missing: Vec<Key> = keys.filter(is_missing).collect();
        Ok(if missing.iter().all(|key| is_found(*key)) { Ready::Now } else { Ready::Read(missing) })
    }

    /// Whether the key's latest entry is in memory.
    fn has(&self, key: Key) -> bool {
        self.leases.knows(key) || self.active.has(key) || self.sealed.iter().any(|segment| segment.has(key))
    }

    /// False where the mover has to make it.
    fn make_room(&mut self) -> Result<bool, LedgerError> {
        if !self.active.is_full() {
            return Ok(true);
        }
        if self.sealed.len() < SEALED_MAX {
            self.roll().map_err(|error| self.unwritable(&error))?;
            return Ok(true);
        }
        match &self.stalled {
            Some(reason) => Err(LedgerError::Unavailable(format!("the log is full, and {reason}"))),
            None => Ok(false),
        }
    }

    /// Goes on with a new segment.
    pub fn roll(&mut self) -> io::Result<()> {
        self.last_number += 1;
        let next = Segment::create(&self.dir, self.last_number, self.active.end())?;
        self.sealed.push_back(Arc::new(std::mem::replace(&mut self.active, next)));
        self.mover.ring();
        Ok(())
    }

    fn unwritable(&self, error: &io::Error) -> LedgerError {
        LedgerError::Unavailable(format!("the ledger's log in {} cannot be written: {error}", self.dir.display()))
    }

    /// Does `work`, and writes what it has decided as one frame. After an error all is as before.
    pub fn turn<T>(
        &mut self,
        found: &Found,
        work: impl FnOnce(&mut Turn<'_>) -> Result<T, LedgerError>,
    ) -> Result<Turned<T>, LedgerError> {
        let (answer, wait_for, forgotten, written) = {
            let mut turn = Turn {
                append: self.active.append(),
                sealed: &self.sealed,
                leases: &mut self.leases,
                fences: &mut self.fences,
                found,
                wait_for: 0,
                forgotten: Vec::new(),
            };
            let answer = work(&mut turn);
            let Turn { append, wait_for, forgotten, .. } = turn;
            let is_written = answer.is_ok() && !append.is_empty();
            let written = if is_written { append.write().map(drop) } else { Ok(()) };
            (answer, wait_for, forgotten, written)
        };
        match (answer, written) {
            (Ok(answer), Ok(())) => {
                self.leases.settle();
                Ok(Turned { answer, wait_for, forgotten })
            }
            (Err(error), _) => {
                self.leases.take_back();
                Err(error)
            }
            (Ok(_), Err(error)) => {
                self.leases.take_back();
                Err(self.unwritable(&error))
            }
        }
    }

    /// Writes a frame without records: whether the log takes one. Gives where it stands then.
    pub fn ping(&mut self) -> Result<u64, LedgerError> {
        if let Ready::Later = self.ready(std::iter::empty(), &Found::default(), true)? {
            return Err(LedgerError::Unavailable("the log is full, and its entries are being moved".into()));
        }
        self.active.append().write().map_err(|error| self.unwritable(&error))
    }

    /// Where the log stands.
    pub fn end(&self) -> u64 {
        self.active.end()
    }

    pub fn unsynced(&self) -> Unsynced {
        let sealed = self.sealed.iter().filter(|segment| !segment.is_synced()).cloned().collect();
        let active = self.active.file.clone();
        Unsynced { sealed, active, active_number: self.active.number, end: self.end() }
    }

    /// All that may not be on the disk, in its order; and a number for a segment that takes its
    /// place, and where that begins.
    pub fn rescue(&mut self) -> (u64, u64, Vec<u8>) {
        let sealed = self.sealed.iter().filter(|segment| !segment.is_synced()).map(|segment| segment.bytes());
        let frames = sealed.chain([self.active.bytes()]).collect::<Vec<_>>().concat();
        self.last_number += 1;
        (self.last_number, self.end() - frames.len() as u64, frames)
    }

    /// Goes on with a segment that has on the disk what may not have been there.
    pub fn rescued(&mut self, segment: Segment) {
        self.sealed.push_back(Arc::new(std::mem::replace(&mut self.active, segment)));
        self.sealed.iter().for_each(|segment| segment.set_synced());
        self.failing = None;
        self.mover.ring();
    }

    /// The runs, and the segment that becomes one next.
    pub fn oldest_sealed(&self) -> Option<(Arc<Segment>, Arc<Runs>)> {
        Some((self.sealed.front()?.clone(), self.runs.clone()))
    }

    /// The oldest segment's entries are in `run`.
    pub fn moved(&mut self, run: Option<Run>) -> Option<Arc<Segment>> {
        if let Some(run) = run {
            self.runs = Arc::new(self.runs.with_newest(run));
        }
        self.stalled = None;
        self.sealed.pop_front()
    }

    pub fn stalled(&mut self, reason: String) {
        self.stalled = Some(reason);
    }

    pub fn next_fence(&mut self) -> Fence {
        self.fences.next()
    }

    pub fn runs(&self) -> &Arc<Runs> {
        &self.runs
    }

    pub fn merged(&mut self, inputs: &[Arc<Run>], run: Option<Run>) {
        self.runs = Arc::new(self.runs.with_merged(inputs, run));
    }

    /// The number of the segment that is written to, if an entry is in it.
    pub fn written_to(&self) -> Option<u64> {
        (self.active.keys() > 0).then_some(self.active.number)
    }

    /// Entries that there are. One that has changed may count more than once.
    pub fn entries(&self) -> u64 {
        let in_log = self.active.keys() + self.sealed.iter().map(|segment| segment.keys()).sum::<usize>();
        in_log as u64 + self.runs.entries()
    }
}
