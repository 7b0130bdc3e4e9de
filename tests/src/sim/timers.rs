//! A service's timers in the world's ledger, as one host reaches them: the pure functions that the
//! real stores are compared with, behind calls that fail.

use std::time::Duration;

use async_trait::async_trait;
use wasq_core::message::UnixMs;
use wasq_ledgers::timers::{
    Cancelled, Counts, Due, List, NewTimer, Place, Set, Timer, TimerId, Timers, Timetable, Update,
};
use wasq_ledgers::{Fence, LedgerError};

use super::ledger::SimLedger;
use super::world::{EPOCH_MS, State};

/// The timers, from one host's side.
pub struct SimTimers {
    ledger: SimLedger,
    service: String,
}

impl SimTimers {
    pub fn new(ledger: SimLedger, service: &str) -> Self {
        Self { ledger, service: service.to_owned() }
    }

    /// A look, which changes nothing.
    async fn look<T: Send>(&self, look: impl FnOnce(&Timetable, UnixMs) -> T + Send) -> Result<T, LedgerError> {
        self.ledger.call(|state, now_ms| Ok(look(state.books.timers(&self.service).0, at(now_ms)))).await
    }
}

/// The wall clock's moment.
fn at(now_ms: u64) -> UnixMs {
    UnixMs(EPOCH_MS + now_ms)
}

#[async_trait]
impl Timers for SimTimers {
    async fn set_batch(&self, timers: Vec<NewTimer>) -> Vec<Result<Set, LedgerError>> {
        let set = |state: &mut State, timer: &NewTimer, now_ms| {
            let (table, mut next_fence) = state.books.timers(&self.service);
            table.set(timer.clone(), next_fence(), at(now_ms))
        };
        self.ledger.batch(&timers, set).await
    }

    async fn take_due(&self, lease: Duration, max: usize) -> Result<Due, LedgerError> {
        let take = |state: &mut State, now_ms| {
            let (table, next_fence) = state.books.timers(&self.service);
            Ok(table.take_due(lease, max, at(now_ms), next_fence))
        };
        self.ledger.call(take).await
    }

    async fn done_batch(&self, timers: &[(TimerId, Fence)]) -> Vec<Result<bool, LedgerError>> {
        let done =
            |state: &mut State, (id, fence): &(TimerId, Fence), _| state.books.timers(&self.service).0.done(id, *fence);
        self.ledger.batch(timers, done).await
    }

    async fn update_batch(&self, updates: Vec<Update>) -> Vec<Result<bool, LedgerError>> {
        let update = |state: &mut State, update: &Update, now_ms| {
            let (table, mut next_fence) = state.books.timers(&self.service);
            table.update(update.clone(), next_fence(), at(now_ms))
        };
        self.ledger.batch(&updates, update).await
    }

    async fn cancel_batch(&self, ids: &[TimerId]) -> Vec<Result<Cancelled, LedgerError>> {
        let cancel =
            |state: &mut State, id: &TimerId, now_ms| Ok(state.books.timers(&self.service).0.cancel(id, at(now_ms)));
        self.ledger.batch(ids, cancel).await
    }

    async fn get(&self, id: &TimerId) -> Result<Option<Timer>, LedgerError> {
        self.look(|table, now| table.get(id, now)).await
    }

    async fn list(&self, limit: usize, after: Option<&Place>) -> Result<List, LedgerError> {
        self.look(|table, now| table.list(limit, after, now)).await
    }

    async fn counts(&self) -> Result<Counts, LedgerError> {
        self.look(Timetable::counts).await
    }
}
