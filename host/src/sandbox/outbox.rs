//! Messages that a handler wants sent when it succeeds.

use std::sync::Arc;

use bytes::Bytes;
use wasq_core::message::{AttributeData, AttributeValue, Attributes, DEPTH_ATTRIBUTE, Key, TYPE_ATTRIBUTE};
use wasq_queues::{MESSAGE_MAX_BYTES, Outgoing, Outlets, QueueRules};

use super::bindings::wasq::worker::outbox::{Error, Host, Options};
use super::bindings::wasq::worker::types::AttributeValue as GuestValue;
use super::grants::OWN_QUEUE;
use super::state::State;
use crate::dlq::OWN_KEY_ATTRIBUTE;

/// The group of a message to a FIFO queue whose handler names none.
const GROUP: &str = "wasq";

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

impl OutboxMessage {
    /// The message as its queue gets it. `depth` is how many outboxes in a row have led to it, this
    /// one included.
    pub fn outgoing(&self, fifo: bool, depth: u32) -> Outgoing {
        let mut attributes = self.attributes.clone();
        attributes.insert(TYPE_ATTRIBUTE.into(), AttributeValue::string(&self.kind));
        attributes.insert(OWN_KEY_ATTRIBUTE.into(), AttributeValue::string(&self.key));
        attributes.insert(DEPTH_ATTRIBUTE.into(), number(depth.to_string()));
        Outgoing {
            body: self.body.clone(),
            attributes,
            delay_s: self.delay_s,
            group: self.group.clone().or_else(|| fifo.then(|| GROUP.to_owned())),
            deduplication_id: fifo.then(|| self.key.clone()),
        }
    }
}

/// The queues that a run's outbox may name, and what they take.
#[derive(Clone)]
pub struct Destinations {
    /// The queue that the message came from.
    pub own: QueueRules,
    /// None where nothing is sent: then any other queue is taken as one that follows the rules for
    /// all.
    pub outlets: Option<Arc<Outlets>>,
}

impl Default for Destinations {
    fn default() -> Self {
        Self { own: QueueRules { fifo: false, max_bytes: MESSAGE_MAX_BYTES }, outlets: None }
    }
}

impl Destinations {
    /// By a name in the config; empty is the message's own. None for a queue that the config does
    /// not have.
    fn rules(&self, queue: &str) -> Option<QueueRules> {
        match &self.outlets {
            _ if queue.is_empty() => Some(self.own),
            None => Some(QueueRules { fifo: queue.ends_with(".fifo"), max_bytes: MESSAGE_MAX_BYTES }),
            Some(outlets) => outlets.get(queue).map(|outlet| QueueRules::of(&*outlet.queue, &outlet.max_bytes)),
        }
    }
}

impl Host for State {
    fn send(&mut self, queue: String, kind: String, body: Vec<u8>, options: Option<Options>) -> Result<(), Error> {
        // Recorded under one name, so that the key of what is sent is the same under both.
        let queue = if queue == OWN_QUEUE { String::new() } else { queue };
        if !self.policy.grants.may_send_to(&queue) {
            let asked = if queue.is_empty() { OWN_QUEUE } else { &queue };
            return Err(Error::Denied(format!("this handler was not granted the queue `{asked}`")));
        }
        let Some(rules) = self.destinations.rules(&queue) else {
            return Err(Error::Denied(format!(
                "the queue `{queue}` is not in the config; add [queues.{queue}], or [outlets.{queue}] if it is only sent to"
            )));
        };
        let index = self.outbox.messages.len();
        if index >= self.limits.outbox_messages {
            let limit = self.limits.outbox_messages;
            return Err(Error::Limit(format!("at most {limit} messages a run (limits.outbox_messages)")));
        }
        let mut message = OutboxMessage {
            key: derived_key(self.key, &queue, &kind, index),
            queue,
            kind,
            body: body.into(),
            attributes: Attributes::new(),
            delay_s: 0,
            group: None,
        };
        if let Some(options) = options {
            message.delay_s = options.delay_s;
            message.group = options.group;
            message.attributes = options.attributes.into_iter().map(|a| (a.name, attribute(a.value))).collect();
        }
        // What the queue would refuse for good must not be recorded: it would stand in the way of
        // every later attempt.
        let outgoing = message.outgoing(rules.fifo, self.depth.saturating_add(1));
        if let Some(reason) = rules.refusal(&outgoing) {
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

fn derived_key(parent: Key, queue: &str, kind: &str, index: usize) -> String {
    Key::derive(&[b"outbox", &parent.0, queue.as_bytes(), kind.as_bytes(), &(index as u64).to_le_bytes()]).to_hex()
}

fn attribute(value: GuestValue) -> AttributeValue {
    match value {
        GuestValue::Text(text) => AttributeValue::string(text),
        GuestValue::Number(text) => number(text),
        GuestValue::Binary(bytes) => {
            AttributeValue { data_type: "Binary".into(), value: AttributeData::Binary(bytes.into()) }
        }
    }
}

fn number(text: String) -> AttributeValue {
    AttributeValue { data_type: "Number".into(), value: AttributeData::Text(text) }
}
