//! Between a record of Kafka and the host's message.
//!
//! A record has a key, a value and headers, all of them bytes. Its headers are a message's
//! attributes; a header of the host's own has the data types that bytes do not show.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use tokio::time::Instant;
use wasq_core::message::{AttributeData, AttributeValue, Attributes, Delivery, MessageId, Receipt, UnixMs};

use crate::queue::Outgoing;
use crate::rules::{KAFKA_KEY, KAFKA_TOMBSTONE};

/// The header with the data types of attributes, where their bytes do not show them: JSON, names
/// with types.
const DATA_TYPES: &str = "wasq-data-types";
/// The header that carries what Kafka has nothing for.
const DEDUPLICATION_ID: &str = "wasq-deduplication-id";
const STRING: &str = "String";
const BINARY: &str = "Binary";
/// What a header takes in a record beside its name and value, at most: two lengths.
const HEADER_BYTES: usize = 10;

/// A record that was read.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub key: Option<Bytes>,
    pub body: Bytes,
    pub attributes: Attributes,
    /// `TOPIC:PARTITION:OFFSET:TIMESTAMP`. A topic that was deleted and made again has the offsets
    /// again, for other messages: so the time is a part of it.
    pub id: String,
    pub sent_at: Option<UnixMs>,
    pub deduplication_id: Option<String>,
    /// What it takes in memory, about.
    pub bytes: usize,
}

/// What was read from Kafka, as its client has it.
pub struct Read<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// Of two with one name the last one counts.
    pub headers: Vec<(String, Bytes)>,
}

impl Record {
    pub fn of(read: Read<'_>) -> Self {
        let mut headers: BTreeMap<String, Bytes> = read.headers.into_iter().collect();
        let types = headers.remove(DATA_TYPES).and_then(|json| serde_json::from_slice(&json).ok());
        let types: BTreeMap<String, String> = types.unwrap_or_default();
        let deduplication_id = headers.remove(DEDUPLICATION_ID).and_then(|id| String::from_utf8(id.to_vec()).ok());
        let mut attributes: Attributes =
            headers.into_iter().map(|(name, value)| (name.clone(), attribute(value, types.get(&name)))).collect();
        let key = read.key.map(Bytes::copy_from_slice);
        attributes.remove(KAFKA_KEY);
        attributes.remove(KAFKA_TOMBSTONE);
        if let Some(key) = &key {
            attributes.insert(KAFKA_KEY.into(), attribute(key.clone(), types.get(KAFKA_KEY)));
        }
        if read.value.is_none() {
            attributes.insert(KAFKA_TOMBSTONE.into(), AttributeValue::string("true"));
        }
        let body = read.value.map(Bytes::copy_from_slice).unwrap_or_default();
        let timestamp_ms = read.timestamp_ms.unwrap_or(-1);
        let mut id = String::new();
        write!(id, "{}:{}:{}:{timestamp_ms}", read.topic, read.partition, read.offset).expect("a string takes all");
        Self {
            bytes: wasq_core::message::size_bytes(&body, &attributes) + key.as_ref().map_or(0, Bytes::len),
            key,
            body,
            attributes,
            id,
            sent_at: u64::try_from(timestamp_ms).ok().map(UnixMs),
            deduplication_id,
        }
    }

    /// As the host has it.
    pub fn delivery(&self, receipt: Receipt, receive_count: u32, received_at: Instant, now: UnixMs) -> Delivery {
        let sent_at = self.sent_at.unwrap_or(now);
        Delivery {
            message_id: MessageId(self.id.clone()),
            receipt,
            body: self.body.clone(),
            attributes: self.attributes.clone(),
            receive_count,
            sent_at,
            enqueued_at: sent_at,
            group: self.key.as_ref().and_then(|key| String::from_utf8(key.to_vec()).ok()),
            deduplication_id: self.deduplication_id.clone(),
            trace_header: None,
            received_at,
        }
    }
}

/// A header as an attribute. `data_type` is what the host's own header says of it.
fn attribute(value: Bytes, data_type: Option<&String>) -> AttributeValue {
    let is_binary = data_type.is_some_and(|data_type| is_of(data_type, BINARY));
    match String::from_utf8(value.to_vec()) {
        Ok(text) if !is_binary => {
            let data_type = data_type.map_or_else(|| STRING.to_owned(), Clone::clone);
            AttributeValue { data_type, value: AttributeData::Text(text) }
        }
        Ok(_) | Err(_) => {
            let data_type = data_type.filter(|_| is_binary).map_or_else(|| BINARY.to_owned(), Clone::clone);
            AttributeValue { data_type, value: AttributeData::Binary(value) }
        }
    }
}

/// Whether a data type is this one, with a label or without.
fn is_of(data_type: &str, base: &str) -> bool {
    data_type.strip_prefix(base).is_some_and(|label| label.is_empty() || label.starts_with('.'))
}

/// A record that is to be produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Production {
    pub key: Option<Bytes>,
    /// None is a tombstone.
    pub value: Option<Bytes>,
    pub headers: Vec<(String, Bytes)>,
}

impl Production {
    pub fn of(message: &Outgoing) -> Self {
        let mut types = BTreeMap::new();
        let (mut key, mut is_tombstone, mut headers) = (None, false, Vec::new());
        for (name, attribute) in &message.attributes {
            let value = match &attribute.value {
                AttributeData::Text(text) => Bytes::from(text.clone()),
                AttributeData::Binary(bytes) => bytes.clone(),
            };
            if !is_shown(attribute, &value) {
                types.insert(name.as_str(), attribute.data_type.as_str());
            }
            match name.as_str() {
                KAFKA_KEY => key = Some(value),
                KAFKA_TOMBSTONE => is_tombstone = message.body.is_empty(),
                DATA_TYPES | DEDUPLICATION_ID => {}
                name => headers.push((name.to_owned(), value)),
            }
        }
        if !types.is_empty() {
            let json = serde_json::to_vec(&types).expect("names and types are JSON");
            headers.push((DATA_TYPES.into(), json.into()));
        }
        if let Some(id) = &message.deduplication_id {
            headers.push((DEDUPLICATION_ID.into(), Bytes::from(id.clone())));
        }
        let key = key.or_else(|| message.group.clone().map(Bytes::from));
        Self { key, value: (!is_tombstone).then(|| message.body.clone()), headers }
    }

    /// What it takes in Kafka's own format, at most.
    pub fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len() + HEADER_BYTES);
        let [key, value] = [&self.key, &self.value].map(|part| part.as_ref().map_or(0, Bytes::len));
        key + value + headers.sum::<usize>()
    }
}

/// Whether a reader sees the data type by the bytes alone.
fn is_shown(attribute: &AttributeValue, value: &Bytes) -> bool {
    match &attribute.value {
        AttributeData::Text(_) => attribute.data_type == STRING,
        AttributeData::Binary(_) => attribute.data_type == BINARY && std::str::from_utf8(value).is_err(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(data_type: &str, value: AttributeData) -> AttributeValue {
        AttributeValue { data_type: data_type.into(), value }
    }

    fn read(production: &Production) -> Record {
        Record::of(Read {
            topic: "orders",
            partition: 3,
            offset: 41,
            timestamp_ms: Some(1_000),
            key: production.key.as_deref(),
            value: production.value.as_deref(),
            headers: production.headers.clone(),
        })
    }

    fn outgoing(attributes: Attributes) -> Outgoing {
        Outgoing { body: "{}".into(), attributes, delay_s: 0, group: None, deduplication_id: None }
    }

    #[test]
    fn attributes_keep_their_data_types() {
        let attributes: Attributes = [
            ("a", typed("String", AttributeData::Text("ü".into()))),
            ("b", typed("String.json", AttributeData::Text("{}".into()))),
            ("c", typed("Number", AttributeData::Text("12".into()))),
            ("d", typed("Number.int", AttributeData::Text("12".into()))),
            ("e", typed("Binary", AttributeData::Binary(Bytes::from_static(b"\xff\x00")))),
            ("f", typed("Binary", AttributeData::Binary(Bytes::from_static(b"text")))),
            ("g", typed("Binary.png", AttributeData::Binary(Bytes::from_static(b"\xff")))),
            (KAFKA_KEY, typed("Binary.id", AttributeData::Binary(Bytes::from_static(b"7")))),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let production = Production::of(&outgoing(attributes.clone()));
        assert_eq!(production.key.as_deref(), Some(&b"7"[..]));
        assert!(production.headers.iter().all(|(name, _)| name != KAFKA_KEY), "the key is no header");
        let record = read(&production);
        assert_eq!(record.attributes, attributes);
        assert_eq!(record.id, "orders:3:41:1000");
        let plain = Production::of(&outgoing([("a".to_owned(), AttributeValue::string("x"))].into()));
        assert_eq!(plain.headers, [("a".to_owned(), Bytes::from_static(b"x"))], "nothing is added that says nothing");
    }

    #[test]
    fn a_group_is_the_key_unless_the_key_is_said() {
        let mut message = Outgoing { group: Some("g".into()), ..outgoing(Attributes::new()) };
        let record = read(&Production::of(&message));
        let delivery = record.delivery(Receipt(String::new()), 1, wasq_core::clock::now(), UnixMs(5));
        assert_eq!((delivery.group.as_deref(), delivery.sent_at), (Some("g"), UnixMs(1_000)));
        assert_eq!(delivery.attributes[KAFKA_KEY], AttributeValue::string("g"));
        message.attributes.insert(KAFKA_KEY.into(), AttributeValue::string("k"));
        assert_eq!(Production::of(&message).key.as_deref(), Some(&b"k"[..]));
    }

    #[test]
    fn a_tombstone_stays_one() {
        let tombstone = Production { key: Some(Bytes::from_static(b"k")), value: None, headers: Vec::new() };
        let record = read(&tombstone);
        assert_eq!((record.body.len(), record.attributes[KAFKA_TOMBSTONE].text()), (0, Some("true")));
        let again = Outgoing { body: record.body.clone(), ..outgoing(record.attributes) };
        assert_eq!(Production::of(&again), tombstone);
        let filled = Outgoing { body: "x".into(), ..again };
        assert_eq!(Production::of(&filled).value.as_deref(), Some(&b"x"[..]), "a body is not lost");
    }

    #[test]
    fn what_a_foreign_producer_writes_is_read() {
        let header = |name: &str, value: &'static [u8]| (name.to_owned(), Bytes::from_static(value));
        let headers = vec![
            header("twice", b"1"),
            header("twice", b"2"),
            header("", b""),
            header(DATA_TYPES, b"no JSON"),
            header(KAFKA_KEY, b"forged"),
            header(KAFKA_TOMBSTONE, b"forged"),
        ];
        let (key, value) = (Some(&b"\xff"[..]), Some(&b""[..]));
        let record = Record::of(Read { topic: "t", partition: 0, offset: 0, timestamp_ms: None, key, value, headers });
        assert_eq!(record.attributes["twice"].text(), Some("2"));
        assert_eq!(record.attributes[KAFKA_KEY].data_type, "Binary");
        assert!(!record.attributes.contains_key(KAFKA_TOMBSTONE) && !record.attributes.contains_key(DATA_TYPES));
        assert_eq!((record.id.as_str(), record.sent_at), ("t:0:0:-1", None));
        let delivery = record.delivery(Receipt(String::new()), 1, wasq_core::clock::now(), UnixMs(5));
        assert_eq!((delivery.group, delivery.sent_at), (None, UnixMs(5)));
    }
}
