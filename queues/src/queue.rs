//! The seam to a queue: what the host asks of it, and how it can fail.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use wasq_core::message::{Attributes, Delivery, MessageId, Receipt, UnixMs};
use wasq_sqs_rules::MAX_MESSAGE_BYTES as MESSAGE_MAX_BYTES;

use crate::attributes::{MaximumMessageSize, QueueAttributes};
use crate::broker::Broker;

/// SQS's limit on entries in one batch call.
pub const BATCH_MAX_ENTRIES: usize = 10;

/// Whether a queue of this name, URL or ARN is a FIFO queue of SQS, which has them end so.
pub fn is_fifo(name: &str) -> bool {
    name.ends_with(".fifo")
}

/// One queue. Batches take at most [`BATCH_MAX_ENTRIES`] and answer entry by entry.
#[async_trait]
pub trait Queue: Send + Sync + 'static {
    /// A name for logs: the URL's last part.
    fn name(&self) -> &str;

    /// What tells it from all other queues: where it is, without credentials.
    fn url(&self) -> &str {
        self.name()
    }

    /// The region in which it is asked, of a broker that has regions.
    fn region(&self) -> Option<String> {
        None
    }

    /// Whether its counts and its empty answers can be trusted at once.
    fn is_exact(&self) -> bool {
        true
    }

    /// The URLs of the queues whose messages the broker itself moves to this one.
    async fn sources(&self) -> Result<Vec<String>, QueueError> {
        Ok(Vec::new())
    }

    /// How often the broker delivers a message before it takes it away by itself, where it says so
    /// in something else than [`attributes`](Self::attributes). It is asked once, when a host opens
    /// the queue.
    async fn delivery_limit(&self) -> Result<DeliveryLimit, QueueError> {
        Ok(DeliveryLimit::None)
    }

    /// Another queue of the same broker, by its name or its URL.
    async fn sibling(&self, named: &str) -> Result<Arc<dyn Queue>, QueueError> {
        let message = format!("{} is a queue by itself, and does not lead to {named}", self.name());
        Err(QueueError::Permanent { code: "Configuration".into(), message })
    }

    /// The same queue over a connection of its own, which the runtime drives on which this is
    /// called. None where it shares one anyway, or where a renewal asks nobody.
    async fn with_own_connection(&self) -> Option<Arc<dyn Queue>> {
        None
    }

    /// Who keeps it.
    fn broker(&self) -> Broker {
        Broker::Sqs
    }

    fn is_fifo(&self) -> bool {
        match self.broker() {
            Broker::Sqs => is_fifo(self.name()),
            Broker::RabbitMq | Broker::Redis | Broker::Kafka => false,
        }
    }

    /// Whether messages of one group come one after the other: the next one when the one before it
    /// is deleted. Then a message that waits keeps its place.
    fn keeps_order(&self) -> bool {
        self.is_fifo()
    }

    /// Whether all of its messages are one such group, whatever groups they name.
    fn is_one_group(&self) -> bool {
        false
    }

    /// The longest time for which a message that was received can be hidden.
    fn hides_up_to(&self) -> Duration {
        self.broker().hides_up_to()
    }

    /// The longest delay that a message can be sent with. On a FIFO queue SQS has none for a message
    /// of its own.
    fn delays_up_to(&self) -> Duration {
        if self.is_fifo() { Duration::ZERO } else { self.broker().delays_up_to() }
    }

    /// Over how many bytes a message goes by S3; none where it always goes itself.
    fn claim_check_over(&self) -> Option<usize> {
        None
    }

    /// Waits up to `wait` for at least one message, and hides what it brings for `visibility`.
    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, QueueError>;

    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<(), QueueError>>;

    /// Why [`delete`](Self::delete) would refuse some of these for good, asked for all of them
    /// together: a broker may have messages that leave it in their turn only. Nothing is deleted.
    fn refused_deletes(&self, receipts: &[Receipt]) -> Vec<Option<QueueError>> {
        vec![None; receipts.len()]
    }

    /// Hides each for so many whole seconds from now; 0 shows it again.
    async fn change_visibility(&self, changes: &[(Receipt, u32)]) -> Vec<Result<(), QueueError>>;

    /// The same of messages that the host has let go of: nobody works on them any more, and nobody
    /// renews them. They show again after so many whole seconds.
    async fn hide(&self, changes: &[(Receipt, u32)]) -> Vec<Result<(), QueueError>> {
        self.change_visibility(changes).await
    }

    async fn send(&self, messages: &[Outgoing]) -> Vec<Result<MessageId, QueueError>>;

    /// The message as [`send`](Self::send) sends it. What this takes, such as putting its body
    /// elsewhere, is not done again for what it answers.
    async fn prepare(&self, message: Outgoing) -> Result<Outgoing, QueueError> {
        Ok(message)
    }

    /// All the queue's attributes, by SQS's names.
    async fn attributes(&self) -> Result<QueueAttributes, QueueError>;

    /// When the oldest message was sent, where the broker says it without handing it out.
    async fn oldest(&self) -> Result<Option<UnixMs>, QueueError> {
        Ok(None)
    }
}

/// A message to send.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub body: Bytes,
    pub attributes: Attributes,
    pub delay_s: u32,
    pub group: Option<String>,
    pub deduplication_id: Option<String>,
}

/// How often a broker delivers a message before it takes it away by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryLimit {
    /// As often as it takes, as far as is known.
    None,
    /// As often as the broker's version has it.
    Default,
    Deliveries(u32),
}

/// Why a call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueueError {
    /// Throttled, 5xx, no answer: may pass by itself.
    #[error("{code}: {message}")]
    Transient { code: String, message: String },
    /// The receipt handle is not valid any more: the lease is lost.
    #[error("the receipt handle is no longer valid: {message}")]
    LeaseLost { message: String },
    /// Access denied, no such queue, invalid request: stays until somebody changes something.
    #[error("{code}: {message}")]
    Permanent { code: String, message: String },
}

/// The code of a queue that the host has not opened yet.
const NOT_OPEN: &str = "NotOpen";
/// The codes of what stays until the host is started with other settings.
const BAD_SETTINGS: [&str; 3] = ["Configuration", "NoCredentials", "NoRegion"];

impl QueueError {
    /// A queue that is not open yet, and why.
    pub fn not_open(reason: &str) -> Self {
        Self::Transient { code: NOT_OPEN.into(), message: format!("the queue is not open yet: {reason}") }
    }

    /// Whether the queue was not open yet.
    pub fn says_not_open(&self) -> bool {
        self.code() == NOT_OPEN
    }

    /// Whether only a start with other settings helps. A queue may still be created, a policy
    /// changed, an endpoint come up.
    pub fn needs_other_settings(&self) -> bool {
        matches!(self, Self::Permanent { code, .. } if BAD_SETTINGS.contains(&code.as_str()))
    }

    /// The broker's code for it, SQS's without its prefixes; or ours, where there was no answer.
    pub fn code(&self) -> &str {
        match self {
            Self::Transient { code, .. } | Self::Permanent { code, .. } => code,
            Self::LeaseLost { .. } => "ReceiptHandleIsInvalid",
        }
    }

    /// Whether the broker says that we may not ask.
    pub fn says_denied(&self) -> bool {
        matches!(self.code(), "AccessDenied" | "AccessDeniedException" | "AccessRefused")
    }

    /// Whether the broker says that there is no such queue.
    pub fn says_missing(&self) -> bool {
        self.code() == "NotFound"
            || ["NonExistentQueue", "QueueDoesNotExist"].iter().any(|code| self.code().contains(code))
    }
}

/// Cuts messages into batches that SQS takes: at most [`BATCH_MAX_ENTRIES`] and
/// [`MESSAGE_MAX_BYTES`] each, in their order.
pub fn batches(messages: &[Outgoing]) -> Vec<&[Outgoing]> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, message) in messages.iter().enumerate() {
        let size = wasq_core::message::size_bytes(&message.body, &message.attributes);
        if index > start && (index - start == BATCH_MAX_ENTRIES || bytes + size > MESSAGE_MAX_BYTES) {
            batches.push(&messages[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    if start < messages.len() {
        batches.push(&messages[start..]);
    }
    batches
}

/// A queue that outboxes send to, and the largest message that it takes.
pub struct Outlet {
    pub queue: Arc<dyn Queue>,
    pub max_bytes: MaximumMessageSize,
}

/// Queues that outboxes send to, by their names in the config.
pub type Outlets = HashMap<String, Outlet>;

#[cfg(test)]
mod tests;
