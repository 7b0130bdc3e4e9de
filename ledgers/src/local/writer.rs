//! The thread `wasq-ledger`: it has the SQLite store, where steps, envelopes and pauses are. It
//! does every operation in the order in which they came, as many as wait in one transaction, and
//! answers when that is on the disk.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use wasq_core::clock;

use super::core::Core;
use super::expiry::Expiry;
use super::operation::{Operation, Outage};
use super::store::Store;

/// Operations that may wait for the writer before their callers wait to hand them in.
pub const WAITING_MAX: usize = 1_024;
/// Operations in one batch.
const BATCH_MAX: usize = 256;

/// The writer's state; lives on its thread.
pub struct Writer {
    pub store: Store,
    pub dir: PathBuf,
    pub inbox: mpsc::Receiver<Box<dyn Operation>>,
    pub core: Arc<Core>,
    pub expiry: Expiry,
    pub sweep_every: Duration,
    pub timer: Runtime,
    /// Whether the last batch could not be recorded: the log says when that begins and when it
    /// ends.
    pub is_out: bool,
}

impl Writer {
    /// Works until every handle is gone and the last operation is answered. Gives the store, which
    /// keeps the directory locked.
    pub fn run(mut self) -> Store {
        let mut sweep_at = clock::now() + self.sweep_every;
        loop {
            match self.timer.block_on(async { tokio::time::timeout_at(sweep_at, self.inbox.recv()).await }) {
                Ok(Some(first)) => {
                    let operations = self.collect(first);
                    self.turn(operations);
                }
                Ok(None) => return self.store,
                Err(_elapsed) => {}
            }
            if clock::now() >= sweep_at {
                self.expire();
                sweep_at = clock::now() + self.sweep_every;
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
        let written = self.write(&mut operations);
        self.note(written.as_ref().err());
        for operation in operations {
            operation.answer(written.as_ref().copied());
        }
    }

    fn write(&mut self, operations: &mut [Box<dyn Operation>]) -> Result<(), Outage> {
        let batch = self.store.begin()?;
        operations.iter_mut().try_for_each(|operation| operation.run(&batch))?;
        Ok(batch.commit()?)
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

    fn expire(&mut self) {
        let expired = self.store.begin().and_then(|batch| {
            let core = &self.core;
            let next = self.expiry.turn(&batch, clock::unix_ms(), |key, fence| core.needs_step(key, fence))?;
            batch.commit()?;
            Ok(next)
        });
        match expired {
            Ok(next) => self.expiry = next,
            Err(error) => {
                let dir = self.dir.display();
                tracing::warn!(%dir, %error, "the ledger could not remove what has expired; it tries again");
            }
        }
    }
}
