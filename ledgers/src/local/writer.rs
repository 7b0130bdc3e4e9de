//! Group commit: one thread does every operation in the order in which they came, as many as wait
//! in one batch. What is content with the operating system is answered then; the rest goes on to
//! the [`Syncer`].

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use wasq_core::clock;

use super::expiry::Expiry;
use super::leases::Leases;
use super::operation::{Fences, Operation, Outage, Tables};
use super::row_index::Id;
use super::store::Store;
use super::syncer::{self, Syncer};
use super::unsynced::Unsynced;
use crate::ledger::Fence;
use crate::meters::LedgerMeters;

/// Operations that may wait for the writer before their callers wait to hand them in.
pub const WAITING_MAX: usize = 1_024;
/// Operations in one batch.
const BATCH_MAX: usize = 256;
/// The writer's state; lives on its thread.
pub struct Writer {
    store: Store,
    dir: PathBuf,
    inbox: mpsc::Receiver<Box<dyn Operation>>,
    leases: Leases,
    fences: Fences,
    expiry: Expiry,
    sweep_every: Duration,
    /// The last entry's number at the expiry's last turn.
    swept_with: Id,
    meters: Arc<LedgerMeters>,
    syncer: Syncer,
    unsynced: Unsynced,
    timer: Runtime,
    /// Whether the last batch could not be recorded: the log says when that begins and when it
    /// ends.
    is_out: bool,
}

impl Writer {
    /// A writer over `store`, whose fences begin with `first`. Starts the thread that waits for the
    /// disk.
    pub fn new(
        store: Store,
        dir: PathBuf,
        first: Fence,
        inbox: mpsc::Receiver<Box<dyn Operation>>,
        meters: Arc<LedgerMeters>,
        sweep_every: Duration,
    ) -> io::Result<Self> {
        let log = store.log()?;
        let syncer = Syncer::start(move || log.sync_data())?;
        Ok(Self {
            swept_with: store.row_index().last(),
            meters,
            store,
            dir,
            inbox,
            leases: Leases::default(),
            fences: Fences::starting_with(first),
            expiry: Expiry::default(),
            sweep_every,
            unsynced: Unsynced::new(syncer.done()),
            syncer,
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
                    // Those who have something to hand in, too, are let do so first: a batch of one
                    // costs as much as a full one.
                    std::thread::yield_now();
                    let operations = self.collect(first);
                    self.turn(operations);
                    self.index_rows();
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
            if is_time || Expiry::is_due(self.inserted()) {
                self.expiry();
            }
        }
    }

    fn collect(&mut self, first: Box<dyn Operation>) -> Vec<Box<dyn Operation>> {
        let mut operations = vec![first];
        while operations.len() < BATCH_MAX {
            let Ok(operation) = self.inbox.try_recv() else { break };
            operations.push(operation);
        }
        operations
    }

    fn turn(&mut self, mut operations: Vec<Box<dyn Operation>>) {
        self.unsynced.forget_synced();
        let written = self.write(&mut operations);
        self.note(written.as_ref().err());
        if let Err(outage) = written {
            return syncer::answer(operations, Err(&outage));
        }
        let (durable, quick): (Vec<_>, Vec<_>) = operations.into_iter().partition(|operation| operation.is_durable());
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

    fn write(&mut self, operations: &mut [Box<dyn Operation>]) -> Result<(), Outage> {
        if self.syncer.has_failed() {
            self.store.checkpoint()?;
            self.syncer.forgive();
        }
        let written = self.store.begin().map_err(Outage::from).and_then(|batch| {
            let mut tables = Tables {
                batch,
                leases: &mut self.leases,
                fences: &mut self.fences,
                unsynced: &mut self.unsynced,
                sync: self.syncer.next(),
            };
            operations.iter_mut().try_for_each(|operation| operation.run(&mut tables))?;
            Ok(tables.batch.commit()?)
        });
        match written {
            Ok(()) => self.leases.settle(),
            Err(_) => self.leases.take_back(),
        }
        written
    }

    /// After the answers, so that none waits for it.
    fn index_rows(&mut self) {
        if self.store.row_index().is_due()
            && let Err(error) = self.store.index_rows()
        {
            tracing::debug!(dir = %self.dir.display(), %error, "the ledger keeps its newest keys in memory for now");
        }
    }

    /// Entries that have come in since the expiry's last turn.
    fn inserted(&self) -> u32 {
        u32::try_from(self.store.row_index().last() - self.swept_with).unwrap_or(u32::MAX)
    }

    fn expiry(&mut self) {
        let inserted = self.inserted();
        self.swept_with = self.store.row_index().last();
        let swept = self.store.begin().and_then(|batch| {
            let next = self.expiry.turn(&batch, &self.leases, clock::unix_ms(), inserted)?;
            batch.commit()?;
            Ok(next)
        });
        match swept {
            Ok(next) => {
                self.expiry = next;
                self.expiry.tell(&self.meters);
            }
            Err(error) => {
                let dir = self.dir.display();
                tracing::warn!(%dir, %error, "the ledger could not remove what has expired; it tries again");
            }
        }
    }
}
