//! What travels through the host: deliveries, the messages in them, and the keys that recognise
//! them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use tokio::time::Instant;

/// The attribute that names a message's type.
pub const TYPE_ATTRIBUTE: &str = "type";
/// The attribute in which a producer gives its own idempotency key.
pub const KEY_ATTRIBUTE: &str = "idempotency-key";
/// The attribute that carries the key of a message that the host itself sends: from an outbox, a
/// replay or a schedule.
pub const OWN_KEY_ATTRIBUTE: &str = "wasq-key";
/// How many outboxes in a row have led to a message. The host sets it; a producer's own word on it
/// counts the same.
pub const DEPTH_ATTRIBUTE: &str = "wasq-depth";
/// The body's field in which a producer gives it.
pub const KEY_FIELD: &str = "idempotency_key";

/// One receipt of a message from a queue.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub message_id: MessageId,
    /// What deletes or extends this delivery, and no other.
    pub receipt: Receipt,
    /// The body as it stood in the queue, byte for byte.
    pub body: Bytes,
    /// Message attributes, as the producer set them.
    pub attributes: Attributes,
    /// SQS's `ApproximateReceiveCount`. It grows without runs; attempts are the ledger's.
    pub receive_count: u32,
    /// When its producer sent it: SQS's `SentTimestamp`, as it was before the host parked it.
    pub sent_at: UnixMs,
    /// When it came into the queue, which keeps it from then on: `SentTimestamp` as it is.
    pub enqueued_at: UnixMs,
    /// `MessageGroupId`: an ordered group on a FIFO queue, a fairness group on a standard one.
    pub group: Option<String>,
    /// `MessageDeduplicationId`, on FIFO queues.
    pub deduplication_id: Option<String>,
    /// `AWSTraceHeader`: the producer's span, as X-Ray writes it.
    pub trace_header: Option<String>,
    /// When the receive that brought it was sent: its lease counts from here, on the safe side.
    pub received_at: Instant,
}

/// Message attributes by name, in a stable order.
pub type Attributes = BTreeMap<String, AttributeValue>;

/// A message attribute: SQS's three data types, each with an optional custom label behind a dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeValue {
    /// `String`, `Number` or `Binary`, with its label: `Number.int`.
    pub data_type: String,
    pub value: AttributeData,
}

/// An attribute with its name, as it is kept in the ledger: base64 for bytes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NamedAttribute {
    name: String,
    data_type: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    binary: Option<String>,
}

impl NamedAttribute {
    pub fn of(name: &str, value: &AttributeValue) -> Self {
        let (text, binary) = match &value.value {
            AttributeData::Text(text) => (Some(text.clone()), None),
            AttributeData::Binary(bytes) => (None, Some(BASE64_STANDARD.encode(bytes))),
        };
        Self { name: name.to_owned(), data_type: value.data_type.clone(), text, binary }
    }

    /// # Errors
    /// If its bytes are no base64.
    pub fn read(self) -> Result<(String, AttributeValue), base64::DecodeError> {
        let value = match self.binary {
            Some(binary) => AttributeData::Binary(Bytes::from(BASE64_STANDARD.decode(binary)?)),
            None => AttributeData::Text(self.text.unwrap_or_default()),
        };
        Ok((self.name, AttributeValue { data_type: self.data_type, value }))
    }
}

/// The value beside a data type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeData {
    Text(String),
    Binary(Bytes),
}

impl AttributeValue {
    /// A plain `String` attribute.
    pub fn string(value: impl Into<String>) -> Self {
        Self { data_type: "String".into(), value: AttributeData::Text(value.into()) }
    }

    /// The text of a `String` or `Number`.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            AttributeData::Text(text) => Some(text),
            AttributeData::Binary(_) => None,
        }
    }

    /// Bytes that count against SQS's message size: value and data type. The name counts too.
    pub fn size_bytes(&self) -> usize {
        self.data_type.len()
            + match &self.value {
                AttributeData::Text(text) => text.len(),
                AttributeData::Binary(bytes) => bytes.len(),
            }
    }
}

/// Bytes that SQS counts for a message: its body, and each attribute's name, type and value.
pub fn size_bytes(body: &[u8], attributes: &Attributes) -> usize {
    body.len() + attributes.iter().map(|(name, value)| name.len() + value.size_bytes()).sum::<usize>()
}

/// A message as its handler sees it: unwrapped from its envelope, with its type known.
#[derive(Clone, Debug)]
pub struct Message {
    pub kind: MessageType,
    pub body: Bytes,
    pub content_type: String,
    pub attributes: Attributes,
    /// The key its producer or an earlier host gave it, in the order of the design; the plugin's
    /// template comes first.
    pub key: String,
    pub key_source: KeySource,
    pub traceparent: Option<String>,
}

impl Message {
    /// How many outboxes in a row have led to it: 0 where a producer sent it.
    pub fn depth(&self) -> u32 {
        self.attributes.get(DEPTH_ATTRIBUTE).and_then(AttributeValue::text).map_or(0, |text| {
            // A number that is too large for us is deep enough.
            text.parse().unwrap_or_else(|_| if text.bytes().all(|byte| byte.is_ascii_digit()) { u32::MAX } else { 0 })
        })
    }
}

/// Where a message's key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The attribute `idempotency-key`.
    Attribute,
    /// The body's field `idempotency_key`.
    BodyField,
    /// The attribute `wasq-key`, from an outbox or a replay.
    OwnKey,
    /// The id that the message's envelope gives it.
    Envelope,
    DeduplicationId,
    MessageId,
    /// The manifest's template.
    Template,
}

impl KeySource {
    pub fn name(self) -> &'static str {
        match self {
            Self::Attribute => "the attribute idempotency-key",
            Self::BodyField => "the body's idempotency_key",
            Self::OwnKey => "the attribute wasq-key",
            Self::Envelope => "the envelope's id",
            Self::DeduplicationId => "the deduplication id",
            Self::MessageId => "the message id",
            Self::Template => "the manifest's key template",
        }
    }
}

/// A message's type: what it is routed by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct MessageType(pub String);

/// SQS's id of a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub String);

/// SQS's receipt handle.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receipt(pub String);

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct UnixMs(pub u64);

impl UnixMs {
    /// The time since `then`; none if that is still to come.
    pub fn since(self, then: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(then.0))
    }
}

/// A ledger key: blake3 over the length-prefixed (scope, handler, type, key).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub [u8; 32]);

impl Key {
    /// Each part is preceded by its length, so that `ab|c` and `a|bc` differ.
    pub fn derive(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }

    /// The key of `key` as `handler` sees it.
    pub fn of(scope: &str, handler: &str, kind: &MessageType, key: &str) -> Self {
        Self::derive(&[scope.as_bytes(), handler.as_bytes(), kind.0.as_bytes(), key.as_bytes()])
    }

    /// The key under which work that is done under this one is done once more: the same `run` gives
    /// the same key.
    pub fn again(self, run: &str) -> Self {
        Self::derive(&[b"again", &self.0, run.as_bytes()])
    }

    pub fn to_hex(self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", &self.to_hex()[..16])
    }
}

/// blake3 of a body: the same key with another digest is a conflict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BodyDigest(pub [u8; 32]);

impl BodyDigest {
    pub fn of(body: &[u8]) -> Self {
        Self(*blake3::hash(body).as_bytes())
    }

    pub fn to_hex(self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

macro_rules! display_inner {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_inner!(MessageType, MessageId, UnixMs);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ab_c_and_a_bc_are_different_keys() {
        assert_ne!(Key::derive(&[b"ab", b"c"]), Key::derive(&[b"a", b"bc"]));
        let kind = MessageType("t".into());
        assert_ne!(Key::of("s", "h", &kind, "ab|c"), Key::of("s", "h", &kind, "a|bc"));
        assert_eq!(Key::of("s", "h", &kind, "k"), Key::of("s", "h", &kind, "k"));
    }
}
