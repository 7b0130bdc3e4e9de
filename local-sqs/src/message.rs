//! A message's content: what a client may send, how it is measured, and how it lies in the log.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use wasq_sqs_rules::{self as sqs_rules, Refused, Value};

pub use wasq_sqs_rules::{MAX_ATTRIBUTES, MAX_MESSAGE_BYTES};

use super::error::{Code, SqsError, SqsResult};

/// Attributes by name.
pub type Attributes = BTreeMap<String, Attribute>;

/// One message attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WireAttribute", into = "WireAttribute")]
pub struct Attribute {
    /// `String`, `Number` or `Binary`, with an optional label after a dot.
    pub data_type: String,
    /// The value, as its data type wants it.
    pub value: AttributeValue,
}

/// The value of a message attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// Of `String` and `Number`.
    Text(String),
    /// Of `Binary`.
    Binary(Vec<u8>),
}

/// An attribute as the protocol writes it; what is contradictory in it fails to convert.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireAttribute {
    #[serde(default)]
    data_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    string_value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    binary_value: Option<String>,
}

impl TryFrom<WireAttribute> for Attribute {
    type Error = String;

    fn try_from(wire: WireAttribute) -> Result<Self, String> {
        let value = match (wire.string_value, wire.binary_value) {
            (_, Some(base64)) => AttributeValue::Binary(BASE64.decode(base64).map_err(|error| error.to_string())?),
            (text, None) => AttributeValue::Text(text.unwrap_or_default()),
        };
        Ok(Self { data_type: wire.data_type, value })
    }
}

impl From<Attribute> for WireAttribute {
    fn from(attribute: Attribute) -> Self {
        let (string_value, binary_value) = match attribute.value {
            AttributeValue::Text(text) => (Some(text), None),
            AttributeValue::Binary(bytes) => (None, Some(BASE64.encode(bytes))),
        };
        Self { data_type: attribute.data_type, string_value, binary_value }
    }
}

impl Attribute {
    fn bytes(&self) -> usize {
        let value = match &self.value {
            AttributeValue::Text(text) => text.len(),
            AttributeValue::Binary(bytes) => bytes.len(),
        };
        self.data_type.len() + value
    }

    fn check(&self, name: &str) -> SqsResult<()> {
        let value = match &self.value {
            AttributeValue::Text(text) => Value::Text(text),
            AttributeValue::Binary(bytes) => Value::Binary(bytes),
        };
        sqs_rules::check_attribute(name, &self.data_type, value).map_err(|refused| match refused {
            Refused::Character(c) => bad_character(c),
            Refused::AttributeName | Refused::Empty(_) | Refused::NoNumber | Refused::OtherType | Refused::DataType => {
                let message = format!("The message attribute '{name}' is invalid. Reason: {refused}");
                SqsError::new(Code::InvalidParameterValue, message)
            }
        })
    }
}

fn bad_character(c: char) -> SqsError {
    let message = format!(
        "Invalid binary character '#x{:X}' was found in the message body, the set of allowed characters is \
         #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
        c as u32
    );
    SqsError::new(Code::InvalidMessageContents, message)
}

/// Bytes of a message as SQS counts them: the body, and name, type and value of each attribute.
pub fn size(body: &str, attributes: &Attributes) -> usize {
    body.len() + attributes.iter().map(|(name, attribute)| name.len() + attribute.bytes()).sum::<usize>()
}

/// Checks body, attributes and size of a message to be sent.
///
/// # Errors
/// SQS's own: `MissingParameter`, `InvalidMessageContents`, `InvalidParameterValue`.
pub fn check(body: &str, attributes: &Attributes, system: &Attributes, max_bytes: usize) -> SqsResult<()> {
    if body.is_empty() {
        return Err(SqsError::missing("MessageBody"));
    }
    if attributes.len() > MAX_ATTRIBUTES {
        let message = format!("Number of message attributes [{}] exceeds the allowed maximum [10].", attributes.len());
        return Err(SqsError::new(Code::InvalidParameterValue, message));
    }
    for (name, attribute) in attributes {
        attribute.check(name)?;
    }
    for (name, attribute) in system {
        if name != TRACE_HEADER || !matches!(attribute.value, AttributeValue::Text(_)) {
            let message = format!("Message system attribute name '{name}' is invalid: only AWSTraceHeader, a String.");
            return Err(SqsError::new(Code::InvalidParameterValue, message));
        }
    }
    if size(body, attributes) > max_bytes {
        let message =
            format!("One or more parameters are invalid. Reason: Message must be shorter than {max_bytes} bytes.");
        return Err(SqsError::new(Code::InvalidParameterValue, message));
    }
    match body.chars().find(|c| !sqs_rules::takes_char(*c)) {
        None => Ok(()),
        Some(c) => Err(bad_character(c)),
    }
}

/// The one system attribute that a client may send.
pub const TRACE_HEADER: &str = "AWSTraceHeader";

/// What of a message stays on disk until somebody receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub head: Head,
    pub body: String,
}

/// The content without the body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The body's checksum.
    pub md5: String,
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes,
    /// The X-Ray trace that the message belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedup_id: Option<String>,
    /// The name of the queue that this message was dead-lettered from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter_source: Option<String>,
}

impl Content {
    /// The bytes in the log: the head's length, the head as JSON, the body.
    pub fn encode(&self) -> Vec<u8> {
        let head = serde_json::to_vec(&self.head).expect("a head of strings is valid JSON");
        let mut bytes = Vec::with_capacity(4 + head.len() + self.body.len());
        bytes.extend_from_slice(&(head.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(self.body.as_bytes());
        bytes
    }

    /// Reads what `encode` wrote; nothing if it is something else.
    pub fn decode(bytes: Vec<u8>) -> Option<Self> {
        let head_end = 4 + u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let head = serde_json::from_slice(bytes.get(4..head_end)?).ok()?;
        let body = std::str::from_utf8(&bytes[head_end..]).ok()?.to_owned();
        Some(Self { head, body })
    }
}

#[cfg(test)]
mod tests;
