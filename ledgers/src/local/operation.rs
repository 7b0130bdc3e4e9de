//! An operation on its way through the thread that has the SQLite store.

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::rows::Batch;
use crate::ledger::LedgerError;

/// An operation that waits for its turn in a batch.
pub trait Operation: Send {
    /// Does it. An error is the store's: the batch is void.
    fn run(&mut self, batch: &Batch<'_>) -> Result<(), Outage>;
    /// Tells the caller, once the batch is on the disk or void.
    fn answer(self: Box<Self>, written: Result<(), &Outage>);
}

/// Why nothing could be recorded.
pub struct Outage(String);

impl Outage {
    pub fn reason(&self) -> &str {
        &self.0
    }
}

/// An [`Operation`] made of a closure and the place where its caller waits.
pub struct Task<T, F> {
    work: Option<F>,
    outcome: Option<Result<T, LedgerError>>,
    caller: oneshot::Sender<Result<T, LedgerError>>,
}

impl<T, F> Task<T, F> {
    pub fn new(work: F) -> (Self, oneshot::Receiver<Result<T, LedgerError>>) {
        let (caller, answer) = oneshot::channel();
        (Self { work: Some(work), outcome: None, caller }, answer)
    }
}

impl<T, F> Operation for Task<T, F>
where
    T: Send,
    F: FnOnce(&Batch<'_>) -> Result<T, LedgerError> + Send,
{
    fn run(&mut self, batch: &Batch<'_>) -> Result<(), Outage> {
        let Some(work) = self.work.take() else { return Ok(()) };
        match work(batch) {
            Err(LedgerError::Unavailable(reason)) => Err(Outage(reason)),
            outcome => {
                self.outcome = Some(outcome);
                Ok(())
            }
        }
    }

    fn answer(self: Box<Self>, written: Result<(), &Outage>) {
        let outcome = match (written, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (Ok(()), None) => Err(LedgerError::Unavailable("the operation was not reached".into())),
            (Err(outage), _) => Err(LedgerError::Unavailable(outage.0.clone())),
        };
        // A caller that no longer waits has gone away, with its flow; what was recorded stands.
        drop(self.caller.send(outcome));
    }
}

impl From<LedgerError> for Outage {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Unavailable(reason) => Self(reason),
            other @ (LedgerError::Stale | LedgerError::Damaged(_) | LedgerError::TooLarge(_)) => {
                Self(other.to_string())
            }
        }
    }
}

/// What hands operations to the thread.
pub struct Operations(Mutex<Option<mpsc::Sender<Box<dyn Operation>>>>);

impl Operations {
    pub fn new(sender: mpsc::Sender<Box<dyn Operation>>) -> Self {
        Self(Mutex::new(Some(sender)))
    }

    /// None is taken any more. The thread ends with those that it has.
    pub fn close(&self) {
        self.0.lock().take();
    }

    fn sender(&self) -> Option<mpsc::Sender<Box<dyn Operation>>> {
        self.0.lock().clone()
    }

    /// Has the thread do `work` in its turn; its answer is given when it is on the disk.
    pub async fn ask<T, F>(&self, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Batch<'_>) -> Result<T, LedgerError> + Send + 'static,
    {
        let closed = || LedgerError::Unavailable("the ledger is closed".into());
        let sender = self.sender().ok_or_else(closed)?;
        let (task, answer) = Task::new(work);
        sender.send(Box::new(task)).await.map_err(|_| closed())?;
        drop(sender);
        answer.await.map_err(|_| closed())?
    }

    /// As `ask`, if there is room now. Nobody waits for it.
    pub fn offer<F>(&self, work: F)
    where
        F: FnOnce(&Batch<'_>) -> Result<(), LedgerError> + Send + 'static,
    {
        let (task, _nobody_waits) = Task::new(work);
        if let Some(Err(error)) = self.sender().map(|sender| sender.try_send(Box::new(task))) {
            tracing::debug!(%error, "an operation on the ledger that may wait is left out for now");
        }
    }
}

/// The answers of a batch. What the disk fails at is the whole batch's matter; a damaged entry is
/// its key's.
pub fn each<P, T>(
    parts: impl IntoIterator<Item = P>,
    work: impl FnMut(P) -> Result<T, LedgerError>,
) -> Result<Vec<Result<T, LedgerError>>, LedgerError> {
    let answers = parts.into_iter().map(work).map(|answer| match answer {
        Err(LedgerError::Unavailable(reason)) => Err(LedgerError::Unavailable(reason)),
        answer => Ok(answer),
    });
    answers.collect()
}
