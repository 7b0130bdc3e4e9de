//! The host's hold of the ledger's timers: what is set there, and under which id.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use wasq_core::message::{Delivery, UnixMs};
use wasq_ledgers::timers::{NewTimer, Timer, TimerId, Timers, When};
use wasq_ledgers::{Ledger, LedgerError};
use wasq_queues::Outgoing;

use super::meters::TimerMeters;
use super::parked::Why;
use super::stored_message;

/// Timers that are set in one call, and their bytes.
const SET_MAX: usize = 100;
const SET_MAX_BYTES: usize = 4 * 1024 * 1024;

/// The timers of this host's scope.
pub struct TimerStore {
    pub(super) timers: Arc<dyn Timers>,
    pub meters: TimerMeters,
    /// Queues that messages are due for and this host does not know: each is said once.
    unknown: Mutex<BTreeSet<String>>,
    /// Told when something was set that is due now.
    pub(super) soon: Notify,
}

/// A message of an outbox that is sent later.
pub struct Later {
    /// The queue's name in the config.
    pub queue: String,
    /// The message's own key: the same message is one timer, however often it is set.
    pub key: String,
    pub due: UnixMs,
    pub message: Outgoing,
}

impl TimerStore {
    /// None where the ledger keeps no timers.
    pub fn of(ledger: &dyn Ledger, scope: &str) -> Option<Self> {
        Some(Self {
            timers: ledger.timers(scope)?,
            meters: TimerMeters::default(),
            unknown: Mutex::default(),
            soon: Notify::new(),
        })
    }

    /// The ledger's timers themselves.
    pub fn timers(&self) -> &dyn Timers {
        &*self.timers
    }

    /// Whether nothing was said of this queue yet.
    pub(super) fn is_new_trouble(&self, queue: &str) -> bool {
        self.unknown.lock().insert(queue.to_owned())
    }

    /// A timer as it stands.
    pub async fn get(&self, id: &TimerId) -> Result<Option<Timer>, LedgerError> {
        self.timers.get(id).await
    }

    /// Stores a message that is deleted from its queue when this has been answered. `message` is
    /// what is sent again, to the queue of this name in the config.
    pub async fn park(
        &self,
        queue: &str,
        park: &str,
        why: Why,
        wait: Duration,
        message: &Outgoing,
    ) -> Result<(), LedgerError> {
        let due = match why {
            Why::Waits => When::In(wait),
            Why::DeliverAt(at) => When::At(at),
        };
        let timer = NewTimer {
            id: TimerId(park.to_owned()),
            due,
            queue: queue.to_owned(),
            message: stored_message::encode(message, None),
        };
        self.timers.set(timer).await?;
        self.meters.parked.add(1);
        Ok(())
    }

    /// Has a message sent to the queue of this name in the config, as soon as a host that knows the
    /// queue gets to it. The same id is the same message until it is sent.
    pub async fn send_soon(&self, id: &str, queue: &str, message: &Outgoing) -> Result<(), LedgerError> {
        let message = stored_message::encode(message, None);
        let timer = NewTimer { id: TimerId(id.to_owned()), due: When::NOW, queue: queue.to_owned(), message };
        self.timers.set(timer).await?;
        self.soon.notify_one();
        Ok(())
    }

    /// Stores messages of an outbox, in batches.
    pub async fn set(&self, messages: &[Later]) -> Result<(), LedgerError> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        for later in messages {
            let message = stored_message::encode(&later.message, None);
            bytes += message.len();
            if !batch.is_empty() && (batch.len() == SET_MAX || bytes > SET_MAX_BYTES) {
                self.set_batch(std::mem::take(&mut batch)).await?;
                bytes = message.len();
            }
            batch.push(NewTimer {
                id: TimerId(format!("outbox/{}/{}", later.queue, later.key)),
                due: When::At(later.due),
                queue: later.queue.clone(),
                message,
            });
        }
        self.set_batch(batch).await
    }

    async fn set_batch(&self, batch: Vec<NewTimer>) -> Result<(), LedgerError> {
        let count = batch.len() as u64;
        for answer in self.timers.set_batch(batch).await {
            answer?;
        }
        self.meters.delayed.add(count);
        Ok(())
    }
}

/// The id of a park: the same while the message stands in its queue, whoever receives it.
/// `delivery` is as the queue has it.
pub fn park_id(queue: &str, delivery: &Delivery) -> String {
    format!("parked/{queue}/{}", delivery.message_id)
}
