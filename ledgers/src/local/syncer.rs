//! Waits for the disk beside the writer, so that no claim stands behind a completion's fsync.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::operation::{Operation, Outage};

/// Batches that may wait for the disk before the writer waits as well.
const BATCHES_MAX: usize = 64;

/// A thread that brings to the disk what the writer has committed, and then answers.
pub struct Syncer {
    batches: SyncSender<(u64, Vec<Box<dyn Operation>>)>,
    /// The batches that were handed over.
    count: u64,
    /// The last of them that is on the disk, and all before it.
    done: Arc<AtomicU64>,
    failed: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Syncer {
    /// Starts the thread. When `sync` returns well, all that was committed before its call is on
    /// the disk.
    pub fn start(sync: impl FnMut() -> io::Result<()> + Send + 'static) -> io::Result<Self> {
        let (batches, waiting) = sync_channel(BATCHES_MAX);
        let failed = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let (failed_here, done_here) = (failed.clone(), done.clone());
        let run = move || run(&waiting, sync, &failed_here, &done_here);
        let thread = thread::Builder::new().name("wasq-ledger-sync".into()).spawn(run)?;
        Ok(Self { batches, count: 0, done, failed, thread })
    }

    /// The number of the next batch.
    pub fn next(&self) -> u64 {
        self.count + 1
    }

    /// The last batch that is on the disk.
    pub fn done(&self) -> Arc<AtomicU64> {
        self.done.clone()
    }

    /// Answers the operations, whose work is committed, once it is on the disk.
    pub fn answer_durably(&mut self, operations: Vec<Box<dyn Operation>>) {
        self.count += 1;
        if let Err(unsent) = self.batches.send((self.count, operations)) {
            let outage = Outage::new("the thread that syncs the ledger has stopped");
            answer(unsent.0.1, Err(&outage));
        }
    }

    /// Whether a sync has failed since the last [`Syncer::forgive`]. Until then nothing may be
    /// taken for durable: the kernel reports such a failure once, and the next sync succeeds over
    /// pages that it has given up on.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// What was committed has been brought to the disk in another way.
    pub fn forgive(&self) {
        self.failed.store(false, Ordering::Release);
    }

    /// Answers what waits, and ends the thread.
    pub fn stop(self) {
        drop(self.batches);
        if self.thread.join().is_err() {
            tracing::error!("the thread that syncs the ledger has panicked");
        }
    }
}

fn run(
    waiting: &Receiver<(u64, Vec<Box<dyn Operation>>)>,
    mut sync: impl FnMut() -> io::Result<()>,
    failed: &AtomicBool,
    done: &AtomicU64,
) {
    while let Ok((mut last, mut operations)) = waiting.recv() {
        // One sync serves all that were committed before it.
        for (number, more) in waiting.try_iter() {
            last = number;
            operations.extend(more);
        }
        // A batch that was committed before the failure was noticed is as doubtful as the failed
        // one.
        let synced = match failed.load(Ordering::Acquire) {
            true => Err(Outage::new("an earlier write has not reached the disk")),
            false => sync().map_err(|error| Outage::new(format!("the ledger could not be synced: {error}"))),
        };
        if let Err(outage) = &synced {
            tracing::warn!(
                reason = outage.reason(),
                operations = operations.len(),
                "the ledger could not reach the disk"
            );
            failed.store(true, Ordering::Release);
        }
        if synced.is_ok() {
            done.store(last, Ordering::Release);
        }
        answer(operations, synced.as_ref().copied());
    }
}

/// Answers every operation alike.
pub fn answer(operations: Vec<Box<dyn Operation>>, written: Result<(), &Outage>) {
    for operation in operations {
        operation.answer(written);
    }
}

#[cfg(test)]
mod tests {
    use super::super::operation::Task;
    use super::*;
    use crate::ledger::LedgerError;

    #[tokio::test]
    async fn a_failed_sync_is_answered_and_remembered() {
        let mut outcomes = [Err(io::Error::other("no such luck")), Ok(())].into_iter();
        let mut syncer = Syncer::start(move || outcomes.next().unwrap_or(Ok(()))).expect("the thread starts");
        let operation = || {
            let (task, answer) = Task::done(7);
            (Box::new(task) as Box<dyn Operation>, answer)
        };
        let (first, first_answer) = operation();
        syncer.answer_durably(vec![first]);
        assert!(matches!(first_answer.await, Ok(Err(LedgerError::Unavailable(_)))));
        assert!(syncer.has_failed());

        let (second, second_answer) = operation();
        syncer.answer_durably(vec![second]);
        assert!(matches!(second_answer.await, Ok(Err(LedgerError::Unavailable(_)))), "not until it is forgiven");

        syncer.forgive();
        let (third, third_answer) = operation();
        syncer.answer_durably(vec![third]);
        assert!(matches!(third_answer.await, Ok(Ok(7))));
        syncer.stop();
    }
}
