//! Messages that a handler wants sent when it succeeds.

use bytes::Bytes;

use super::bindings::wasq::worker::outbox::{Error, Host, Options};
use super::bindings::wasq::worker::types::AttributeValue as GuestValue;
use super::state::State;
use crate::message::{AttributeData, AttributeValue, Attributes, Key};
use crate::queue::{DELAY_MAX_S, size_limit_error};

/// One message to send.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxMessage {
    /// A name in the operator's config; empty for the queue that the handled message came from.
    pub queue: String,
    pub kind: String,
    pub body: Bytes,
    pub attributes: Attributes,
    pub delay_s: u32,
    pub group: Option<String>,
    /// Derived from the handled message's key, so that a second attempt's twin is a duplicate at its consumer.
    pub key: String,
}

/// What was sent so far in this run.
#[derive(Default)]
pub struct Outbox {
    messages: Vec<OutboxMessage>,
    bytes: usize,
}

impl Outbox {
    pub fn into_messages(self) -> Vec<OutboxMessage> {
        self.messages
    }
}

/// Attributes that the host itself adds to a message from an outbox: `type` and `wasq-key`.
const OWN_ATTRIBUTES: usize = 2;

impl Host for State {
    fn send(&mut self, queue: String, kind: String, body: Vec<u8>, options: Option<Options>) -> Result<(), Error> {
        if !self.policy.grants.may_send_to(&queue) {
            let asked = if queue.is_empty() { "self" } else { &queue };
            return Err(Error::Denied(format!("this handler was not granted the queue `{asked}`")));
        }
        let place = self.outbox.messages.len();
        if place >= self.limits.outbox_messages {
            let limit = self.limits.outbox_messages;
            return Err(Error::Limit(format!("at most {limit} messages a run (limits.outbox_messages)")));
        }
        let mut message = OutboxMessage {
            key: derived_key(self.key, &queue, &kind, place),
            queue,
            kind,
            body: body.into(),
            attributes: Attributes::new(),
            delay_s: 0,
            group: None,
        };
        if let Some(options) = options {
            if options.delay_s > DELAY_MAX_S {
                return Err(Error::Limit(format!("a delay has at most {DELAY_MAX_S} s")));
            }
            message.delay_s = options.delay_s;
            message.group = options.group;
            message.attributes = options.attributes.into_iter().map(|a| (a.name, attribute(a.value))).collect();
        }
        if let Some(reason) = size_limit_error(&message.body, &message.attributes, OWN_ATTRIBUTES) {
            return Err(Error::Limit(reason));
        }
        let bytes = self.outbox.bytes.saturating_add(size_bytes(&message));
        if bytes > self.limits.outbox_bytes {
            let limit = self.limits.outbox_bytes;
            return Err(Error::Limit(format!(
                "all messages of a run have at most {limit} bytes (limits.outbox_bytes)"
            )));
        }
        self.outbox.bytes = bytes;
        self.outbox.messages.push(message);
        Ok(())
    }
}

/// What a message in the outbox weighs against `outbox_bytes`: all that the guest chose.
fn size_bytes(message: &OutboxMessage) -> usize {
    let attributes = message.attributes.iter().map(|(name, value)| {
        let data = match &value.value {
            AttributeData::Text(text) => text.len(),
            AttributeData::Binary(bytes) => bytes.len(),
        };
        name.len() + data
    });
    let group = message.group.as_ref().map_or(0, String::len);
    message.queue.len() + message.kind.len() + message.body.len() + group + attributes.sum::<usize>()
}

fn derived_key(parent: Key, queue: &str, kind: &str, place: usize) -> String {
    Key::derive(&[b"outbox", &parent.0, queue.as_bytes(), kind.as_bytes(), &(place as u64).to_le_bytes()]).to_hex()
}

fn attribute(value: GuestValue) -> AttributeValue {
    let (data_type, value) = match value {
        GuestValue::Text(text) => ("String", AttributeData::Text(text)),
        GuestValue::Number(text) => ("Number", AttributeData::Text(text)),
        GuestValue::Binary(bytes) => ("Binary", AttributeData::Binary(bytes.into())),
    };
    AttributeValue { data_type: data_type.into(), value }
}
