//! Group commit: one thread does every operation in the order in which they came, as many as wait in one batch. What is
//! content with the operating system is answered then; the rest goes on to the [`Syncer`].

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use wasq_core::clock;

use super::disk::Disk;
use super::job::{Books, Fences, Job, Outage};
use super::leases::Leases;
use super::places::Id;
use super::sweep::Sweep;
use super::syncer::{self, Syncer};
use crate::ledger::Fence;
use crate::meters::LedgerMeters;

/// Operations that may wait for the writer before their callers wait to hand them in.
pub const WAITING_MAX: usize = 1_024;
/// Operations in one batch.
const BATCH_MAX: usize = 256;
/// The writer's state; lives on its thread.
pub struct Writer {
    disk: Disk,
    dir: PathBuf,
    inbox: mpsc::Receiver<Box<dyn Job>>,
    leases: Leases,
    fences: Fences,
    sweep: Sweep,
    sweep_every: Duration,
    /// The last entry's number at the sweep's last turn.
    swept_with: Id,
    meters: Arc<LedgerMeters>,
    syncer: Syncer,
    timer: Runtime,
    /// Whether the last batch could not be recorded: the log says when that begins and when it ends.
    is_out: bool,
}

impl Writer {
    /// A writer over `disk`, whose fences begin with `first`. Starts the thread that waits for the disk.
    pub fn new(
        disk: Disk,
        dir: PathBuf,
        first: Fence,
        inbox: mpsc::Receiver<Box<dyn Job>>,
        meters: Arc<LedgerMeters>,
        sweep_every: Duration,
    ) -> io::Result<Self> {
        let log = disk.log()?;
        Ok(Self {
            swept_with: disk.places().last(),
            meters,
            disk,
            dir,
            inbox,
            leases: Leases::default(),
            fences: Fences::starting_with(first),
            sweep: Sweep::default(),
            sweep_every,
            syncer: Syncer::start(move || log.sync_data())?,
            timer: tokio::runtime::Builder::new_current_thread().enable_time().build()?,
            is_out: false,
        })
    }

    /// Works until every handle is gone and the last operation is answered.
    pub fn run(mut self) {
        self.work();
        // The store closes after the last sync: closing it does away with the log.
        self.syncer.stop();
    }

    fn work(&mut self) {
        let mut sweep_at = clock::now() + self.sweep_every;
        loop {
            match self.timer.block_on(async { tokio::time::timeout_at(sweep_at, self.inbox.recv()).await }) {
                Ok(Some(first)) => {
                    // Those who have something to hand in, too, are let do so first: a batch of one costs as much as a full one.
                    std::thread::yield_now();
                    let jobs = self.collect(first);
                    self.turn(jobs);
                    self.place();
                }
                Ok(None) => return,
                Err(_elapsed) => {}
            }
            // Under load, too: a busy store is the one that grows.
            let is_time = clock::now() >= sweep_at;
            if is_time {
                self.leases.forget_ended();
                sweep_at = clock::now() + self.sweep_every;
            }
            if is_time || Sweep::is_due(self.inserted()) {
                self.sweep();
            }
        }
    }

    fn collect(&mut self, first: Box<dyn Job>) -> Vec<Box<dyn Job>> {
        let mut jobs = vec![first];
        while jobs.len() < BATCH_MAX {
            let Ok(job) = self.inbox.try_recv() else { break };
            jobs.push(job);
        }
        jobs
    }

    fn turn(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        let written = self.write(&mut jobs);
        self.note(written.as_ref().err());
        if let Err(outage) = written {
            return syncer::answer(jobs, Err(&outage));
        }
        let (durable, quick): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.is_durable());
        syncer::answer(quick, Ok(()));
        if !durable.is_empty() {
            self.syncer.answer_durably(durable);
        }
    }

    fn note(&mut self, outage: Option<&Outage>) {
        let dir = self.dir.display();
        match (self.is_out, outage) {
            (false, Some(outage)) => {
                tracing::error!(%dir, reason = outage.reason(), "the ledger cannot record; nothing runs until it can");
            }
            (true, None) => tracing::info!(%dir, "the ledger records again"),
            (false, None) | (true, Some(_)) => {}
        }
        self.is_out = outage.is_some();
    }

    fn write(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), Outage> {
        if self.syncer.has_failed() {
            self.disk.checkpoint()?;
            self.syncer.forgive();
        }
        let written = self.disk.begin().map_err(Outage::from).and_then(|batch| {
            let mut books = Books { batch, leases: &mut self.leases, fences: &mut self.fences };
            jobs.iter_mut().try_for_each(|job| job.run(&mut books))?;
            Ok(books.batch.commit()?)
        });
        match written {
            Ok(()) => self.leases.settle(),
            Err(_) => self.leases.take_back(),
        }
        written
    }

    /// After the answers, so that none waits for it.
    fn place(&mut self) {
        if self.disk.places().is_due()
            && let Err(error) = self.disk.place()
        {
            tracing::debug!(dir = %self.dir.display(), %error, "the ledger keeps its newest keys in memory for now");
        }
    }

    /// Entries that have come in since the sweep's last turn.
    fn inserted(&self) -> u32 {
        u32::try_from(self.disk.places().last() - self.swept_with).unwrap_or(u32::MAX)
    }

    fn sweep(&mut self) {
        let inserted = self.inserted();
        self.swept_with = self.disk.places().last();
        let swept = self.disk.begin().and_then(|batch| {
            let next = self.sweep.turn(&batch, &self.leases, clock::unix_ms(), inserted)?;
            batch.commit()?;
            Ok(next)
        });
        match swept {
            Ok(next) => {
                self.sweep = next;
                self.sweep.tell(&self.meters);
            }
            Err(error) => {
                let dir = self.dir.display();
                tracing::warn!(%dir, %error, "the ledger could not remove what has expired; it tries again");
            }
        }
    }
}
