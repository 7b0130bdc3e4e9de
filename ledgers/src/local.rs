//! The ledger of one process, in a directory of its own.
//!
//! Claims and completions go to a log (docs/internals/stores.md measures why). A caller decides on
//! its own task, under one lock, what becomes of its keys, and writes that with one call: then a
//! claim is answered. A completion waits until the log is on the disk, which many share. Behind
//! them, the entries of full segments go to runs: files in the order of keys, which are merged.
//! Steps, envelopes and pauses are rare, and in SQLite.
//!
//! Leases are kept in memory, by monotonic time; a claim found on disk without a lease belongs to a
//! run that crashed, and can be claimed at once.
//!
//! | module | holds |
//! | --- | --- |
//! | `turn`, `table`, `leases`, `fences` | what is decided, over what is in memory |
//! | `core` | how a caller comes to its turn, and the threads |
//! | `segment`, `frame`, `record`, `key_map` | the log |
//! | `syncer` | who waits for the disk, and what follows a failed sync |
//! | `run`, `run_reader`, `run_writer`, `runs`, `merge`, `filter` | what has left the log |
//! | `store`, `rows`, `writer`, `operation`, `expiry`, `pauses`, `timers`, `documents`, `convert` | SQLite |

mod bell;
mod convert;
mod core;
mod documents;
mod expiry;
mod fences;
mod filter;
mod frame;
mod key_map;
mod leases;
mod merge;
mod operation;
mod pauses;
mod record;
mod rows;
mod run;
mod run_reader;
mod run_writer;
mod runs;
mod segment;
mod store;
mod syncer;
mod table;
mod timers;
mod turn;
mod writer;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use wasq_core::clock;
use wasq_core::message::Key;
use wasq_core::pause::{Pause, Target};

pub use self::store::OpenError;

use self::core::{Core, NEVER, TICK};
use self::expiry::Expiry;
use self::operation::{Operations, each};
use self::run::Run;
use self::runs::Runs;
use self::segment::Segment;
use self::store::{Opened, Store};
use self::table::Table;
use self::turn::Turn;
use self::writer::{WAITING_MAX, Writer};
use super::entry;
use super::ledger::one;
use super::{Claim, ClaimRequest, Completion, Ended, Fence, Finish, Ledger, LedgerError};
use crate::documents::Documents;
use crate::meters::LedgerMeters;
use crate::timers::Timers;

/// The ledger in a directory. Clones share it; the last one dropped, or [`LocalLedger::close`],
/// waits until everything handed in is written.
///
/// A claim whose future is dropped before it answers may have been recorded: the key is then busy
/// until its lease ends.
#[derive(Clone)]
pub struct LocalLedger(Arc<Handle>);

struct Handle {
    core: Arc<Core>,
    meters: Arc<LedgerMeters>,
    operations: Arc<Operations>,
    /// Which timers are in this process's hand.
    held: Arc<timers::Held>,
    /// Gone once closed.
    open: Mutex<Option<Open>>,
}

struct Open {
    threads: Vec<JoinHandle<()>>,
    /// Ends with the store, which keeps the directory locked.
    writer: JoinHandle<Store>,
}

impl LocalLedger {
    /// Opens the ledger in `dir`, which is made if it is not there. Blocks for some milliseconds;
    /// for longer where it finds a log, 64 MiB of it at most, or the store of an earlier version.
    ///
    /// # Errors
    /// [`OpenError`] names the directory and the way out; [`OpenError::InUse`] if another process
    /// has it open.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        Self::start(dir, TICK, File::sync_data)
    }

    /// As [`open`](Self::open), but nothing happens for the time that has passed: what has expired
    /// goes only with the entries that come in. The work for so many entries is then the same on a
    /// slow and on a fast machine.
    ///
    /// # Errors
    /// As `open`.
    pub fn without_ticks(dir: &Path) -> Result<Self, OpenError> {
        Self::start(dir, NEVER, File::sync_data)
    }

    /// `disk` brings a file to the disk.
    fn start(
        dir: &Path,
        tick: Duration,
        disk: impl FnMut(&File) -> io::Result<()> + Send + 'static,
    ) -> Result<Self, OpenError> {
        let at = |source: io::Error| OpenError::Directory { dir: dir.to_owned(), source };
        let Opened { store, first } = Store::open(dir)?;
        let table = read_files(dir, first)?;
        let meters = Arc::new(LedgerMeters::default());
        let (core, threads) = Core::start(table, meters.clone(), tick, disk).map_err(at)?;
        let (operations, inbox) = mpsc::channel(WAITING_MAX);
        let timer = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(at)?;
        let (dir, core_there, expiry) = (dir.to_owned(), core.clone(), Expiry::default());
        let writer = Writer { store, dir, inbox, core: core_there, expiry, sweep_every: tick, timer, is_out: false };
        let writer = thread::Builder::new().name("wasq-ledger".into()).spawn(|| writer.run()).map_err(at)?;
        let (operations, open) = (Arc::new(Operations::new(operations)), Mutex::new(Some(Open { threads, writer })));
        Ok(Self(Arc::new(Handle { core, meters, operations, held: Arc::default(), open })))
    }

    /// Writes what was handed in and lets go of the directory, for every clone. Blocks until that
    /// is done; whatever is asked afterwards is answered with [`LedgerError::Unavailable`].
    pub fn close(&self) {
        self.0.close();
    }

    /// Makes a turn over these keys that may change them, and forgets the steps that go with it.
    async fn turn<T>(
        &self,
        keys: impl Iterator<Item = Key> + Clone + Send,
        work: impl FnOnce(&mut Turn<'_>) -> Result<T, LedgerError> + Send,
    ) -> Result<T, LedgerError> {
        let (answer, forgotten) = self.0.core.turn(keys, true, work).await?;
        if !forgotten.is_empty() {
            self.forget_steps(forgotten);
        }
        Ok(answer)
    }

    /// Has the store forget these steps, in its turn. Nobody asks for them any more: where the
    /// store has too much to do, its expiry finds them.
    fn forget_steps(&self, forgotten: Vec<(Key, Fence)>) {
        self.0
            .operations
            .offer(move |batch| forgotten.into_iter().try_for_each(|(key, up_to)| batch.forget_steps(key, up_to)));
    }
}

/// What the runs and the log in the directory say.
fn read_files(dir: &Path, first: Fence) -> Result<Table, OpenError> {
    let at = |source: io::Error| OpenError::Directory { dir: dir.to_owned(), source };
    run::remove_unfinished(dir).map_err(at)?;
    let mut runs: Vec<Run> = Vec::new();
    for (span, path) in run::list(dir).map_err(at)? {
        // They come in the order of their first segments. A merge that was cut short has left runs
        // beside the one that has all of theirs.
        if runs.last().is_some_and(|last| last.span.contains(span)) {
            segment::remove(&path);
            continue;
        }
        let unreadable = |error: io::Error| OpenError::Unreadable { path: path.clone(), reason: error.to_string() };
        let run = Run::open(span, path.clone()).map_err(unreadable)?;
        while let Some(inner) = runs.pop_if(|last| span.contains(last.span)) {
            segment::remove(&inner.path);
        }
        runs.push(run);
    }
    let moved = runs.iter().map(|run| run.span.last).max().unwrap_or(0);
    let mut replayed: Vec<Segment> = Vec::new();
    let mut last_number = moved;
    for (number, path) in segment::list(dir).map_err(at)? {
        if number <= moved {
            segment::remove(&path);
            continue;
        }
        let base = replayed.last().map_or(0, Segment::end);
        let segment = Segment::replay(number, path.clone(), base).map_err(at)?;
        replayed.push(segment.map_err(|(offset, version)| {
            let reason = format!("a frame of version {version} at byte {offset}");
            OpenError::Unreadable { path, reason }
        })?);
        last_number = number;
    }
    runs.reverse();
    Table::new(dir.to_owned(), replayed, Runs::new(runs), first, last_number).map_err(at)
}

impl Handle {
    fn close(&self) {
        let Some(Open { threads, writer }) = self.open.lock().take() else { return };
        self.operations.close();
        // The directory's lock goes last.
        let store = writer.join();
        self.core.close();
        for ended in threads.into_iter().map(JoinHandle::join).chain([store.map(drop)]) {
            if ended.is_err() {
                tracing::error!("a thread of the ledger has panicked; what it had not answered is not recorded");
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl Ledger for LocalLedger {
    async fn claim(&self, key: Key, request: &ClaimRequest) -> Result<Claim, LedgerError> {
        one(self.claim_batch(&[(key, request.clone())]).await)
    }

    async fn claim_batch(&self, claims: &[(Key, ClaimRequest)]) -> Vec<Result<Claim, LedgerError>> {
        let (now, today) = (clock::now(), clock::unix_ms());
        let answers = self.turn(claims.iter().map(|(key, _)| *key), |turn| {
            each(claims, |(key, request)| turn.claim(*key, request, now, today))
        });
        answers.await.unwrap_or_else(|error| vec![Err(error); claims.len()])
    }

    async fn extend(&self, claims: &[(Key, Fence)], lease: Duration) -> Vec<Result<bool, LedgerError>> {
        let now = clock::now();
        let answers = self.0.core.turn(claims.iter().map(|(key, _)| *key), false, |turn| {
            each(claims, |(key, fence)| turn.extend(*key, *fence, now, lease))
        });
        answers.await.map_or_else(|error| vec![Err(error); claims.len()], |(answers, _)| answers)
    }

    async fn finish(&self, key: Key, fence: Fence, finish: Finish) -> Result<(), LedgerError> {
        one(self.finish_batch(vec![(key, fence, finish)]).await)
    }

    async fn finish_batch(&self, ends: Vec<(Key, Fence, Finish)>) -> Vec<Result<(), LedgerError>> {
        let (keys, today): (Vec<Key>, _) = (ends.iter().map(|(key, ..)| *key).collect(), clock::unix_ms());
        let answers = self.turn(keys.iter().copied(), |turn| {
            each(ends, |(key, fence, finish)| turn.finish(key, fence, finish, today))
        });
        answers.await.unwrap_or_else(|error| vec![Err(error); keys.len()])
    }

    async fn known_batch(&self, keys: &[Key]) -> Vec<Result<bool, LedgerError>> {
        let answers = self.0.core.turn(keys.iter().copied(), false, |turn| each(keys, |key| turn.knows(*key)));
        answers.await.map_or_else(|error| vec![Err(error); keys.len()], |(answers, _)| answers)
    }

    async fn complete_batch(&self, completions: Vec<(Key, Completion)>) -> Vec<Result<(), LedgerError>> {
        let (keys, today): (Vec<Key>, _) = (completions.iter().map(|(key, _)| *key).collect(), clock::unix_ms());
        let answers = self.turn(keys.iter().copied(), |turn| {
            each(completions, |(key, completion)| turn.complete(key, completion, today))
        });
        answers.await.unwrap_or_else(|error| vec![Err(error); keys.len()])
    }

    async fn ended(&self, key: Key) -> Result<Option<Ended>, LedgerError> {
        self.0.core.turn(std::iter::once(key), false, |turn| turn.ended(key)).await.map(|(ended, _)| ended)
    }

    async fn get_step(&self, key: Key, fence: Fence, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let claimed = self.0.core.turn(std::iter::once(key), false, |turn| turn.steps_since(key, fence));
        let (since, _) = claimed.await?;
        let name = name.to_owned();
        self.0.operations.ask(move |batch| batch.step(key, since, &name)).await
    }

    async fn put_step(&self, key: Key, fence: Fence, name: &str, value: &[u8]) -> Result<(), LedgerError> {
        let (name, value) = (name.to_owned(), value.to_vec());
        // The step comes with its claim: what the disk has of one without the other is nothing.
        let (coming, claimed_at) = self.0.core.step_comes(key, fence).await?;
        let recorded = self.0.operations.ask(move |batch| batch.put_step(key, fence, &name, &value).map(|()| coming));
        let (coming, claimed) = tokio::join!(recorded, self.0.core.durable(claimed_at));
        drop(coming?);
        claimed
    }

    async fn put_envelope(&self, id: &str, json: &[u8], ttl: Duration) -> Result<(), LedgerError> {
        let (id, json) = (id.to_owned(), json.to_vec());
        self.0.operations.ask(move |batch| batch.put_envelope(&id, &json, entry::after(clock::unix_ms(), ttl))).await
    }

    async fn get_envelope(&self, id: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let id = id.to_owned();
        self.0.operations.ask(move |batch| batch.envelope(&id, clock::unix_ms())).await
    }

    async fn put_pause(&self, service: &str, pause: &Pause) -> Result<(), LedgerError> {
        let (service, pause) = (service.to_owned(), pause.clone());
        self.0.operations.ask(move |batch| batch.put_pause(&service, &pause)).await
    }

    async fn remove_pause(&self, service: &str, target: &Target) -> Result<(), LedgerError> {
        let (service, target) = (service.to_owned(), target.to_string());
        self.0.operations.ask(move |batch| batch.remove_pause(&service, &target)).await
    }

    async fn pauses(&self, service: &str) -> Result<Vec<Pause>, LedgerError> {
        let service = service.to_owned();
        self.0.operations.ask(move |batch| batch.pauses(&service)).await
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        tokio::try_join!(self.0.core.ping(), self.0.operations.ask(|batch| batch.ping())).map(drop)
    }

    fn timers(&self, service: &str) -> Option<Arc<dyn Timers>> {
        let Handle { core, operations, held, .. } = &*self.0;
        let timers = timers::LocalTimers::new(operations.clone(), core.clone(), held.clone(), service, self.0.clone());
        Some(Arc::new(timers))
    }

    fn documents(&self, service: &str) -> Option<Arc<dyn Documents>> {
        let Handle { core, operations, .. } = &*self.0;
        Some(Arc::new(documents::LocalDocuments::new(operations.clone(), core.clone(), service, self.0.clone())))
    }

    fn meters(&self) -> Option<&LedgerMeters> {
        Some(&self.0.meters)
    }
}

#[cfg(test)]
mod tests;
