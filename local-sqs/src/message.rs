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
            (Some(_), Some(_)) => return Err("an attribute has a StringValue or a BinaryValue, not both".to_owned()),
            (None, Some(base64)) => AttributeValue::Binary(BASE64.decode(base64).map_err(|error| error.to_string())?),
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
        let invalid = |message: String| SqsError::new(Code::InvalidParameterValue, message);
        let base_type = self.data_type.split('.').next().unwrap_or_default();
        sqs_rules::check_attribute(name, &self.data_type, value).map_err(|refused| match refused {
            Refused::Character(c) => invalid(not_allowed(c, &format!("message (user) attribute '{name}'"))),
            Refused::NameLength => invalid("Message (user) attribute names must be shorter than 256 Bytes".to_owned()),
            Refused::NameCharacters => invalid(format!(
                "The message attribute name '{name}' is invalid. Attribute name can contain A-Z, a-z, 0-9, underscore \
                 (_), hyphen (-), and period (.) characters."
            )),
            Refused::NameReserved => invalid(
                "You can't use message attribute names beginning with 'AWS.' or 'Amazon.'. These strings are reserved \
                 for internal use. Additionally, they cannot start or end with '.'."
                    .to_owned(),
            ),
            Refused::Empty(_) | Refused::OtherType => invalid(format!(
                "Message (user) attribute '{name}' must contain a non-empty value of type '{base_type}'."
            )),
            Refused::NoNumber => {
                invalid(format!("Can't cast the value of message (user) attribute '{name}' to a number."))
            }
            Refused::DataType if self.data_type.is_empty() => {
                invalid(format!("The message attribute '{name}' must contain non-empty message attribute type."))
            }
            Refused::DataType => invalid(format!(
                "The message attribute '{name}' has an invalid message attribute type, the set of supported type \
                 prefixes is Binary, Number, and String."
            )),
            Refused::DataTypeLength => {
                invalid("Message (user) attribute types must be shorter than 256 Bytes".to_owned())
            }
        })
    }
}

fn not_allowed(c: char, place: &str) -> String {
    format!(
        "Invalid binary character '#x{:X}' was found in the {place}, the set of allowed characters is #x9 | #xA | #xD | \
         #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
        c as u32
    )
}

/// Bytes of a message as SQS counts them: the body, and name, type and value of each attribute.
pub fn size(body: &str, attributes: &Attributes) -> usize {
    body.len() + attributes.iter().map(|(name, attribute)| name.len() + attribute.bytes()).sum::<usize>()
}

/// Checks body and attributes of a message to be sent.
///
/// # Errors
/// SQS's own: `MissingParameter`, `InvalidMessageContents`, `InvalidParameterValue`.
pub fn check(body: &str, attributes: &Attributes, system: &Attributes) -> SqsResult<()> {
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
        check_system(name, attribute)?;
    }
    match sqs_rules::bad_character(body) {
        None => Ok(()),
        Some(c) => Err(SqsError::new(Code::InvalidMessageContents, not_allowed(c, "message body"))),
    }
}

/// Checks a system attribute. Its bytes do not count for the message's size, so that they have a
/// limit of their own.
fn check_system(name: &str, attribute: &Attribute) -> SqsResult<()> {
    let invalid = |message: String| SqsError::new(Code::InvalidParameterValue, message);
    let text = match &attribute.value {
        AttributeValue::Text(text) if name == TRACE_HEADER && attribute.data_type == "String" => text,
        AttributeValue::Text(_) | AttributeValue::Binary(_) => {
            let message = format!("Message system attribute name '{name}' is invalid: only AWSTraceHeader, a String.");
            return Err(invalid(message));
        }
    };
    if !(1..=MAX_TRACE_BYTES).contains(&text.len()) {
        let bytes = text.len();
        let message =
            format!("Message system attribute '{name}' has 1 to {MAX_TRACE_BYTES} bytes. You have sent {bytes}.");
        return Err(invalid(message));
    }
    match sqs_rules::bad_character(text) {
        None => Ok(()),
        Some(c) => Err(invalid(not_allowed(c, &format!("message system attribute '{name}'")))),
    }
}

/// Checks the size of a message to be sent, of a batch or alone.
///
/// # Errors
/// `InvalidParameterValue`, in SQS's words for the one or the other.
pub fn check_size(body: &str, attributes: &Attributes, max_bytes: usize, in_batch: bool) -> SqsResult<()> {
    if size(body, attributes) <= max_bytes {
        return Ok(());
    }
    let verdict = if in_batch { "cannot be validated" } else { "are invalid" };
    let message = format!("One or more parameters {verdict}. Reason: Message must be shorter than {max_bytes} bytes.");
    Err(SqsError::new(Code::InvalidParameterValue, message))
}

/// The one system attribute that a client may send.
pub const TRACE_HEADER: &str = "AWSTraceHeader";
/// Bytes of a trace at most. SQS names no limit; X-Ray's own traces have some hundred.
pub const MAX_TRACE_BYTES: usize = 1_024;

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
    /// The queue that this message was dead-lettered from: its ARN, or its name alone if it has no
    /// region.
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
