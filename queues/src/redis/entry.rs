//! Entries as Redis answers them, and the deliveries that they become.

use redis::Value;
use tokio::time::Instant;
use wasq_core::message::{Delivery, MessageId, UnixMs};

use super::consumer::{Consumer, EntryRef};
use super::fields::{self, Content, Field};

/// 2001-01-01. An entry's id begins with the time at which it was added, unless its producer chose
/// the id: a number before this is no time.
const FIRST_TIME: UnixMs = UnixMs(978_307_200_000);

/// An entry that a consumer has now.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: String,
    pub fields: Vec<Field>,
    /// How often it was delivered, this time included.
    pub deliveries: u32,
}

impl Entry {
    /// What `XREADGROUP` answers for one stream: entries that were never delivered before.
    pub fn read_new(answer: Value) -> Option<Vec<Self>> {
        let streams = match answer {
            Value::Nil => return Some(Vec::new()),
            answer => array(answer)?,
        };
        let mut entries = Vec::new();
        for stream in streams {
            let [_, delivered] = <[Value; 2]>::try_from(array(stream)?).ok()?;
            for entry in array(delivered)? {
                let [id, fields] = <[Value; 2]>::try_from(array(entry)?).ok()?;
                entries.push(Self { id: text(id)?, fields: pairs(fields)?, deliveries: 1 });
            }
        }
        Some(entries)
    }

    /// What the script that takes due entries answers for each: id, fields and deliveries.
    pub fn read_due(answer: Value) -> Option<Self> {
        let [id, fields, deliveries] = <[Value; 3]>::try_from(array(answer)?).ok()?;
        let Value::Int(deliveries) = deliveries else { return None };
        let deliveries = u32::try_from(deliveries.max(1)).unwrap_or(u32::MAX);
        Some(Self { id: text(id)?, fields: pairs(fields)?, deliveries })
    }

    /// As the host has it.
    pub fn delivery(self, form: &Form<'_>, received_at: Instant, now: UnixMs) -> Delivery {
        let Self { id, fields, deliveries } = self;
        let Content { body, attributes, group, deduplication_id } = fields::read(fields, form.body_field);
        let (sent_at, message_id) = (sent_at(&id, now), message_id(form.stream, &id));
        let receipt = EntryRef { id, consumer: form.consumer.clone(), deliveries }.receipt();
        Delivery {
            message_id,
            receipt,
            body,
            attributes,
            receive_count: deliveries,
            sent_at,
            enqueued_at: sent_at,
            group,
            deduplication_id,
            trace_header: None,
            received_at,
        }
    }
}

/// What makes a stream's entries deliveries.
pub struct Form<'a> {
    /// Server, database and key.
    pub stream: &'a str,
    pub body_field: &'a str,
    pub consumer: &'a Consumer,
}

/// An entry's id is a time, which entries of two streams may share. Their keys in the ledger would
/// be the same, and one of two messages would be lost. So the message's id names the stream, too.
pub fn message_id(stream: &str, entry: &str) -> MessageId {
    MessageId(format!("{stream}/{entry}"))
}

/// When the entry was added, as its id says; or now, where it says no time.
pub fn sent_at(id: &str, now: UnixMs) -> UnixMs {
    let ms = id.split_once('-').and_then(|(ms, _)| ms.parse().ok()).map(UnixMs);
    // The server's clock may be ahead of ours.
    ms.filter(|ms| *ms >= FIRST_TIME).map_or(now, |ms| ms.min(now))
}

pub fn array(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

pub fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

fn pairs(value: Value) -> Option<Vec<Field>> {
    let mut values = array(value)?.into_iter();
    let mut pairs = Vec::with_capacity(values.len() / 2);
    while let Some(name) = values.next() {
        match (name, values.next()?) {
            (Value::BulkString(name), Value::BulkString(value)) => pairs.push((name, value)),
            _ => return None,
        }
    }
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wasq_core::clock;

    use super::*;

    const NOW: UnixMs = UnixMs(1_700_000_000_000);

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn raw(id: &str) -> Vec<Value> {
        vec![bulk(id), Value::Array(vec![bulk("body"), bulk("hello")])]
    }

    #[test]
    fn an_answer_is_read_as_far_as_it_makes_sense() {
        let streams = Value::Array(vec![Value::Array(vec![bulk("s"), Value::Array(vec![Value::Array(raw("7-1"))])])]);
        let fields = vec![(b"body".to_vec(), b"hello".to_vec())];
        let entry = |deliveries| Entry { id: "7-1".into(), fields: fields.clone(), deliveries };
        assert_eq!(Entry::read_new(streams), Some(vec![entry(1)]));
        assert_eq!(Entry::read_new(Value::Nil), Some(vec![]));
        assert_eq!(Entry::read_new(bulk("what")), None);
        let due = Value::Array(raw("7-1").into_iter().chain([Value::Int(4)]).collect());
        assert_eq!(Entry::read_due(due), Some(entry(4)));
        assert_eq!(Entry::read_due(Value::Array(raw("7-1"))), None);
    }

    #[test]
    fn a_delivery_is_named_by_its_stream_and_its_entry() {
        let consumer = Consumer::new(&uuid::Uuid::nil(), Duration::from_secs(60));
        let form = Form { stream: "a:6379/0/orders", body_field: "body", consumer: &consumer };
        let entry =
            Entry { id: "1600000000000-3".into(), fields: vec![(b"body".to_vec(), b"x".to_vec())], deliveries: 2 };
        let delivery = entry.delivery(&form, clock::now(), NOW);
        assert_eq!(delivery.message_id.0, "a:6379/0/orders/1600000000000-3");
        assert_eq!((delivery.receive_count, delivery.sent_at), (2, UnixMs(1_600_000_000_000)));
        let receipt = EntryRef::read(&delivery.receipt).unwrap();
        assert_eq!((receipt.id.as_str(), receipt.deliveries, receipt.consumer), ("1600000000000-3", 2, consumer));
    }

    #[test]
    fn an_id_that_its_producer_chose_is_no_time() {
        assert_eq!(sent_at("1699999999999-0", NOW), UnixMs(1_699_999_999_999));
        for id in ["1-1", "978307199999-0", "1700000000001-0", "18446744073709551615-0", "x"] {
            assert_eq!(sent_at(id, NOW), NOW, "{id}");
        }
    }
}
