//! What a queue takes: each broker's rules for a message, known before it is sent.

use wasq_core::message::{AttributeData, Attributes, size_bytes};
use wasq_sqs_rules::{self as sqs_rules, MAX_ATTRIBUTES as MESSAGE_MAX_ATTRIBUTES, MAX_DELAY_S, Value};

use crate::attributes::MaximumMessageSize;
use crate::broker::Broker;
use crate::queue::{Outgoing, Queue};

/// What decides whether a queue takes a message, beside the rules for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueRules {
    pub broker: Broker,
    pub fifo: bool,
    pub max_bytes: usize,
    /// Over how many bytes a body goes by S3, and its message is small.
    pub claim_check_over: Option<usize>,
}

impl QueueRules {
    pub fn of(queue: &dyn Queue, max_bytes: &MaximumMessageSize) -> Self {
        let broker_takes = Self::of_broker(queue);
        Self { max_bytes: max_bytes.get().unwrap_or(broker_takes.max_bytes), ..broker_takes }
    }

    /// For a queue whose own largest message is not known: what its broker takes at most.
    pub fn of_broker(queue: &dyn Queue) -> Self {
        let broker = queue.broker();
        Self {
            broker,
            fifo: queue.is_fifo(),
            max_bytes: broker.message_max_bytes(),
            claim_check_over: queue.claim_check_over(),
        }
    }

    /// Why the queue would refuse a message for good, in words for whoever wants it sent.
    pub fn refusal(&self, message: &Outgoing) -> Option<String> {
        match self.broker {
            Broker::Sqs => self.refusal_of_sqs(message),
            Broker::RabbitMq => self.refusal_of_rabbitmq(message),
            Broker::Redis => self.refusal_of_redis(message),
            Broker::Kafka => self.refusal_of_kafka(message),
        }
    }

    /// Why the queue has no room for a message of this body and these attributes, with `more`
    /// attributes still to be added.
    pub fn size_refusal(&self, body: &[u8], attributes: &Attributes, more: usize) -> Option<String> {
        match self.broker {
            Broker::Sqs => {
                let bytes = size_bytes(body, attributes);
                if bytes > self.max_bytes {
                    let most = self.max_bytes;
                    return Some(format!("the message has {bytes} bytes with its attributes; the queue takes {most}"));
                }
                let all = attributes.len() + more;
                (all > MESSAGE_MAX_ATTRIBUTES).then(|| {
                    format!("the message has {all} attributes with the host's own; SQS takes {MESSAGE_MAX_ATTRIBUTES}")
                })
            }
            Broker::RabbitMq => {
                let (bytes, headers) = (body.len(), size_bytes(&[], attributes));
                if headers > RABBITMQ_HEADERS_MAX_BYTES {
                    return Some(format!(
                        "the attributes have {headers} bytes; RabbitMQ takes {RABBITMQ_HEADERS_MAX_BYTES}: put more into the body"
                    ));
                }
                (bytes > self.max_bytes)
                    .then(|| format!("the body has {bytes} bytes; the queue takes {}", self.max_bytes))
            }
            Broker::Redis => {
                let (bytes, most) = (size_bytes(body, attributes), self.max_bytes);
                (bytes > most)
                    .then(|| format!("the message has {bytes} bytes with its attributes; the queue takes {most}"))
            }
            // Kafka counts all that a message has, and bounds no part of it.
            Broker::Kafka => {
                let bytes = size_bytes(body, attributes) + (attributes.len() + more) * KAFKA_HEADER_MAX_BYTES;
                (bytes > self.max_bytes).then(|| {
                    let most = self.max_bytes;
                    format!("the message has up to {bytes} bytes with its attributes; the topic takes {most}")
                })
            }
        }
    }

    /// Whether it takes a text as an attribute's value.
    pub fn takes_text(&self, text: &str) -> bool {
        match self.broker {
            Broker::Sqs => text.chars().all(sqs_rules::takes_char),
            Broker::RabbitMq | Broker::Redis | Broker::Kafka => true,
        }
    }

    /// The body and the attributes as far as they are in the message, where a large body goes by S3.
    fn size_refusal_of(&self, message: &Outgoing) -> Option<String> {
        let Outgoing { body, attributes, .. } = message;
        match self.claim_check_over.is_some_and(|over| size_bytes(body, attributes) > over) {
            true => self.size_refusal(&[0; POINTER_MAX_BYTES], attributes, 1),
            false => self.size_refusal(body, attributes, 0),
        }
    }

    /// RabbitMQ takes any body and any number of headers.
    fn refusal_of_rabbitmq(&self, message: &Outgoing) -> Option<String> {
        for name in message.attributes.keys() {
            if let Some(refused) = refused_header(name) {
                return Some(format!("the attribute {name:?}: {refused}"));
            }
        }
        if let Some(refused) = self.size_refusal_of(message) {
            return Some(refused);
        }
        (message.delay_s > 0).then(|| "RabbitMQ has no delay of its own".into())
    }

    /// An entry of a stream takes any body, and any attributes.
    fn refusal_of_redis(&self, message: &Outgoing) -> Option<String> {
        self.size_refusal_of(message)
            .or_else(|| (message.delay_s > 0).then(|| "a stream of Redis has no delay of its own".into()))
    }

    /// Kafka takes any body and any number of headers.
    fn refusal_of_kafka(&self, message: &Outgoing) -> Option<String> {
        if let Some(name) = message.attributes.keys().find(|name| name.contains('\0')) {
            return Some(format!("the attribute {name:?}: its name has a NUL, which ends a header's name"));
        }
        if let Some(refused) = self.size_refusal_of(message) {
            return Some(refused);
        }
        (message.delay_s > 0).then(|| "Kafka has no delay of its own".into())
    }

    fn refusal_of_sqs(&self, message: &Outgoing) -> Option<String> {
        let Ok(body) = std::str::from_utf8(&message.body) else {
            return Some("the body is not UTF-8, which SQS requires".into());
        };
        if body.is_empty() {
            return Some("the body is empty, and SQS takes no empty one".into());
        }
        if let Err(refused) = sqs_rules::check_characters(body) {
            return Some(format!("in the body {refused}"));
        }
        for (name, attribute) in &message.attributes {
            let value = match &attribute.value {
                AttributeData::Text(text) => Value::Text(text),
                AttributeData::Binary(bytes) => Value::Binary(bytes),
            };
            if let Err(refused) = sqs_rules::check_attribute(name, &attribute.data_type, value) {
                return Some(format!("the attribute {name:?}: {refused}"));
            }
        }
        if let Some(refused) = self.size_refusal_of(message) {
            return Some(refused);
        }
        if message.delay_s > MAX_DELAY_S {
            return Some(format!("a delay has at most {MAX_DELAY_S} s"));
        }
        if self.fifo && message.delay_s > 0 {
            return Some("the queue is FIFO, where a message has no delay of its own".into());
        }
        match &message.group {
            Some(group) if !sqs_rules::is_id(group) => {
                Some(format!("the group {group:?}: one has 1 to 128 letters, digits and punctuation, in ASCII"))
            }
            Some(_) | None => None,
        }
    }
}

/// The headers of a message are in one frame, which RabbitMQ limits to 128 KiB as it comes
/// (`frame_max`). What stands between and beside them takes a part of it.
pub const RABBITMQ_HEADERS_MAX_BYTES: usize = 96 * 1024;
/// The longest name of a header: AMQP's short string.
const HEADER_NAME_MAX_BYTES: usize = 255;

/// Why RabbitMQ would not take a header of this name as a message's own.
pub fn refused_header(name: &str) -> Option<&'static str> {
    match name {
        // A handler may send to the queues that it was granted, and to no other.
        "CC" | "BCC" => Some("RabbitMQ would send the message to other queues, too"),
        _ if name.len() > HEADER_NAME_MAX_BYTES => Some("its name has more than 255 bytes"),
        _ => None,
    }
}

/// The attribute that is a record's key in Kafka: it decides the partition, and the order.
pub const KAFKA_KEY: &str = "kafka-key";
/// The attribute of a message without a value, which deletes its key from a compacted topic.
pub const KAFKA_TOMBSTONE: &str = "kafka-tombstone";
/// What a header takes in a record beside its name and value, at most, and its data type in the
/// header that has all of them.
const KAFKA_HEADER_MAX_BYTES: usize = 24;

/// What a pointer to a body in S3 takes with its attribute, at most.
const POINTER_MAX_BYTES: usize = 512;

#[cfg(test)]
mod tests;
