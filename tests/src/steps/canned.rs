//! A queue in memory that has as many messages as it is told to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use wasq_core::clock;
use wasq_core::message::{Delivery, MessageId, Receipt};
use wasq_queues::{Outgoing, Queue, QueueError};

/// Answers at once, as long as there is a message.
pub struct Canned {
    like: Delivery,
    offered: AtomicU64,
    received: AtomicU64,
    deleted: AtomicU64,
    changed: Notify,
}

/// A message as it is received, with a number for its id.
pub fn delivery(sent: Outgoing, number: u64) -> Delivery {
    Delivery {
        message_id: message_id(number),
        receipt: receipt(number),
        body: sent.body,
        attributes: sent.attributes,
        receive_count: 1,
        sent_at: clock::unix_ms(),
        enqueued_at: clock::unix_ms(),
        group: None,
        deduplication_id: None,
        trace_header: None,
        received_at: clock::now(),
    }
}

/// As long as SQS's.
fn message_id(number: u64) -> MessageId {
    MessageId(format!("{number:036}"))
}

fn receipt(number: u64) -> Receipt {
    Receipt(format!("{number:0184}"))
}

impl Canned {
    /// With messages that differ from this one in their id.
    pub fn new(like: Delivery) -> Self {
        let [offered, received, deleted] = [0; 3].map(AtomicU64::new);
        Self { like, offered, received, deleted, changed: Notify::new() }
    }

    /// Has so many more messages.
    pub fn offer(&self, messages: u64) {
        self.offered.fetch_add(messages, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    /// So many more messages, which are received now.
    pub fn make(&self, messages: u64) -> Vec<Delivery> {
        self.offered.fetch_add(messages, Ordering::Relaxed);
        self.take(messages)
    }

    /// Waits until every message was deleted.
    pub async fn all_deleted(&self) {
        while self.deleted.load(Ordering::Relaxed) < self.offered.load(Ordering::Relaxed) {
            self.changed.notified().await;
        }
    }

    fn take(&self, max: u64) -> Vec<Delivery> {
        let first = self.received.load(Ordering::Relaxed);
        let count = max.min(self.offered.load(Ordering::Relaxed) - first);
        self.received.store(first + count, Ordering::Relaxed);
        let one = |number| Delivery {
            message_id: message_id(number),
            receipt: receipt(number),
            received_at: clock::now(),
            ..self.like.clone()
        };
        (first..first + count).map(one).collect()
    }
}

/// Everything happens on one thread: between a look and a wait nothing changes.
#[async_trait]
impl Queue for Canned {
    fn name(&self) -> &str {
        "jobs"
    }

    async fn receive(&self, max: usize, _: Duration, _: Duration) -> Result<Vec<Delivery>, QueueError> {
        loop {
            let taken = self.take(max as u64);
            if !taken.is_empty() {
                return Ok(taken);
            }
            self.changed.notified().await;
        }
    }

    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<(), QueueError>> {
        self.deleted.fetch_add(receipts.len() as u64, Ordering::Relaxed);
        self.changed.notify_waiters();
        vec![Ok(()); receipts.len()]
    }

    async fn change_visibility(&self, changes: &[(Receipt, u32)]) -> Vec<Result<(), QueueError>> {
        vec![Ok(()); changes.len()]
    }

    async fn send(&self, messages: &[Outgoing]) -> Vec<Result<MessageId, QueueError>> {
        vec![Err(refused()); messages.len()]
    }

    async fn attributes(&self) -> Result<HashMap<String, String>, QueueError> {
        Err(refused())
    }
}

fn refused() -> QueueError {
    QueueError::Permanent { code: "Canned".into(), message: "it only has what it was told to have".into() }
}
