//! What one layer of a body can be: an envelope, a shape of a service's own, a batch, a notice. The
//! files of [`super::envelope`] recognise them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use wasq_core::message::AttributeValue;

/// What a service says about itself: it is no work for a handler.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A notification was set up: S3, SES and Auto Scaling say so once.
    Test,
    /// SNS asks whether the queue wants a topic's messages.
    Subscription { topic_arn: String, token: String },
    /// SNS says that the queue does not get a topic's messages any more.
    Unsubscribed { topic_arn: String },
}

/// One layer, recognised.
pub enum Layer {
    Envelope(Inner),
    Shape(Shape),
    /// A batch: each element's body and shape.
    Batch(Vec<(Bytes, Shape)>),
    Notice(Notice, Shape),
}

/// What is in an envelope.
pub struct Inner {
    pub slot: Slot,
    pub body: Bytes,
    pub shape: Shape,
    /// The message attributes that the envelope carries: they join those of the queue's message.
    pub attributes: Vec<(String, AttributeValue)>,
}

/// The field of an envelope in which its message is.
#[derive(Clone, Copy)]
pub struct Slot {
    pub field: &'static str,
    pub encoding: Encoding,
}

#[derive(Clone, Copy)]
pub enum Encoding {
    /// The JSON is there as it is.
    Json,
    /// A JSON string has its text.
    Text,
    /// A JSON string has its bytes.
    Base64,
}

impl Encoding {
    /// As JSON; none where text is wanted, and these bytes are none.
    pub fn write(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Json => std::str::from_utf8(bytes).ok().map(str::to_owned),
            Self::Text => std::str::from_utf8(bytes).ok().map(|text| serde_json::Value::from(text).to_string()),
            Self::Base64 => Some(format!("\"{}\"", BASE64_STANDARD.encode(bytes))),
        }
    }
}

/// What an envelope or a shape says of its message.
#[derive(Default)]
pub struct Shape {
    pub kind: Option<String>,
    pub key: Option<String>,
    pub content_type: Option<String>,
    /// The type if the message has none itself, as the type of whoever waits for a task token.
    pub fallback_kind: Option<String>,
    pub attributes: Vec<(String, String)>,
}

impl Shape {
    pub fn of(kind: impl Into<String>, key: Option<String>) -> Self {
        Self { kind: Some(kind.into()), key, ..Self::default() }
    }

    /// Adds an attribute, if there is a value for it.
    pub fn with(mut self, name: &str, value: Option<String>) -> Self {
        self.attributes.extend(value.map(|value| (name.to_owned(), value)));
        self
    }
}

/// Parts of a key, told apart: each is preceded by its length. None if one of them is.
pub fn joined<const N: usize>(parts: [Option<String>; N]) -> Option<String> {
    let mut key = String::new();
    for part in parts {
        let part = part?;
        key.push_str(&format!("{}:{part}", part.len()));
    }
    Some(key)
}
