//! The store of the local queue: an append-only log of checksummed frames in segment files.
//!
//! Each commit is one frame, so it is there whole or not at all. One thread writes, many commits in
//! one write; another waits for the disk, many commits in one sync, so that a commit which only has
//! to reach the operating system never waits behind one that has to reach the disk. A frame that
//! was torn by a crash ends the log: what precedes it counts. A whole frame that this version
//! cannot read is of another one: the log does not open, and nothing is cut off.
//!
//! Message contents stay in the log and are read by position; what the queue needs to choose a
//! message lies in memory and is rebuilt by reading the log at start. Old segments are retired when
//! most of what they hold is dead: see `maintenance`.
//!
//! An LSM tree was measured in its place: it refused to open after a page in the last kilobyte of
//! its journal was zeroed, as losing power can do, and held its write lock while it synced.

mod commit;
mod error;
mod frame;
mod replay;
mod segment;
mod writer;

use std::{fs::File, path::Path, pin::Pin, sync::Arc, thread::JoinHandle, time::Duration};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use self::{
    commit::{Commit, Operation},
    segment::Segments,
    writer::Writer,
};
pub use self::{
    commit::{Durability, Finish},
    error::{LogError, OpenError},
    replay::{Replayed, ReplayedQueue},
    segment::{Location, Segment},
};
use super::record::Record;

/// Commits that may wait for the writer.
const QUEUED_COMMITS: usize = 1_024;
/// Times to try for the directory's lock, for a predecessor in this process may be about to let go
/// of it.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// The open log.
pub struct Log {
    operations: mpsc::Sender<Operation>,
    segments: Arc<Segments>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// The right to hand over one commit without waiting.
pub struct Slot(mpsc::OwnedPermit<Operation>);

/// Ends when a commit is stored, or is not.
pub struct Stored(oneshot::Receiver<Result<(), LogError>>);

impl IntoFuture for Stored {
    type Output = Result<(), LogError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.0.await.unwrap_or(Err(LogError::Closed)) })
    }
}

impl Slot {
    /// Hands over a commit: its records, and the contents of the messages among them in the same
    /// order. Commits are stored in the order of these calls, so whoever holds a queue's lock here
    /// knows the order in the log.
    pub fn commit(self, records: Vec<Record>, contents: Vec<Vec<u8>>, durability: Durability, finish: Finish) {
        self.0.send(Operation::Commit(Commit { records, contents, durability, finish }));
    }

    /// Hands over a commit; what comes back tells when it is stored.
    pub fn commit_and_tell(self, records: Vec<Record>, contents: Vec<Vec<u8>>, durability: Durability) -> Stored {
        let (done, told) = oneshot::channel();
        let finish: Finish = Box::new(move |result| {
            // Nobody listens any more when the client went away; the commit counts all the same.
            let _ = done.send(result.map(drop));
        });
        self.commit(records, contents, durability, finish);
        Stored(told)
    }
}

impl Log {
    /// Opens the log in this directory, creating it if need be, and reads what it holds. Blocks.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(dir: &Path) -> Result<(Self, Replayed), OpenError> {
        std::fs::create_dir_all(dir).map_err(OpenError::io(dir))?;
        let lock = lock(dir)?;
        let segments = Arc::new(Segments::open(dir)?);
        let replayed = replay::replay(&segments)?;
        let (operations, received) = mpsc::channel(QUEUED_COMMITS);
        let writer = Writer::start(segments.clone(), replayed.end, received, lock).map_err(OpenError::io(dir))?;
        Ok((Self { operations, segments, writer: Mutex::new(Some(writer)) }, replayed))
    }

    /// Waits for the right to hand over a commit.
    ///
    /// # Errors
    /// [`LogError::Closed`].
    pub async fn slot(&self) -> Result<Slot, LogError> {
        self.operations.clone().reserve_owned().await.map(Slot).map_err(|_| LogError::Closed)
    }

    /// The oldest segment, if it is worth copying what lives in it to the log's end so as to retire
    /// it.
    pub fn retirable(&self, now: super::clock::Ms) -> Option<Arc<Segment>> {
        self.segments.retirable(now)
    }

    /// Deletes the oldest segment, when whatever lived in it is durable elsewhere.
    ///
    /// # Errors
    /// The file cannot be deleted.
    pub fn retire(&self, segment: &Segment) -> std::io::Result<()> {
        self.segments.retire(segment)
    }

    /// Stores what was handed over, then closes the log and lets go of its directory. Blocks.
    pub fn close(&self) {
        // The writer may have ended already, which is what is wanted.
        let _ = self.operations.blocking_send(Operation::Close);
        let writer = self.writer.lock().take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the local queue's writing thread panicked");
        }
    }
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("LOCK");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(OpenError::io(&path))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(std::fs::TryLockError::Error(error)) => return Err(OpenError::Io { path, error }),
        }
    }
    Err(OpenError::Locked { dir: dir.to_owned() })
}

#[cfg(test)]
mod tests;
