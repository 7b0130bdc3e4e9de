//! The table and the threads behind it: what a caller does on its own task, and what happens
//! behind it.
//!
//! A turn is decided in memory and written to the log with one call; then a claim is answered. A
//! completion also waits for the `wasq-ledger-sync` thread. `wasq-ledger-move` makes runs of full
//! segments, and `wasq-ledger-merge` makes fewer runs of many.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use wasq_core::clock;
use wasq_core::message::Key;

use super::bell::{Bell, Woken};
use super::merge::{self, Merged};
use super::segment;
use super::syncer::Syncer;
use super::table::{Ready, Table, Turned};
use super::turn::{Found, Turn};
use crate::ledger::{Fence, LedgerError};
use crate::meters::LedgerMeters;

/// How often the threads look for what nobody rings for.
pub const TICK: Duration = Duration::from_secs(1);
/// Ticks after which a segment's entries are moved though it is not full.
const MOVE_AFTER_TICKS: u32 = 30;
/// How long a thread waits after a failure before it tries again.
const RETRY: Duration = Duration::from_secs(1);
/// Longer than a process lives.
pub const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

pub struct Core {
    table: Mutex<Table>,
    syncer: Syncer,
    /// Told when a turn that could not be made may be possible.
    changed: Notify,
    mover: Arc<Bell>,
    merger: Bell,
    stop: AtomicBool,
    tick: Duration,
    meters: Arc<LedgerMeters>,
    /// For how long the most overdue entry of those removed since the last tick could have been
    /// gone.
    overdue_ms: AtomicU64,
}

/// A step on its way: until it is dropped, nobody claims or finishes its key.
pub struct ComingStep {
    core: Arc<Core>,
    key: Key,
}

impl Drop for ComingStep {
    fn drop(&mut self) {
        self.core.table.lock().leases.step_came(self.key);
        self.core.changed.notify_waiters();
    }
}

impl Core {
    /// Starts the threads. `disk` brings a file to the disk.
    pub fn start(
        table: Table,
        meters: Arc<LedgerMeters>,
        tick: Duration,
        disk: impl FnMut(&File) -> io::Result<()> + Send + 'static,
    ) -> io::Result<(Arc<Self>, Vec<JoinHandle<()>>)> {
        let mover = table.mover.clone();
        let core = Arc::new(Self {
            table: Mutex::new(table),
            syncer: Syncer::default(),
            changed: Notify::new(),
            mover,
            merger: Bell::default(),
            stop: AtomicBool::new(false),
            tick,
            meters,
            overdue_ms: AtomicU64::new(0),
        });
        core.tell();
        core.mover.ring();
        core.merger.ring();
        let spawn = |name: &str, work: Box<dyn FnOnce(&Self) + Send>| {
            let core = core.clone();
            thread::Builder::new().name(name.into()).spawn(move || work(&core))
        };
        let threads = vec![
            spawn("wasq-ledger-sync", Box::new(|core| core.syncer.run(&core.table, disk)))?,
            spawn("wasq-ledger-move", Box::new(Self::keep_moving))?,
            spawn("wasq-ledger-merge", Box::new(Self::keep_merging))?,
        ];
        Ok((core, threads))
    }

    /// A fence that nobody else has, for what is kept in SQLite.
    pub fn next_fence(&self) -> Fence {
        self.table.lock().next_fence()
    }

    /// No turn is made any more, and the threads end once what waits for the disk is answered.
    pub fn close(&self) {
        self.table.lock().is_closed = true;
        self.stop.store(true, Ordering::Relaxed);
        self.changed.notify_waiters();
        self.syncer.end();
        self.mover.end();
        self.merger.end();
    }

    /// Makes a turn over these keys, and waits until what it says has to be on the disk is. A turn
    /// that `changes` the keys waits for their steps on their way, and for room in the log. Gives
    /// the keys, too, whose steps are forgotten.
    pub async fn turn<T>(
        &self,
        keys: impl Iterator<Item = Key> + Clone + Send,
        changes: bool,
        mut work: impl FnOnce(&mut Turn<'_>) -> Result<T, LedgerError> + Send,
    ) -> Result<(T, Vec<(Key, Fence)>), LedgerError> {
        let Turned { answer, wait_for, forgotten } = loop {
            let changed = self.changed.notified();
            match self.try_turn(keys.clone(), changes, work)? {
                Tried::Turned(turned) => break turned,
                Tried::Later(later) => work = later,
            }
            changed.await;
        };
        self.syncer.durable(wait_for).await?;
        Ok((answer, forgotten))
    }

    fn try_turn<T, F>(
        &self,
        keys: impl Iterator<Item = Key> + Clone,
        changes: bool,
        work: F,
    ) -> Result<Tried<T, F>, LedgerError>
    where
        F: FnOnce(&mut Turn<'_>) -> Result<T, LedgerError>,
    {
        let mut found = Found::default();
        loop {
            let mut table = self.table.lock();
            let ready = table.ready(keys.clone(), &found, changes).inspect_err(|_| self.make_up(&table))?;
            let (runs, missing) = match ready {
                Ready::Now => return table.turn(&found, work).map(Tried::Turned),
                Ready::Later => return Ok(Tried::Later(work)),
                Ready::Read(missing) => (table.runs().clone(), missing),
            };
            // Nobody waits for the disk behind the lock.
            drop(table);
            found = Found::read(runs, missing);
        }
    }

    /// Has a failed sync made up for.
    fn make_up(&self, table: &Table) {
        if table.failing.is_some() {
            self.syncer.kick();
        }
    }

    /// The claim has a step recorded now: until what this gives is dropped, nobody claims or
    /// finishes its key. Gives, too, how much of the log has to be on the disk for the claim to be.
    pub async fn step_comes(self: &Arc<Self>, key: Key, fence: Fence) -> Result<(ComingStep, u64), LedgerError> {
        let claimed_at = self.turn(std::iter::once(key), false, |turn| {
            turn.steps_since(key, fence)?;
            turn.leases.step_comes(key);
            Ok(turn.position(key))
        });
        let (position, _) = claimed_at.await?;
        Ok((ComingStep { core: self.clone(), key }, position))
    }

    /// Whether a step that was recorded under `fence` can still be asked for.
    pub fn needs_step(&self, key: Key, fence: Fence) -> Result<bool, LedgerError> {
        let today = clock::unix_ms();
        match self.try_turn(std::iter::once(key), false, |turn| turn.needs_step(key, fence, today))? {
            Tried::Turned(turned) => Ok(turned.answer),
            Tried::Later(_) => Ok(true),
        }
    }

    /// Waits until so much of the log is on the disk.
    pub async fn durable(&self, position: u64) -> Result<(), LedgerError> {
        self.syncer.durable(position).await
    }

    /// Whether the log takes something, and the disk too.
    pub async fn ping(&self) -> Result<(), LedgerError> {
        let position = {
            let mut table = self.table.lock();
            table.ping().inspect_err(|_| self.make_up(&table))
        };
        self.syncer.durable(position?).await
    }

    fn keep_moving(&self) {
        let mut idle = Idle::default();
        loop {
            match self.mover.wait(self.tick) {
                Woken::Over => return,
                Woken::Rung => {}
                Woken::TimeIsUp => self.tick(&mut idle),
            }
            while !self.stop.load(Ordering::Relaxed) {
                let (oldest, dir) = {
                    let table = self.table.lock();
                    (table.oldest_sealed(), table.dir.clone())
                };
                let Some((segment, runs)) = oldest else { break };
                match merge::run_of(&segment, &dir, runs.all(), clock::unix_ms()) {
                    Ok(Merged { run, removed, overdue_ms }) => {
                        let moved = self.table.lock().moved(run);
                        drop(moved);
                        segment::remove(&segment.path);
                        self.merger.ring();
                        self.removed(removed, overdue_ms);
                    }
                    Err(error) => {
                        let dir = dir.display();
                        tracing::warn!(%dir, %error, "the ledger could not move its newest entries; it tries again");
                        self.table.lock().stalled(format!("its entries could not be moved: {error}"));
                        if self.mover.wait(RETRY) == Woken::Over {
                            return;
                        }
                    }
                }
                self.changed.notify_waiters();
            }
        }
    }

    fn tick(&self, idle: &mut Idle) {
        let mut table = self.table.lock();
        table.leases.forget_ended();
        if idle.is_over(table.written_to())
            && let Err(error) = table.roll()
        {
            tracing::warn!(dir = %table.dir.display(), %error, "the ledger could not begin a segment; it tries again");
        }
        drop(table);
        self.meters.overdue_s.set(self.overdue_ms.swap(0, Ordering::Relaxed) as f64 / 1_000.0);
        self.tell();
    }

    fn keep_merging(&self) {
        while self.merger.wait(self.tick) != Woken::Over {
            while self.merge_next() {}
        }
    }

    /// Whether there may be more to do.
    fn merge_next(&self) -> bool {
        let (runs, dir) = {
            let table = self.table.lock();
            (table.runs().clone(), table.dir.clone())
        };
        let now = clock::unix_ms();
        let Some(range) = runs.next_merge(now) else { return false };
        let (inputs, older) = (&runs.all()[range.clone()], &runs.all()[range.end..]);
        match merge::merge(inputs, &dir, older, now, &self.stop) {
            Ok(Some(Merged { run, removed, overdue_ms })) => {
                let path = run.as_ref().map(|run| run.path.clone());
                self.table.lock().merged(inputs, run);
                // The oldest first: as long as one is there, those are that are newer. A run that
                // was written once more has its name.
                let gone = inputs.iter().rev().filter(|input| Some(&input.path) != path.as_ref());
                gone.for_each(|input| segment::remove(&input.path));
                self.removed(removed, overdue_ms);
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "the ledger could not merge its runs; it tries again");
                false
            }
        }
    }

    fn removed(&self, removed: u64, overdue_ms: u64) {
        if removed > 0 {
            self.overdue_ms.fetch_max(overdue_ms, Ordering::Relaxed);
        }
        self.tell();
    }

    fn tell(&self) {
        let entries = self.table.lock().entries();
        self.meters.entries.set(entries as f64);
    }
}

enum Tried<T, F> {
    Turned(Turned<T>),
    /// What was to be done, for the next time.
    Later(F),
}

/// For how many ticks the same segment has been written to.
#[derive(Default)]
struct Idle {
    segment: Option<u64>,
    ticks: u32,
}

impl Idle {
    fn is_over(&mut self, written_to: Option<u64>) -> bool {
        let is_same = written_to.is_some() && written_to == self.segment;
        self.ticks = if is_same { self.ticks + 1 } else { 0 };
        self.segment = written_to;
        self.ticks >= MOVE_AFTER_TICKS
    }
}
