//! The task that asks the ledger for slots and gives those that come to the messages that wait.

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;
use wasq_core::clock;
use wasq_ledgers::LedgerError;

use super::Rates;
use crate::quotas::QuotaStore;
use crate::quotas::rate_document::{Pace, Taken};

/// Calls to the ledger under way at once. Others wait for one of them to end.
const CALLS: usize = 32;

/// A call for one bucket.
struct Call {
    number: u64,
    document: String,
    pace: Pace,
    slots: u32,
}

impl Rates {
    /// Keeps slots in hand for as long as the host runs. Without a store, as if the ledger did not
    /// answer.
    pub async fn keep(&self, store: Option<&QuotaStore>) {
        let mut calls = FuturesUnordered::new();
        loop {
            let (asked, next) = self.turn(CALLS - calls.len());
            calls.extend(asked.into_iter().map(|call| async move {
                let taken = match store {
                    Some(store) => store.take_slots(&call.document, call.pace, call.slots).await,
                    None => Err(LedgerError::Unavailable("it keeps no documents".into())),
                };
                (call.number, taken)
            }));
            tokio::select! {
                biased;
                Some((number, taken)) = calls.next() => self.answered(number, taken),
                () = self.changed.notified() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// Gives slots to those who wait, and says what the ledger is to be asked now and when to look
    /// again.
    fn turn(&self, calls_left: usize) -> (Vec<Call>, Option<Instant>) {
        let state = &mut *self.state.lock();
        let now = clock::now();
        let mut calls = Vec::new();
        for number in state.due(now) {
            let Some(id) = state.id(number) else { continue };
            let document = format!("{}{}", self.rates[id.rate].name, id.key.suffix());
            let may_call = calls.len() < calls_left;
            let call = state.change_number(number, now, |bucket, now| {
                bucket.serve(now);
                let (_, slots) = bucket.wants(now).filter(|(at, _)| *at <= now && may_call)?;
                bucket.ask(now);
                Some(Call { number, document, pace: bucket.pace, slots })
            });
            calls.extend(call.flatten());
        }
        // With all calls under way, the end of one of them is what is waited for.
        let next = state.next_due((calls.len() == calls_left).then_some(now));
        (calls, next)
    }

    fn answered(&self, number: u64, taken: Result<(Taken, Instant), LedgerError>) {
        let state = &mut *self.state.lock();
        let Some(rate) = state.id(number).map(|id| id.rate) else { return };
        state.change_number(number, clock::now(), |bucket, now| match taken {
            Ok((taken, asked_at)) => bucket.answered(taken, asked_at, now),
            Err(error) => {
                tracing::debug!(rate = self.rates[rate].name, %error, "no slots of a rate could be taken");
                bucket.failed(now);
                if self.is_shared(rate) {
                    bucket.take_share(now);
                }
            }
        });
    }
}

/// For ever, where there is nothing to wait for.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
