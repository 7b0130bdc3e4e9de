//! A queue whose large bodies go by S3 (the claim check pattern): what is sent over a limit is put
//! into a bucket, and the message is a pointer to it. What is received is left as it is: the host
//! fetches it, where it can say what became of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use wasq_core::aws::s3::{ObjectRef, S3, S3Error};
use wasq_core::message::{AttributeData, AttributeValue, Delivery, MessageId, Receipt, UnixMs, size_bytes};

use crate::attributes::QueueAttributes;
use crate::broker::Broker;
use crate::payload_pointer::{self, SIZE_ATTRIBUTE};
use crate::queue::{Outgoing, Queue, QueueError};

/// Sends large bodies by S3.
pub struct ClaimCheckQueue {
    queue: Arc<dyn Queue>,
    s3: S3,
    bucket: String,
    over_bytes: usize,
}

impl ClaimCheckQueue {
    /// Messages of more than `over_bytes`, attributes included, go by the bucket.
    pub fn new(queue: Arc<dyn Queue>, s3: S3, bucket: String, over_bytes: usize) -> Self {
        Self { queue, s3, bucket, over_bytes }
    }
}

fn failed(error: S3Error) -> QueueError {
    let (code, message) = ("ClaimCheck".to_owned(), error.to_string());
    if error.may_pass() { QueueError::Transient { code, message } } else { QueueError::Permanent { code, message } }
}

#[async_trait]
impl Queue for ClaimCheckQueue {
    fn name(&self) -> &str {
        self.queue.name()
    }

    fn url(&self) -> &str {
        self.queue.url()
    }

    fn region(&self) -> Option<String> {
        self.queue.region()
    }

    fn is_exact(&self) -> bool {
        self.queue.is_exact()
    }

    fn keeps_order(&self) -> bool {
        self.queue.keeps_order()
    }

    fn is_one_group(&self) -> bool {
        self.queue.is_one_group()
    }

    fn hides_up_to(&self) -> Duration {
        self.queue.hides_up_to()
    }

    async fn sibling(&self, named: &str) -> Result<Arc<dyn Queue>, QueueError> {
        self.queue.sibling(named).await
    }

    fn broker(&self) -> Broker {
        self.queue.broker()
    }

    fn claim_check_over(&self) -> Option<usize> {
        Some(self.over_bytes)
    }

    /// Its object is in the bucket before the message is in the queue.
    async fn prepare(&self, message: Outgoing) -> Result<Outgoing, QueueError> {
        if size_bytes(&message.body, &message.attributes) <= self.over_bytes {
            return Ok(message);
        }
        let object = ObjectRef { bucket: self.bucket.clone(), key: uuid::Uuid::new_v4().to_string() };
        self.s3.put(&object, message.body.clone()).await.map_err(failed)?;
        let size = AttributeData::Text(message.body.len().to_string());
        let mut pointer = Outgoing { body: Bytes::from(payload_pointer::write(&object)), ..message };
        let size = AttributeValue { data_type: "Number".into(), value: size };
        pointer.attributes.insert(SIZE_ATTRIBUTE.into(), size);
        Ok(pointer)
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, QueueError> {
        self.queue.receive(max, wait, visibility).await
    }

    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<(), QueueError>> {
        self.queue.delete(receipts).await
    }

    async fn change_visibility(&self, changes: &[(Receipt, u32)]) -> Vec<Result<(), QueueError>> {
        self.queue.change_visibility(changes).await
    }

    async fn hide(&self, changes: &[(Receipt, u32)]) -> Vec<Result<(), QueueError>> {
        self.queue.hide(changes).await
    }

    async fn send(&self, messages: &[Outgoing]) -> Vec<Result<MessageId, QueueError>> {
        let mut answers: Vec<Option<Result<MessageId, QueueError>>> = Vec::new();
        let mut ready = Vec::new();
        for prepared in join_all(messages.iter().map(|message| self.prepare(message.clone()))).await {
            match prepared {
                Ok(message) => {
                    ready.push(message);
                    answers.push(None);
                }
                Err(error) => answers.push(Some(Err(error))),
            }
        }
        // A FIFO queue's order would be broken by those that go on without the one before them.
        if self.is_fifo() && ready.len() < messages.len() {
            let error = answers.iter().flatten().find_map(|answer| answer.as_ref().err().cloned());
            let error = error.expect("one has failed");
            return vec![Err(error); messages.len()];
        }
        let mut sent = self.queue.send(&ready).await.into_iter();
        let answered = answers.into_iter().map(|answer| answer.or_else(|| sent.next()));
        answered.map(|answer| answer.expect("a queue answers for each message")).collect()
    }

    async fn attributes(&self) -> Result<QueueAttributes, QueueError> {
        self.queue.attributes().await
    }

    async fn oldest(&self) -> Result<Option<UnixMs>, QueueError> {
        self.queue.oldest().await
    }
}
