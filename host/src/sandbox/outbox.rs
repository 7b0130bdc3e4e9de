//! Messages that a handler wants sent when it succeeds.

use std::sync::Arc;

use bytes::Bytes;
use wasq_core::message::{AttributeData, AttributeValue, Attributes, DEPTH_ATTRIBUTE, Key, TYPE_ATTRIBUTE, UnixMs};
use wasq_queues::{Broker, MESSAGE_MAX_BYTES, Outgoing, Outlets, QueueRules, is_fifo};

use crate::dlq::OWN_KEY_ATTRIBUTE;
use crate::groups::GroupPart;

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
    /// From when the delay counts; none is from when it is sent.
    pub asked_at: Option<UnixMs>,
    pub group: Option<String>,
    /// Derived from the handled message's key, so that a second attempt's twin is a duplicate at
    /// its consumer.
    pub key: String,
    /// What it is to a group; none for most.
    pub part: Option<Box<GroupPart>>,
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

    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub fn messages(&self) -> &[OutboxMessage] {
        &self.messages
    }

    /// Takes a message, unless all of them then have more than `limit` bytes.
    pub fn push(&mut self, message: OutboxMessage, limit: usize) -> bool {
        let bytes = self.bytes.saturating_add(size_bytes(&message));
        if bytes > limit {
            return false;
        }
        self.bytes = bytes;
        self.messages.push(message);
        true
    }
}

impl OutboxMessage {
    /// When it is to be delivered.
    pub fn due(&self, now: UnixMs) -> UnixMs {
        UnixMs(self.asked_at.unwrap_or(now).0.saturating_add(u64::from(self.delay_s) * 1_000))
    }

    /// The message as its queue gets it, without its delay. `depth` is how many outboxes in a row
    /// have led to it, this one included.
    pub fn outgoing(&self, fifo: bool, depth: u32) -> Outgoing {
        let mut attributes = self.attributes.clone();
        attributes.insert(TYPE_ATTRIBUTE.into(), AttributeValue::string(&self.kind));
        attributes.insert(OWN_KEY_ATTRIBUTE.into(), AttributeValue::string(&self.key));
        attributes.insert(DEPTH_ATTRIBUTE.into(), number(depth.to_string()));
        Outgoing {
            body: self.body.clone(),
            attributes,
            delay_s: 0,
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
        Self {
            own: QueueRules { broker: Broker::Sqs, fifo: false, max_bytes: MESSAGE_MAX_BYTES, claim_check_over: None },
            outlets: None,
        }
    }
}

impl Destinations {
    /// By a name in the config; empty is the message's own. None for a queue that the config does
    /// not have.
    pub fn rules(&self, queue: &str) -> Option<QueueRules> {
        match &self.outlets {
            _ if queue.is_empty() => Some(self.own),
            None => Some(QueueRules {
                broker: Broker::Sqs,
                fifo: is_fifo(queue),
                max_bytes: MESSAGE_MAX_BYTES,
                claim_check_over: None,
            }),
            Some(outlets) => outlets.get(queue).map(|outlet| QueueRules::of(&*outlet.queue, &outlet.max_bytes)),
        }
    }
}

/// What a message in the outbox counts against `outbox_bytes`: all that the guest chose.
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

/// The key of the message that a handler sends as the `index`th: the same in each of its attempts.
pub fn derived_key(parent: Key, queue: &str, kind: &str, index: usize) -> String {
    Key::derive(&[b"outbox", &parent.0, queue.as_bytes(), kind.as_bytes(), &(index as u64).to_le_bytes()]).to_hex()
}

/// A `Number` attribute.
pub fn number(text: String) -> AttributeValue {
    AttributeValue { data_type: "Number".into(), value: AttributeData::Text(text) }
}
