//! The seam to a queue: what the host asks of it, and how it can fail.

pub mod sqs;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::message::{Attributes, Delivery, MessageId, Receipt};

/// SQS's limit on entries in one batch call.
pub const BATCH_MAX_ENTRIES: usize = 10;
/// SQS's limit on the bytes of a message, and of a batch: 1 MiB since 2025.
pub const MESSAGE_MAX_BYTES: usize = 1024 * 1024;
/// SQS's limit on attributes of a message.
pub const MESSAGE_MAX_ATTRIBUTES: usize = 10;
/// SQS's limit on visibility, counted from receipt: 12 hours.
pub const VISIBILITY_MAX: Duration = Duration::from_secs(12 * 60 * 60);
/// SQS's limit on the delay of a sent message: 15 minutes.
pub const DELAY_MAX_S: u32 = 900;

/// One queue. Batches take at most [`BATCH_MAX_ENTRIES`] and answer place by place.
#[async_trait]
pub trait Queue: Send + Sync + 'static {
    /// A name for logs: the URL's last part.
    fn name(&self) -> &str;

    /// Waits up to `wait` for at least one message, and hides what it brings for `visibility`.
    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, QueueError>;

    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<(), QueueError>>;

    /// Hides each for so many whole seconds from now; 0 shows it again.
    async fn change_visibility(&self, changes: &[(Receipt, u32)]) -> Vec<Result<(), QueueError>>;

    async fn send(&self, messages: &[Outgoing]) -> Vec<Result<MessageId, QueueError>>;

    /// All the queue's attributes, by SQS's names.
    async fn attributes(&self) -> Result<HashMap<String, String>, QueueError>;
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

impl QueueError {
    /// SQS's code for it, without its prefixes; or ours, where there was no answer.
    pub fn code(&self) -> &str {
        match self {
            Self::Transient { code, .. } | Self::Permanent { code, .. } => code,
            Self::LeaseLost { .. } => "ReceiptHandleIsInvalid",
        }
    }
}

/// Cuts messages into batches that SQS takes: at most [`BATCH_MAX_ENTRIES`] and [`MESSAGE_MAX_BYTES`] each, in their order.
pub fn batches(messages: &[Outgoing]) -> Vec<&[Outgoing]> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (place, message) in messages.iter().enumerate() {
        let size = crate::message::size_bytes(&message.body, &message.attributes);
        if place > start && (place - start == BATCH_MAX_ENTRIES || bytes + size > MESSAGE_MAX_BYTES) {
            batches.push(&messages[start..place]);
            (start, bytes) = (place, 0);
        }
        bytes += size;
    }
    if start < messages.len() {
        batches.push(&messages[start..]);
    }
    batches
}

/// Whether SQS takes this character in a body or a text attribute: those of XML 1.0, as SendMessage's page lists them.
pub fn takes_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

/// Why SQS would refuse a message of this body and these attributes, with `more` attributes still to be added.
pub fn size_limit_error(body: &[u8], attributes: &Attributes, more: usize) -> Option<String> {
    let bytes = crate::message::size_bytes(body, attributes);
    if bytes > MESSAGE_MAX_BYTES {
        return Some(format!("the message has {bytes} bytes with its attributes; SQS takes {MESSAGE_MAX_BYTES}"));
    }
    if attributes.len() + more > MESSAGE_MAX_ATTRIBUTES {
        let own = MESSAGE_MAX_ATTRIBUTES - more;
        return Some(format!("the message has {} attributes; {own} fit beside the host's own", attributes.len()));
    }
    std::str::from_utf8(body).err().map(|error| format!("the body is not UTF-8, which SQS requires: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_bodies_of_one_mib_are_split_by_bytes() {
        let message = |bytes: usize| Outgoing {
            body: vec![b'x'; bytes].into(),
            attributes: Attributes::new(),
            delay_s: 0,
            group: None,
            deduplication_id: None,
        };
        let check = |sizes: &[usize], expect: &[usize]| {
            let messages: Vec<_> = sizes.iter().map(|bytes| message(*bytes)).collect();
            assert_eq!(batches(&messages).iter().map(|batch| batch.len()).collect::<Vec<_>>(), expect);
        };
        check(&[MESSAGE_MAX_BYTES; 10], &[1; 10]);
        check(&[10; 25], &[10, 10, 5]);
        check(&[MESSAGE_MAX_BYTES - 10, 10, 10], &[2, 1]);
        check(&[], &[]);
    }
}
