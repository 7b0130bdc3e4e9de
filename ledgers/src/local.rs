//! The ledger of one process, in a directory of its own.
//!
//! It stands on SQLite with a write-ahead log (docs/internals/stores.md measures why). One thread
//! owns the store and does all operations in the order in which they come, many in one transaction.
//! Claims are answered when it has reached the operating system; a second thread syncs the log,
//! many transactions at a time, and then answers completions and steps. Leases are kept in memory,
//! by monotonic time; a claim found on disk without a lease belongs to a run that crashed, and can
//! be claimed at once.

mod expiry;
mod leases;
mod operation;
mod pauses;
mod row_index;
mod rows;
mod store;
mod syncer;
mod unsynced;
mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;
use wasq_core::clock;
use wasq_core::message::Key;
use wasq_core::pause::{Pause, Target};

pub use self::store::OpenError;

use self::operation::{Operation, Tables, Task};
use self::store::Store;
use self::writer::{WAITING_MAX, Writer};
use super::entry::{self, Change, Entry, State, Steps};
use super::ledger::one;
use super::{Claim, ClaimRequest, Completion, Fence, Finish, Ledger, LedgerError};
use crate::meters::LedgerMeters;

/// How often what has expired is looked for at least.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Longer than a process lives.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The ledger in a directory. Clones share it; the last one dropped, or [`LocalLedger::close`],
/// waits until everything handed in is written.
///
/// A claim whose future is dropped before it answers may have been recorded: the key is then busy
/// until its lease ends.
#[derive(Clone)]
pub struct LocalLedger(Arc<Handle>);

struct Handle {
    meters: Arc<LedgerMeters>,
    /// Gone once closed.
    open: Mutex<Option<Open>>,
}

struct Open {
    operations: mpsc::Sender<Box<dyn Operation>>,
    writer: JoinHandle<()>,
}

impl LocalLedger {
    /// Opens the ledger in `dir`, which is made if it is not there. Blocks for some milliseconds.
    ///
    /// # Errors
    /// [`OpenError`] names the directory and the way out; [`OpenError::InUse`] if another process
    /// has it open.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        Self::start(dir, SWEEP_EVERY)
    }

    /// As [`open`](Self::open), but the number of new entries alone decides when expired ones are
    /// looked for. The work for so many entries is then the same on a slow and on a fast machine.
    ///
    /// # Errors
    /// As `open`.
    pub fn without_ticks(dir: &Path) -> Result<Self, OpenError> {
        Self::start(dir, NEVER)
    }

    fn start(dir: &Path, sweep_every: Duration) -> Result<Self, OpenError> {
        let at = |source: io::Error| OpenError::Directory { dir: dir.to_owned(), source };
        let (store, first) = Store::open(dir)?;
        let (operations, inbox) = mpsc::channel(WAITING_MAX);
        let meters = Arc::new(LedgerMeters::default());
        let writer = Writer::new(store, dir.to_owned(), first, inbox, meters.clone(), sweep_every).map_err(at)?;
        let writer = thread::Builder::new().name("wasq-ledger".into()).spawn(|| writer.run()).map_err(at)?;
        Ok(Self(Arc::new(Handle { meters, open: Mutex::new(Some(Open { operations, writer })) })))
    }

    /// Writes what was handed in and lets go of the directory, for every clone. Blocks until that
    /// is done; whatever is asked afterwards is answered with [`LedgerError::Unavailable`].
    pub fn close(&self) {
        self.0.close();
    }

    /// Has the writer do `work` in its turn; the answers that `durable` picks are given only from
    /// the disk.
    async fn ask<T, F>(&self, durable: fn(&T) -> bool, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tables<'_>) -> Result<T, LedgerError> + Send + 'static,
    {
        let closed = || LedgerError::Unavailable("the ledger is closed".into());
        let operations = self.0.operations().ok_or_else(closed)?;
        let (task, answer) = Task::new(durable, work);
        operations.send(Box::new(task)).await.map_err(|_| closed())?;
        drop(operations);
        answer.await.map_err(|_| closed())?
    }
}

impl Handle {
    fn operations(&self) -> Option<mpsc::Sender<Box<dyn Operation>>> {
        let open = self.open.lock();
        open.as_ref().map(|open| open.operations.clone())
    }

    fn close(&self) {
        let open = self.open.lock().take();
        if let Some(Open { operations, writer }) = open {
            drop(operations);
            if writer.join().is_err() {
                tracing::error!("the ledger's writer has panicked; what it had not answered is not recorded");
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

/// For what has to be on the disk before its answer.
fn on_disk<T>(_: &T) -> bool {
    true
}

/// For what has to be with the operating system.
fn with_os<T>(_: &T) -> bool {
    false
}

/// The answers of a batch. What the disk fails at is the whole batch's matter; a damaged entry is
/// its key's.
fn each<P, T>(
    parts: Vec<P>,
    work: impl FnMut(P) -> Result<T, LedgerError>,
) -> Result<Vec<Result<T, LedgerError>>, LedgerError> {
    let answers = parts.into_iter().map(work).map(|answer| match answer {
        Err(LedgerError::Unavailable(reason)) => Err(LedgerError::Unavailable(reason)),
        answer => Ok(answer),
    });
    answers.collect()
}

#[async_trait]
impl Ledger for LocalLedger {
    async fn claim(&self, key: Key, request: &ClaimRequest) -> Result<Claim, LedgerError> {
        one(self.claim_batch(&[(key, request.clone())]).await)
    }

    async fn claim_batch(&self, claims: &[(Key, ClaimRequest)]) -> Vec<Result<Claim, LedgerError>> {
        let (count, claims, now) = (claims.len(), claims.to_vec(), clock::now());
        // A claim that says what another delivery has recorded has its message deleted: that record
        // has to be on the disk.
        let answers = self.ask(
            |(_, is_unsynced): &(_, bool)| *is_unsynced,
            move |tables| {
                let mut is_unsynced = false;
                let answers = each(claims, |(key, request)| {
                    let claim = tables.claim(key, &request, now)?;
                    let says_recorded = matches!(claim, Claim::Done { .. } | Claim::DeadLettered);
                    is_unsynced |= says_recorded && tables.unsynced.contains(key);
                    Ok(claim)
                });
                Ok((answers?, is_unsynced))
            },
        );
        answers.await.map_or_else(|error| vec![Err(error); count], |(answers, _)| answers)
    }

    async fn extend(&self, claims: &[(Key, Fence)], lease: Duration) -> Vec<Result<bool, LedgerError>> {
        let (count, claims, now) = (claims.len(), claims.to_vec(), clock::now());
        let answers =
            self.ask(with_os, move |tables| each(claims, |(key, fence)| tables.extend(key, fence, now, lease)));
        answers.await.unwrap_or_else(|error| vec![Err(error); count])
    }

    async fn finish(&self, key: Key, fence: Fence, finish: Finish) -> Result<(), LedgerError> {
        one(self.finish_batch(vec![(key, fence, finish)]).await)
    }

    async fn finish_batch(&self, ends: Vec<(Key, Fence, Finish)>) -> Vec<Result<(), LedgerError>> {
        let count = ends.len();
        let answers =
            self.ask(on_disk, move |tables| each(ends, |(key, fence, finish)| tables.finish(key, fence, finish)));
        answers.await.unwrap_or_else(|error| vec![Err(error); count])
    }

    async fn known_batch(&self, keys: &[Key]) -> Vec<Result<bool, LedgerError>> {
        let (count, keys) = (keys.len(), keys.to_vec());
        let answers = self.ask(with_os, move |tables| each(keys, |key| tables.knows(key)));
        answers.await.unwrap_or_else(|error| vec![Err(error); count])
    }

    async fn complete_batch(&self, completions: Vec<(Key, Completion)>) -> Vec<Result<(), LedgerError>> {
        let count = completions.len();
        let answers =
            self.ask(on_disk, move |tables| each(completions, |(key, completion)| tables.complete(key, completion)));
        answers.await.unwrap_or_else(|error| vec![Err(error); count])
    }

    async fn get_step(&self, key: Key, fence: Fence, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let name = name.to_owned();
        self.ask(with_os, move |tables| {
            tables.check(key, fence)?;
            tables.batch.step(key, &name)
        })
        .await
    }

    async fn put_step(&self, key: Key, fence: Fence, name: &str, value: &[u8]) -> Result<(), LedgerError> {
        let (name, value) = (name.to_owned(), value.to_vec());
        self.ask(on_disk, move |tables| {
            tables.check(key, fence)?;
            tables.leases.has_steps_now(key);
            tables.batch.put_step(key, &name, &value)
        })
        .await
    }

    async fn put_envelope(&self, id: &str, json: &[u8], ttl: Duration) -> Result<(), LedgerError> {
        let (id, json) = (id.to_owned(), json.to_vec());
        self.ask(on_disk, move |tables| tables.batch.put_envelope(&id, &json, entry::after(clock::unix_ms(), ttl)))
            .await
    }

    async fn get_envelope(&self, id: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let id = id.to_owned();
        self.ask(with_os, move |tables| tables.batch.envelope(&id, clock::unix_ms())).await
    }

    async fn put_pause(&self, service: &str, pause: &Pause) -> Result<(), LedgerError> {
        let (service, pause) = (service.to_owned(), pause.clone());
        self.ask(on_disk, move |tables| tables.batch.put_pause(&service, &pause)).await
    }

    async fn remove_pause(&self, service: &str, target: &Target) -> Result<(), LedgerError> {
        let (service, target) = (service.to_owned(), target.to_string());
        self.ask(on_disk, move |tables| tables.batch.remove_pause(&service, &target)).await
    }

    async fn pauses(&self, service: &str) -> Result<Vec<Pause>, LedgerError> {
        let service = service.to_owned();
        self.ask(with_os, move |tables| tables.batch.pauses(&service)).await
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        self.ask(on_disk, |tables| tables.batch.ping()).await
    }

    fn meters(&self) -> Option<&LedgerMeters> {
        Some(&self.0.meters)
    }
}

impl Tables<'_> {
    /// What is recorded under the key. Nobody else writes, so that a lease's entry is the one on
    /// the disk.
    fn entry(&self, key: Key) -> Result<Option<Entry>, LedgerError> {
        match self.leases.entry(key) {
            Some(entry) => Ok(Some(entry.clone())),
            None => self.batch.entry(key),
        }
    }

    /// Writes down what was decided over an entry that is there.
    fn write(&self, key: Key, change: &Change) -> Result<(), LedgerError> {
        self.batch.update(key, &change.entry)?;
        match change.steps {
            Steps::Forgotten if self.leases.may_have_steps(key) => self.batch.forget_steps(key),
            Steps::Forgotten | Steps::Kept => Ok(()),
        }
    }

    /// The entry, if `fence` is its latest claim and has not been finished; that its lease has run
    /// out does not matter as long as nobody else has claimed the key.
    fn claimed_by(&self, key: Key, fence: Fence) -> Result<Option<Entry>, LedgerError> {
        Ok(self.entry(key)?.filter(|entry| entry.fence == fence && entry.state == State::Claimed))
    }

    fn claim(&mut self, key: Key, request: &ClaimRequest, now: Instant) -> Result<Claim, LedgerError> {
        let (held_for, fence, today) = (self.leases.remaining(key, now), self.fences.next(), clock::unix_ms());
        // Most keys are new: what is there is read only when there is something.
        let new = entry::claim(None, None, request, fence, today);
        if !self.leases.knows(key)
            && let (claim, Some(change)) = new
            && self.batch.insert(key, &change.entry)?
        {
            self.leases.hold(key, change.entry, false, now, request.lease);
            return Ok(claim);
        }
        let found = self.entry(key)?;
        let (claim, change) = entry::claim(found, held_for, request, fence, today);
        if let Some(change) = change {
            self.write(key, &change)?;
            let has_steps = change.steps == Steps::Kept;
            self.leases.hold(key, change.entry, has_steps, now, request.lease);
        }
        Ok(claim)
    }

    fn finish(&mut self, key: Key, fence: Fence, finish: Finish) -> Result<(), LedgerError> {
        let found = self.entry(key)?;
        if let Some(change) = entry::finish(found, fence, finish, clock::unix_ms())? {
            self.write(key, &change)?;
            self.leases.end(key);
            self.unsynced.wrote(key, self.sync);
        }
        Ok(())
    }

    fn knows(&mut self, key: Key) -> Result<bool, LedgerError> {
        Ok(self.leases.knows(key) || self.batch.has(key)?)
    }

    fn complete(&mut self, key: Key, completion: Completion) -> Result<(), LedgerError> {
        let (found, fence) = (self.entry(key)?, self.fences.next());
        let is_new = found.is_none();
        let Some(change) = entry::complete(found, completion, fence, clock::unix_ms()) else { return Ok(()) };
        if is_new {
            self.batch.insert(key, &change.entry)?;
        } else {
            self.write(key, &change)?;
            self.leases.end(key);
        }
        self.unsynced.wrote(key, self.sync);
        Ok(())
    }

    fn extend(&mut self, key: Key, fence: Fence, now: Instant, lease: Duration) -> Result<bool, LedgerError> {
        if self.leases.is_held_by(key, fence) {
            self.leases.extend(key, now, lease);
            return Ok(true);
        }
        let claimed = self.claimed_by(key, fence)?;
        let ours = claimed.is_some();
        if let Some(entry) = claimed {
            self.leases.hold(key, entry, true, now, lease);
        }
        Ok(ours)
    }

    fn check(&self, key: Key, fence: Fence) -> Result<(), LedgerError> {
        if self.leases.is_held_by(key, fence) {
            return Ok(());
        }
        self.claimed_by(key, fence)?.map(drop).ok_or(LedgerError::Stale)
    }
}
