//! A dead letter: what is known of a message that was given up, and where that stands.

use serde::{Deserialize, Serialize};
use wasq_core::message::{AttributeData, Attributes, Key, MessageId, UnixMs};
use wasq_ledgers::{Ledger, LedgerError};
use wasq_queues::QueueError;

pub use wasq_core::message::OWN_KEY_ATTRIBUTE;

/// The attribute that holds a dead letter's envelope. A message without it has its envelope in the
/// ledger, under its [`content_id`], or was moved by SQS itself and has none.
pub const LETTER_ATTRIBUTE: &str = "wasq";
/// The attribute of a message that is to be done although its key is done: its value is the message
/// id that the letter had in the DLQ. It stays with the message, so that a later letter's replay is
/// the same run.
pub const AGAIN_ATTRIBUTE: &str = "wasq-again";
/// How long the ledger keeps an envelope: SQS's longest retention.
pub const ENVELOPE_TTL: std::time::Duration = std::time::Duration::from_secs(14 * 24 * 60 * 60);

/// Why and whence a message was dead-lettered. Its JSON is the attribute `wasq`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Letter {
    /// The source queue's name.
    pub queue: String,
    pub message_id: MessageId,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plugin: Option<String>,
    /// blake3 of the component that ran, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<String>,
    pub class: String,
    pub reason: String,
    pub attempts: u32,
    pub receive_count: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_failed_at: Option<UnixMs>,
    pub last_failed_at: UnixMs,
    /// What a replay carries as `wasq-key`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub traceparent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<String>,
    /// How often a dead letter of its key had come back before.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub replays: u32,
    /// Where the message is, if it is larger than its DLQ takes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub in_ledger: Option<InLedger>,
}

/// Where in the ledger a message is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InLedger {
    /// What the message holds, as [`content_id`] names it.
    pub content: String,
    pub parts: u32,
    /// Bytes of its body.
    pub body_bytes: usize,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Why a letter was not sent or not read.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    #[error("cannot send to the DLQ: {0}")]
    Queue(#[from] QueueError),
    #[error("cannot keep the letter's envelope: {0}")]
    Ledger(#[from] LedgerError),
    #[error("the attribute `wasq` is no envelope: {0}")]
    Envelope(String),
    #[error("its envelope may be in the ledger, and no host can be asked: {0}")]
    NoHost(String),
    #[error("the message was larger than its DLQ takes, and the ledger no longer keeps it (content {0})")]
    Gone(String),
}

impl LetterError {
    /// Whether the same may go well when it is tried again soon.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Queue(QueueError::Transient { .. }) | Self::Ledger(LedgerError::Unavailable(_)) => true,
            Self::Queue(QueueError::Permanent { .. } | QueueError::LeaseLost { .. })
            | Self::Ledger(LedgerError::Stale | LedgerError::Damaged(_) | LedgerError::TooLarge(_))
            | Self::Envelope(_)
            | Self::NoHost(_)
            | Self::Gone(_) => false,
        }
    }
}

/// Where an envelope is looked up that did not fit into its message.
#[async_trait::async_trait]
pub trait Envelopes: Send + Sync {
    async fn get(&self, id: &str) -> Result<Option<String>, LetterError>;
}

#[async_trait::async_trait]
impl Envelopes for std::sync::Arc<dyn Ledger> {
    async fn get(&self, id: &str) -> Result<Option<String>, LetterError> {
        let json = self.get_envelope(id).await?;
        json.map(|json| String::from_utf8(json).map_err(|error| LetterError::Envelope(error.to_string()))).transpose()
    }
}

/// Names a message by what it holds: blake3 of its body and attributes, in hexadecimal.
pub fn content_id(body: &[u8], attributes: &Attributes) -> String {
    let mut parts: Vec<&[u8]> = vec![body];
    for (name, value) in attributes {
        parts.extend([name.as_bytes(), value.data_type.as_bytes()]);
        parts.push(match &value.value {
            AttributeData::Text(text) => text.as_bytes(),
            AttributeData::Binary(bytes) => bytes,
        });
    }
    Key::derive(&parts).to_hex()
}

/// A message's attributes without what dead-lettering added.
pub fn original_attributes(attributes: &Attributes) -> Attributes {
    let mut original = attributes.clone();
    original.remove(LETTER_ATTRIBUTE);
    original
}
