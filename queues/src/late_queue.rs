//! A queue that is known by its name before it can be reached. The host has one for each queue and
//! outlet that it could not open at its start; outboxes hold it as they hold any other. Whoever
//! opens the queue says so here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::RwLock;
use wasq_core::message::{Delivery, MessageId, Receipt, UnixMs};

use crate::attributes::QueueAttributes;
use crate::broker::Broker;
use crate::queue::{Outgoing, Queue, QueueError};

/// Until it is open, every call fails as one that may pass by itself.
pub struct LateQueue {
    /// Its name at its broker.
    name: String,
    broker: Broker,
    claim_check_over: Option<usize>,
    state: RwLock<State>,
}

enum State {
    Closed { reason: String },
    Open(Arc<dyn Queue>),
}

impl LateQueue {
    /// A queue of SQS. `name` is its name there, which says whether it is a FIFO queue.
    /// `claim_check_over` is what the open queue will say.
    pub fn new(name: &str, reason: &str, claim_check_over: Option<usize>) -> Self {
        let state = RwLock::new(State::Closed { reason: reason.to_owned() });
        Self { name: name.to_owned(), broker: Broker::Sqs, claim_check_over, state }
    }

    /// The same on another broker.
    #[must_use]
    pub fn on(self, broker: Broker) -> Self {
        Self { broker, ..self }
    }

    /// Why it is still not open: what its calls say from here on.
    pub fn still_closed(&self, reason: &str) {
        *self.state.write() = State::Closed { reason: reason.to_owned() };
    }

    /// Calls go to this queue from here on.
    pub fn open(&self, queue: Arc<dyn Queue>) {
        *self.state.write() = State::Open(queue);
    }

    fn queue(&self) -> Result<Arc<dyn Queue>, QueueError> {
        match &*self.state.read() {
            State::Open(queue) => Ok(queue.clone()),
            State::Closed { reason } => Err(QueueError::not_open(reason)),
        }
    }
}

#[async_trait]
impl Queue for LateQueue {
    fn name(&self) -> &str {
        &self.name
    }

    fn broker(&self) -> Broker {
        self.broker
    }

    fn keeps_order(&self) -> bool {
        self.queue().map_or_else(|_| self.is_fifo(), |queue| queue.keeps_order())
    }

    fn is_one_group(&self) -> bool {
        self.queue().is_ok_and(|queue| queue.is_one_group())
    }

    fn hides_up_to(&self) -> Duration {
        self.queue().map_or_else(|_| self.broker.hides_up_to(), |queue| queue.hides_up_to())
    }

    fn claim_check_over(&self) -> Option<usize> {
        self.claim_check_over
    }

    fn is_exact(&self) -> bool {
        self.queue().is_ok_and(|queue| queue.is_exact())
    }

    async fn sibling(&self, named: &str) -> Result<Arc<dyn Queue>, QueueError> {
        self.queue()?.sibling(named).await
    }

    async fn prepare(&self, message: Outgoing) -> Result<Outgoing, QueueError> {
        self.queue()?.prepare(message).await
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, QueueError> {
        self.queue()?.receive(max, wait, visibility).await
    }

    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<(), QueueError>> {
        match self.queue() {
            Ok(queue) => queue.delete(receipts).await,
            Err(error) => vec![Err(error); receipts.len()],
        }
    }

    async fn change_visibility(&self, changes: &[(Receipt, u32)]) -> Vec<Result<(), QueueError>> {
        match self.queue() {
            Ok(queue) => queue.change_visibility(changes).await,
            Err(error) => vec![Err(error); changes.len()],
        }
    }

    async fn hide(&self, changes: &[(Receipt, u32)]) -> Vec<Result<(), QueueError>> {
        match self.queue() {
            Ok(queue) => queue.hide(changes).await,
            Err(error) => vec![Err(error); changes.len()],
        }
    }

    async fn send(&self, messages: &[Outgoing]) -> Vec<Result<MessageId, QueueError>> {
        match self.queue() {
            Ok(queue) => queue.send(messages).await,
            Err(error) => vec![Err(error); messages.len()],
        }
    }

    async fn attributes(&self) -> Result<QueueAttributes, QueueError> {
        self.queue()?.attributes().await
    }

    async fn oldest(&self) -> Result<Option<UnixMs>, QueueError> {
        self.queue()?.oldest().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Outgoing {
        Outgoing { body: "{}".into(), attributes: Default::default(), delay_s: 0, group: None, deduplication_id: None }
    }

    #[tokio::test]
    async fn a_queue_that_is_not_open_yet_says_why_for_each_message() {
        let queue = LateQueue::new("mails.fifo", "NonExistentQueue: no such queue", None);
        assert!(queue.is_fifo(), "its name says so");
        queue.still_closed("NoAnswer: connection refused");
        let answers = queue.send(&[message(), message()]).await;
        assert_eq!(answers.len(), 2);
        for answer in answers {
            let error = answer.unwrap_err();
            assert!(error.says_not_open() && matches!(error, QueueError::Transient { .. }), "{error}");
            assert!(error.to_string().contains("connection refused"), "{error}");
        }
    }

    #[test]
    fn one_that_is_not_open_yet_knows_its_brokers_limits() {
        let queue = LateQueue::new("mails.fifo", "not yet", None).on(Broker::RabbitMq);
        assert!(!queue.is_fifo(), "a name says nothing there");
        assert_eq!((queue.hides_up_to(), queue.delays_up_to()), (Duration::from_secs(10), Duration::ZERO));
    }

    #[tokio::test]
    async fn an_open_one_passes_calls_on() {
        let (queue, inner) = (LateQueue::new("mails", "not yet", None), LateQueue::new("inner", "from within", None));
        queue.open(Arc::new(inner));
        let error = queue.attributes().await.unwrap_err();
        assert!(error.to_string().contains("from within"), "{error}");
    }
}
