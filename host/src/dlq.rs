//! Dead letters: how a message goes to the DLQ, and how one is read and replayed.

pub mod filter;
pub mod fingerprint;
mod hidden_letters;
pub mod letter_view;
pub mod listing;
mod oversized;
pub mod plan;
pub mod reader;
pub mod redrive;
mod redriven;
pub mod replay;
pub mod replayed_message;
pub mod targets;
pub mod watch;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wasq_core::message::{AttributeData, AttributeValue, Attributes, Delivery, Key, MessageId, UnixMs};
use wasq_ledgers::{Ledger, LedgerError};
use wasq_queues::{MESSAGE_MAX_ATTRIBUTES, Outgoing, Queue, QueueError};

pub use oversized::InLedger;
pub use redriven::reopen;

/// The attribute that holds a dead letter's envelope. A message without it has its envelope in the ledger, under its
/// [`content_id`], or was moved by SQS itself and has none.
pub const LETTER_ATTRIBUTE: &str = "wasq";
/// The attribute that carries a message's key through a replay.
pub const OWN_KEY_ATTRIBUTE: &str = "wasq-key";
/// The attribute of a message that is to be done although its key is done: its value is the message id that the letter had
/// in the DLQ. It stays with the message, so that a later letter's replay is the same run.
pub const AGAIN_ATTRIBUTE: &str = "wasq-again";
/// How long the ledger keeps an envelope: SQS's longest retention.
const ENVELOPE_TTL: std::time::Duration = std::time::Duration::from_secs(14 * 24 * 60 * 60);

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

/// Sends a delivery to the DLQ: its body byte for byte, its attributes, and one more with the letter. When SQS's ten
/// attributes or `max_bytes`, the DLQ's `MaximumMessageSize`, leave no room for the letter, the ledger keeps it. When they
/// leave none for the message, the ledger keeps the message, and the letter says where.
pub async fn send(
    dlq: &dyn Queue,
    ledger: &dyn Ledger,
    delivery: &Delivery,
    letter: &Letter,
    max_bytes: usize,
) -> Result<(), LetterError> {
    let attributes = original_attributes(&delivery.attributes);
    let fits = wasq_core::message::size_bytes(&delivery.body, &attributes) <= max_bytes;
    let (body, attributes) = if fits {
        let attributes = with_letter(ledger, &delivery.body, attributes, letter, max_bytes).await?;
        (delivery.body.clone(), attributes)
    } else {
        let kept = InLedger::keep(ledger, &delivery.body, &attributes).await?;
        let stub = Bytes::from(kept.stub(&delivery.message_id.0));
        let letter = Letter { in_ledger: Some(kept), ..letter.clone() };
        let attributes = with_letter(ledger, &stub, Attributes::new(), &letter, max_bytes).await?;
        (stub, attributes)
    };
    let fifo = dlq.name().ends_with(".fifo");
    let outgoing = Outgoing {
        body,
        attributes,
        delay_s: 0,
        // A FIFO queue wants a group, and an id by which a second send within five minutes is the same letter.
        group: delivery.group.clone().or_else(|| fifo.then(|| "wasq".to_owned())),
        deduplication_id: fifo.then(|| {
            let plugin = letter.plugin.as_deref().unwrap_or_default();
            Key::derive(&[letter.message_id.0.as_bytes(), plugin.as_bytes()]).to_hex()
        }),
    };
    for answer in dlq.send(std::slice::from_ref(&outgoing)).await {
        answer?;
    }
    Ok(())
}

/// The attributes with the letter; where there is no room for it, the ledger keeps it.
async fn with_letter(
    ledger: &dyn Ledger,
    body: &[u8],
    attributes: Attributes,
    letter: &Letter,
    max_bytes: usize,
) -> Result<Attributes, LetterError> {
    let json = serde_json::to_string(letter).map_err(|error| LetterError::Envelope(error.to_string()))?;
    // A key or a type out of a JSON body may hold any character; these two JSON leaves as they are, and SQS refuses them.
    let json = json.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff");
    let mut full = attributes.clone();
    full.insert(LETTER_ATTRIBUTE.into(), AttributeValue::string(&json));
    if full.len() <= MESSAGE_MAX_ATTRIBUTES && wasq_core::message::size_bytes(body, &full) <= max_bytes {
        return Ok(full);
    }
    // There may be no room for even a pointer, so the envelope is found by what the message holds.
    ledger.put_envelope(&content_id(body, &attributes), json.as_bytes(), ENVELOPE_TTL).await?;
    Ok(attributes)
}

/// The letter of a message in the DLQ; none if SQS itself moved it there.
///
/// # Errors
/// The letter cannot be read. A stub, which stands for a larger message, always has a letter:
/// [`LetterError::Gone`] if it has none any more.
pub async fn read(delivery: &Delivery, envelopes: &dyn Envelopes) -> Result<Option<Letter>, LetterError> {
    let json = match delivery.attributes.get(LETTER_ATTRIBUTE).and_then(AttributeValue::text) {
        Some(json) => json.to_owned(),
        None => match envelopes.get(&content_id(&delivery.body, &delivery.attributes)).await? {
            Some(json) => json,
            None => match oversized::content_of_stub(&delivery.body) {
                Some(content) => return Err(LetterError::Gone(content)),
                None => return Ok(None),
            },
        },
    };
    serde_json::from_str(&json).map(Some).map_err(|error| LetterError::Envelope(error.to_string()))
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
fn original_attributes(attributes: &Attributes) -> Attributes {
    let mut original = attributes.clone();
    original.remove(LETTER_ATTRIBUTE);
    original
}
