//! An operation on its way through the thread that has the SQLite store.

use tokio::sync::oneshot;

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
