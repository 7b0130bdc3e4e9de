//! What a producer sent.

use serde::de::DeserializeOwned;

use crate::Failure;
use crate::decode;

/// A message, unwrapped from its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) body: Vec<u8>,
    pub(crate) content_type: String,
    pub(crate) attributes: Vec<Attribute>,
}

/// A name and a value beside the body. SQS allows ten on a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// The name, as the producer wrote it.
    pub name: String,
    /// Its value.
    pub value: AttributeValue,
}

/// The value of an attribute, by SQS's data types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// SQS's `String`.
    Text(String),
    /// SQS's `Number`: its digits, since SQS keeps more of them than an `f64` does.
    Number(String),
    /// SQS's `Binary`.
    Binary(Vec<u8>),
}

impl Message {
    /// The message id of this delivery. It changes when SQS moves a message: recognise a message by
    /// [`Context::idempotency_key`](crate::Context::idempotency_key).
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The message's type, by which it was routed here.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The body's bytes.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body, read as JSON.
    ///
    /// # Errors
    ///
    /// A [`Failure::Reject`] that names the field by its path and says what is wrong with it, never
    /// what it held.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        decode::json(&self.body).map_err(|fault| Failure::reject(format!("body: {fault}")))
    }

    /// The body's media type: the attribute `content-type`, or `application/json`.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// All attributes, in the order in which SQS gave them.
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// The attribute of this very name.
    pub fn attribute(&self, name: &str) -> Option<&AttributeValue> {
        self.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| &attribute.value)
    }
}

impl AttributeValue {
    /// The text, or the digits of a number; `None` of a binary value.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text),
            Self::Binary(_) => None,
        }
    }
}

impl From<&str> for AttributeValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for AttributeValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for AttributeValue {
    fn from(number: i64) -> Self {
        Self::Number(number.to_string())
    }
}

impl From<Vec<u8>> for AttributeValue {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes)
    }
}
