//! The letters that a reader has in hand: hidden from others, until they are deleted or put back.

use std::collections::HashMap;
use std::time::Duration;

use futures::stream::{StreamExt, iter};
use tokio::time::Instant;
use wasq_core::backoff::Backoff;
use wasq_core::clock;
use wasq_core::message::{Delivery, MessageId, Receipt};
use wasq_queues::{BATCH_MAX_ENTRIES, Queue, QueueError, VISIBILITY_MAX};

/// How often a call is tried, and the wait after the first failure.
pub const TRIES: u32 = 4;
const TRY_AGAIN: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));
/// Calls under way at once.
const CALLS: usize = 8;

/// The waits between the tries: each twice the one before, and half of each drawn, so that batches
/// that failed together do not come back together.
pub fn waits() -> impl Iterator<Item = Duration> {
    (1..TRIES).map(|failures| wait(failures, fastrand::f64()))
}

fn wait(failures: u32, draw: f64) -> Duration {
    let longest = TRY_AGAIN.after(failures);
    longest / 2 + (longest / 2).mul_f64(draw)
}

/// Letters in hand.
pub struct HiddenLetters<'a> {
    dlq: &'a dyn Queue,
    hide: Duration,
    held: HashMap<MessageId, HiddenLetter>,
    /// When to look which of them must be hidden for longer.
    renew_at: Instant,
}

struct HiddenLetter {
    receipt: Receipt,
    received_at: Instant,
    hidden_until: Instant,
}

impl<'a> HiddenLetters<'a> {
    /// An empty hand; what comes into it is hidden for `hide`, at least a second.
    pub fn new(dlq: &'a dyn Queue, hide: Duration) -> Self {
        let hide = hide.clamp(Duration::from_secs(1), VISIBILITY_MAX);
        Self { dlq, hide, held: HashMap::new(), renew_at: clock::now() + hide / 2 }
    }

    pub fn hide(&self) -> Duration {
        self.hide
    }

    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Takes a delivery that was received with this hand's `hide`; of a letter that it had, the
    /// newer one counts.
    pub fn take(&mut self, delivery: &Delivery) {
        let (receipt, received_at) = (delivery.receipt.clone(), delivery.received_at);
        let held = HiddenLetter { receipt, received_at, hidden_until: received_at + self.hide };
        self.held.insert(delivery.message_id.clone(), held);
    }

    /// Which of these their DLQ would not delete if all of them were, and why. Nothing is deleted.
    pub fn refused_deletes(&self, ids: &[MessageId]) -> Vec<(MessageId, QueueError)> {
        let held = ids.iter().filter_map(|id| Some((id, self.held.get(id)?.receipt.clone())));
        let (ids, receipts): (Vec<_>, Vec<_>) = held.unzip();
        let refused = self.dlq.refused_deletes(&receipts).into_iter().zip(ids);
        refused.filter_map(|(refused, id)| Some((id.clone(), refused?))).collect()
    }

    /// Deletes letters that are held. The answer names those that could not be, and why.
    pub async fn delete(&mut self, ids: &[MessageId]) -> Vec<(MessageId, QueueError)> {
        let mut left: Vec<(MessageId, QueueError)> = Vec::new();
        for batch in ids.chunks(BATCH_MAX_ENTRIES) {
            let held = batch.iter().filter_map(|id| Some((id.clone(), self.held.get(id)?.receipt.clone())));
            let mut batch: Vec<(MessageId, Receipt)> = held.collect();
            let mut waits = waits();
            loop {
                let wait = waits.next();
                let receipts: Vec<_> = batch.iter().map(|(_, receipt)| receipt.clone()).collect();
                let answers = self.dlq.delete(&receipts).await;
                let mut failed = Vec::new();
                for ((id, receipt), answer) in batch.into_iter().zip(answers) {
                    match answer {
                        Ok(()) => drop(self.held.remove(&id)),
                        Err(QueueError::Transient { .. }) if wait.is_some() => failed.push((id, receipt)),
                        Err(error) => left.push((id, error)),
                    }
                }
                let Some(wait) = wait.filter(|_| !failed.is_empty()) else { break };
                batch = failed;
                tokio::time::sleep(wait).await;
            }
        }
        left
    }

    /// Hides what is held for longer, when half of its time is over, up to SQS's 12 hours. To be
    /// called while nothing is read. What shows again all the same is met again, and known.
    pub async fn renew(&mut self) {
        let now = clock::now();
        if now < self.renew_at {
            return;
        }
        self.renew_at = now + self.hide / 4;
        let (hide, mut receipts) = (self.hide, Vec::new());
        for held in self.held.values_mut() {
            let room = (held.received_at + VISIBILITY_MAX).saturating_duration_since(now);
            if held.hidden_until < now + hide / 2 && room > hide {
                held.hidden_until = now + hide;
                receipts.push(held.receipt.clone());
            }
        }
        for error in hide_for(self.dlq, receipts, hide.as_secs() as u32).await {
            tracing::warn!(%error, "a letter in hand cannot be hidden for longer");
        }
    }

    /// Shows these letters to others again; all of them, if none are named. The answer has the
    /// errors of those that stay hidden.
    pub async fn put_back(&mut self, ids: Option<&[MessageId]>) -> Vec<QueueError> {
        let held: Vec<HiddenLetter> = match ids {
            Some(ids) => ids.iter().filter_map(|id| self.held.remove(id)).collect(),
            None => self.held.drain().map(|(_, held)| held).collect(),
        };
        hide_for(self.dlq, held.into_iter().map(|held| held.receipt).collect(), 0).await
    }
}

/// Hides letters for so many seconds from now; 0 shows them. Gives the errors of those that are as
/// they were. A letter whose receipt has run out shows already.
async fn hide_for(dlq: &dyn Queue, receipts: Vec<Receipt>, visibility_s: u32) -> Vec<QueueError> {
    let mut waits = waits();
    let mut left = receipts;
    let mut errors = Vec::new();
    loop {
        let wait = waits.next();
        let batches = left.chunks(BATCH_MAX_ENTRIES).map(|batch| async move {
            let changes: Vec<_> = batch.iter().map(|receipt| (receipt.clone(), visibility_s)).collect();
            let answers = dlq.change_visibility(&changes).await;
            batch.iter().cloned().zip(answers).collect::<Vec<_>>()
        });
        let answers: Vec<_> = iter(batches).buffer_unordered(CALLS).concat().await;
        let mut failed = Vec::new();
        for (receipt, answer) in answers {
            match answer {
                Ok(()) | Err(QueueError::LeaseLost { .. }) => {}
                Err(QueueError::Transient { .. }) if wait.is_some() => failed.push(receipt),
                Err(error) => errors.push(error),
            }
        }
        let Some(wait) = wait.filter(|_| !failed.is_empty()) else { return errors };
        left = failed;
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_apart_by_waits_that_double_and_are_half_drawn() {
        assert_eq!(waits().count() as u32, TRIES - 1);
        for (failures, longest_ms) in [(1, 200), (2, 400), (3, 800)] {
            let longest = Duration::from_millis(longest_ms);
            assert_eq!((wait(failures, 0.0), wait(failures, 1.0)), (longest / 2, longest));
        }
    }
}
