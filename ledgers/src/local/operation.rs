//! An operation on its way through the writer.

use tokio::sync::oneshot;

use super::leases::Leases;
use super::rows::Batch;
use super::unsynced::Unsynced;
use crate::ledger::{Fence, LedgerError};

/// What an operation reads and changes.
pub struct Tables<'a> {
    pub batch: Batch<'a>,
    pub leases: &'a mut Leases,
    pub fences: &'a mut Fences,
    pub unsynced: &'a mut Unsynced,
    /// The sync that brings to the disk what is written now.
    pub sync: u64,
}

/// Gives out each fence once.
pub struct Fences {
    next: Fence,
}

impl Fences {
    pub fn starting_with(first: Fence) -> Self {
        Self { next: first }
    }

    pub fn next(&mut self) -> Fence {
        let fence = self.next;
        self.next = Fence(fence.0.saturating_add(1));
        fence
    }
}

/// An operation that waits for its turn in a batch.
pub trait Operation: Send {
    /// Does it. An error is the store's: the batch is void.
    fn run(&mut self, tables: &mut Tables<'_>) -> Result<(), Outage>;
    /// Whether the answer, once it is run, may be given only when all before it is on the disk.
    fn is_durable(&self) -> bool;
    /// Tells the caller, once the batch is written or void.
    fn answer(self: Box<Self>, written: Result<(), &Outage>);
}

/// Why nothing could be recorded.
pub struct Outage(String);

impl Outage {
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    pub fn reason(&self) -> &str {
        &self.0
    }
}

/// An [`Operation`] made of a closure and the place where its caller waits.
pub struct Task<T, F> {
    work: Option<F>,
    outcome: Option<Result<T, LedgerError>>,
    durable: fn(&T) -> bool,
    caller: oneshot::Sender<Result<T, LedgerError>>,
}

impl<T, F> Task<T, F> {
    /// `durable` says which answers are given only from the disk.
    pub fn new(durable: fn(&T) -> bool, work: F) -> (Self, oneshot::Receiver<Result<T, LedgerError>>) {
        let (caller, answer) = oneshot::channel();
        (Self { work: Some(work), outcome: None, durable, caller }, answer)
    }
}

#[cfg(test)]
impl<T> Task<T, fn(&mut Tables<'_>) -> Result<T, LedgerError>> {
    /// One whose work is done already.
    pub fn done(outcome: T) -> (Self, oneshot::Receiver<Result<T, LedgerError>>) {
        let (caller, answer) = oneshot::channel();
        (Self { work: None, outcome: Some(Ok(outcome)), durable: |_| true, caller }, answer)
    }
}

impl<T, F> Operation for Task<T, F>
where
    T: Send,
    F: FnOnce(&mut Tables<'_>) -> Result<T, LedgerError> + Send,
{
    fn run(&mut self, tables: &mut Tables<'_>) -> Result<(), Outage> {
        let Some(work) = self.work.take() else { return Ok(()) };
        match work(tables) {
            Err(LedgerError::Unavailable(reason)) => Err(Outage(reason)),
            outcome => {
                self.outcome = Some(outcome);
                Ok(())
            }
        }
    }

    fn is_durable(&self) -> bool {
        matches!(&self.outcome, Some(Ok(answer)) if (self.durable)(answer))
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
