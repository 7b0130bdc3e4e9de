//! Between a message of AMQP and the host's: what stands in its properties and its headers.

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use tokio::time::Instant;
use wasq_core::message::{
    AttributeData, AttributeValue, Attributes, Delivery, MessageId, Receipt, TYPE_ATTRIBUTE, UnixMs,
};

use super::headers;
use super::nameless::Digest;
use crate::data_types::{DATA_TYPES, DataTypes};
use crate::queue::{Outgoing, QueueError};
use crate::rules::refused_header;

/// The attributes that are properties in AMQP.
const CONTENT_TYPE: &str = "content-type";
const CONTENT_ENCODING: &str = "content-encoding";
const CORRELATION_ID: &str = "correlation-id";
/// The headers that carry what AMQP has no property for.
const GROUP: &str = "wasq-group";
const DEDUPLICATION_ID: &str = "wasq-deduplication-id";
/// How often a quorum queue has delivered the message before.
const DELIVERY_COUNT: &str = "x-delivery-count";
/// The queues that a message was sent to beside this one. A message that the host sends again has no
/// business there.
const COPIES: &str = "CC";
/// RabbitMQ's own record of how a message came to be a dead letter. On a message that the host sends
/// it would tell of another one, and RabbitMQ drops what seems to go round.
const DEATHS: &str = "x-death";
/// A message that is kept when its server starts again.
const PERSISTENT: u8 = 2;
/// The properties take a part of the frame that they share with the headers: seven short strings at
/// most, and numbers.
const PROPERTIES_MAX_BYTES: usize = 2 * 1024;

/// What was received, before it has a message id for sure.
pub struct Received {
    body: Bytes,
    attributes: Attributes,
    message_id: Option<MessageId>,
    receive_count: u32,
    sent_at: Option<UnixMs>,
    group: Option<String>,
    deduplication_id: Option<String>,
    pub redelivered: bool,
}

impl Received {
    pub fn read(data: Vec<u8>, properties: &BasicProperties, redelivered: bool) -> Self {
        let mut attributes = Attributes::new();
        let (mut group, mut deduplication_id, mut delivered_before) = (None, None, None);
        let mut data_types = DataTypes::default();
        for (name, value) in properties.headers().iter().flatten() {
            match name.as_str() {
                GROUP => group = text(value),
                DEDUPLICATION_ID => deduplication_id = text(value),
                DELIVERY_COUNT => delivered_before = whole(value),
                DATA_TYPES => data_types = DataTypes::read(text(value).unwrap_or_default().as_bytes()),
                COPIES => {}
                name => drop(attributes.insert(name.to_owned(), headers::attribute(value.clone()))),
            }
        }
        data_types.restore(&mut attributes);
        for (name, value) in [
            (CONTENT_TYPE, properties.content_type()),
            (CONTENT_ENCODING, properties.content_encoding()),
            (CORRELATION_ID, properties.correlation_id()),
            (TYPE_ATTRIBUTE, properties.kind()),
        ] {
            if let Some(value) = value {
                attributes.entry(name.to_owned()).or_insert_with(|| AttributeValue::string(value.to_string()));
            }
        }
        // A classic queue says only whether it is the first time.
        let at_least = if redelivered { 2 } else { 1 };
        let counted = delivered_before.map_or(0, |before| u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1));
        let message_id = properties.message_id().as_ref().map(ShortString::to_string).filter(|id| !id.is_empty());
        Self {
            body: Bytes::from(data),
            attributes,
            message_id: message_id.map(MessageId),
            receive_count: counted.max(at_least),
            sent_at: properties.timestamp().map(|seconds| UnixMs(seconds.saturating_mul(1_000))),
            group,
            deduplication_id,
            redelivered,
        }
    }

    /// Its digest, where it has no id.
    pub fn nameless(&self) -> Option<Digest> {
        if self.message_id.is_some() {
            return None;
        }
        let sent_at = self.sent_at.map(|sent_at| sent_at.0);
        Some(Digest::of(&self.body, &self.attributes, sent_at))
    }

    /// As the host has it. `id` is what a message is called that has no id.
    pub fn delivery(self, receipt: Receipt, id: Option<MessageId>, received_at: Instant, now: UnixMs) -> Delivery {
        let sent_at = self.sent_at.unwrap_or(now);
        Delivery {
            message_id: self.message_id.or(id).expect("a message without an id was given one"),
            receipt,
            body: self.body,
            attributes: self.attributes,
            receive_count: self.receive_count,
            sent_at,
            enqueued_at: sent_at,
            group: self.group,
            deduplication_id: self.deduplication_id,
            trace_header: None,
            received_at,
        }
    }
}

fn text(value: &AMQPValue) -> Option<String> {
    headers::attribute(value.clone()).text().map(str::to_owned)
}

fn whole(value: &AMQPValue) -> Option<u64> {
    headers::attribute(value.clone()).text()?.parse().ok()
}

/// A message that is to be published, with the id that it has.
#[derive(Debug)]
pub struct Publication {
    pub body: Bytes,
    pub id: MessageId,
    pub properties: BasicProperties,
    /// What its properties and headers take in their frame, at most.
    pub header_bytes: usize,
}

impl Publication {
    /// # Errors
    /// What RabbitMQ has no place for.
    pub fn of(message: &Outgoing, now: UnixMs) -> Result<Self, QueueError> {
        if message.delay_s > 0 {
            let message = "RabbitMQ has no delay of its own: the host keeps such a message until it is due".to_owned();
            return Err(QueueError::Permanent { code: "Delay".into(), message });
        }
        let id = MessageId(uuid::Uuid::new_v4().to_string());
        let mut properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_message_id(id.0.as_str().into())
            .with_timestamp(now.0 / 1_000);
        let (mut table, mut data_types) = (FieldTable::default(), DataTypes::default());
        for (name, attribute) in &message.attributes {
            let refused = |why: &str| QueueError::Permanent {
                code: "InvalidAttribute".into(),
                message: format!("the attribute {name:?}: {why}"),
            };
            if name == DEATHS || name == DELIVERY_COUNT {
                continue;
            }
            if let Some(why) = refused_header(name) {
                return Err(refused(why));
            }
            let property = short(attribute);
            match (name.as_str(), property) {
                (CONTENT_TYPE, Some(value)) => properties = properties.with_content_type(value),
                (CONTENT_ENCODING, Some(value)) => properties = properties.with_content_encoding(value),
                (CORRELATION_ID, Some(value)) => properties = properties.with_correlation_id(value),
                (name, property) => {
                    // Consumers look for a type in either place.
                    if let (TYPE_ATTRIBUTE, Some(value)) = (name, property) {
                        properties = properties.with_type(value);
                    }
                    let header = headers::header(attribute);
                    data_types.keep(name, attribute, &headers::attribute(header.clone()));
                    let name = ShortString::try_new(name).map_err(|error| refused(&error.to_string()))?;
                    table.insert(name, header);
                }
            }
        }
        for (name, value) in [(GROUP, &message.group), (DEDUPLICATION_ID, &message.deduplication_id)] {
            if let Some(value) = value {
                table.insert(name.into(), AMQPValue::LongString(value.as_str().into()));
            }
        }
        if let Some(json) = data_types.json() {
            table.insert(DATA_TYPES.into(), AMQPValue::LongString(json.into()));
        }
        let header_bytes = headers::table_bytes(&table) + PROPERTIES_MAX_BYTES;
        Ok(Self { body: message.body.clone(), id, properties: properties.with_headers(table), header_bytes })
    }
}

/// A text that a property has room for.
fn short(attribute: &AttributeValue) -> Option<ShortString> {
    match &attribute.value {
        AttributeData::Text(text) if attribute.data_type == "String" => ShortString::try_new(text.as_str()).ok(),
        AttributeData::Text(_) | AttributeData::Binary(_) => None,
    }
}

#[cfg(test)]
mod tests;
