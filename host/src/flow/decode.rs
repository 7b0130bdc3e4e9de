//! The first step: from a delivery to a message, unwrapped from its envelope, with its type and key.

mod fields;

use bytes::Bytes;
use serde_json::Value;
use wasq_core::message::{AttributeValue, Attributes, Delivery, KEY_FIELD, KeySource, Message, MessageType};

pub use wasq_core::message::{KEY_ATTRIBUTE, TYPE_ATTRIBUTE};

use fields::Fields;

use crate::config::{Envelope, KeyFrom, QueueConfig};
use crate::dlq::{LETTER_ATTRIBUTE, OWN_KEY_ATTRIBUTE};

/// Levels of nesting that an envelope may have: serde_json's own limit.
const NESTING_NOTE: &str = "; at most 128 levels of nesting are read";

/// Reads a delivery. An error says what cannot be read, in words fit for a dead letter.
pub fn decode(delivery: &Delivery, envelope: Envelope, default_type: Option<&str>) -> Result<Message, String> {
    let mut attributes = delivery.attributes.clone();
    attributes.remove(LETTER_ATTRIBUTE);
    let outer = Fields::read(&delivery.body);
    let opened = open(envelope, &delivery.body, &outer, &mut attributes)?;
    let inner = opened.as_ref().map(|opened| Fields::read(&opened.body));
    let fields = inner.as_ref().unwrap_or(&outer);

    let attribute = |name: &str| attributes.get(name).and_then(AttributeValue::text).map(str::to_owned);
    let field = |name: &str| fields.as_ref().ok().and_then(|fields| fields.text(name));
    // An empty type or key is none, and does not stand before another.
    let named = |text: Option<String>| text.filter(|text| !text.is_empty());
    let kind = named(attribute(TYPE_ATTRIBUTE))
        .or_else(|| named(opened.as_ref()?.kind.clone()))
        .or_else(|| named(field("type")))
        .or_else(|| default_type.map(str::to_owned));
    let Some(kind) = kind else {
        let why = match fields {
            Ok(_) => "its JSON body has no string field `type` with anything in it".to_owned(),
            Err(error) => format!("its body is no JSON ({error})"),
        };
        return Err(format!("the message has no type: no attribute `type`, {why}, and the queue has no default_type"));
    };
    let from = |source: KeySource| move |key: String| (key, source);
    let (key, key_source) = named(attribute(KEY_ATTRIBUTE))
        .map(from(KeySource::Attribute))
        .or_else(|| named(field(KEY_FIELD)).map(from(KeySource::BodyField)))
        .or_else(|| named(attribute(OWN_KEY_ATTRIBUTE)).map(from(KeySource::OwnKey)))
        .unwrap_or_else(|| (delivery.message_id.0.clone(), KeySource::MessageId));
    let content_type = attribute("content-type").unwrap_or_else(|| "application/json".to_owned());
    let traceparent = attribute("traceparent");
    let body = opened.map_or_else(|| delivery.body.clone(), |opened| opened.body);
    Ok(Message { kind: MessageType(kind), body, content_type, key, key_source, traceparent, attributes })
}

/// The key of a message that names none, where its queue asks for another than SQS's id of it: the
/// deduplication id, and in which window of the clock the message was sent. SQS itself drops a
/// second one within its five minutes; what it takes after that is a new message, unless the
/// queue's window is longer.
pub fn with_key_of_queue(message: Message, delivery: &Delivery, queue: &QueueConfig) -> Message {
    let asked = message.key_source == KeySource::MessageId && queue.key_from == KeyFrom::DeduplicationId;
    let Some(id) = delivery.deduplication_id.as_ref().filter(|_| asked) else { return message };
    let window = delivery.sent_at.0 / 1_000 / queue.deduplication_window.as_secs().max(1);
    Message { key: format!("{id}@{window}"), key_source: KeySource::DeduplicationId, ..message }
}

/// What was in an envelope.
struct Opened {
    body: Bytes,
    /// The type that the envelope names.
    kind: Option<String>,
}

/// None where there is no envelope.
fn open(
    envelope: Envelope,
    body: &[u8],
    fields: &Result<Fields<'_>, String>,
    attributes: &mut Attributes,
) -> Result<Option<Opened>, String> {
    let found = match (envelope, fields) {
        (Envelope::Auto, Ok(fields)) => recognise(fields),
        (Envelope::Auto, Err(_)) => Envelope::Plain,
        (named, _) => named,
    };
    let wrapped = || {
        serde_json::from_slice::<Value>(body).map_err(|error| {
            let note = if error.to_string().contains("recursion limit") { NESTING_NOTE } else { "" };
            format!("the body is no JSON, so no {found:?} envelope: {error}{note}")
        })
    };
    match found {
        Envelope::Plain | Envelope::Auto => Ok(None),
        Envelope::Sns => open_sns(&wrapped()?, attributes).map(Some),
        Envelope::Eventbridge => open_eventbridge(&wrapped()?).map(Some),
        Envelope::Cloudevents => open_cloudevent(&wrapped()?).map(Some),
    }
}

/// Which envelope a body's fields look like.
fn recognise(fields: &Fields<'_>) -> Envelope {
    if fields.text("Type").as_deref() == Some("Notification") && fields.text("Message").is_some() {
        return Envelope::Sns;
    }
    if fields.text("detail-type").is_some() && fields.has("detail") {
        return Envelope::Eventbridge;
    }
    if fields.text("specversion").is_some() && fields.text("type").is_some() {
        return Envelope::Cloudevents;
    }
    Envelope::Plain
}

/// An SNS notification, as SNS writes it to a queue without raw delivery. Its own attributes join the message's.
fn open_sns(wrapped: &Value, attributes: &mut Attributes) -> Result<Opened, String> {
    let text = wrapped["Message"].as_str().ok_or("the SNS envelope has no string `Message`")?;
    for (name, attribute) in wrapped["MessageAttributes"].as_object().into_iter().flatten() {
        let data_type = attribute["Type"].as_str().unwrap_or("String");
        if let (Some(value), false) = (attribute["Value"].as_str(), data_type == "Binary") {
            let value = AttributeValue { data_type: data_type.to_owned(), ..AttributeValue::string(value) };
            attributes.entry(name.clone()).or_insert(value);
        }
    }
    let body = Bytes::copy_from_slice(text.as_bytes());
    Ok(Opened { body, kind: None })
}

/// An EventBridge event: `detail-type` is the type, `detail` the body.
fn open_eventbridge(wrapped: &Value) -> Result<Opened, String> {
    let kind = wrapped["detail-type"].as_str().ok_or("the EventBridge envelope has no string `detail-type`")?;
    let detail = wrapped.get("detail").ok_or("the EventBridge envelope has no `detail`")?;
    Ok(Opened { body: detail.to_string().into(), kind: Some(kind.to_owned()) })
}

/// A CloudEvent in structured mode: `data`, or `data_base64`.
fn open_cloudevent(wrapped: &Value) -> Result<Opened, String> {
    use base64::Engine;
    let kind = wrapped["type"].as_str().ok_or("the CloudEvents envelope has no string `type`")?.to_owned();
    if let Some(data) = wrapped["data_base64"].as_str() {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(data)
            .map_err(|error| format!("the CloudEvents envelope's `data_base64` is no base64: {error}"))?;
        return Ok(Opened { body: bytes.into(), kind: Some(kind) });
    }
    let body = match wrapped.get("data") {
        None | Some(Value::Null) => Bytes::new(),
        Some(Value::String(text)) => Bytes::copy_from_slice(text.as_bytes()),
        Some(other) => other.to_string().into(),
    };
    Ok(Opened { body, kind: Some(kind) })
}

#[cfg(test)]
mod tests {
    use wasq_core::message::{MessageId, Receipt, UnixMs};

    use super::*;

    fn delivery(body: &str, attributes: &[(&str, &str)]) -> Delivery {
        Delivery {
            message_id: MessageId("id-1".into()),
            receipt: Receipt("r".into()),
            body: Bytes::copy_from_slice(body.as_bytes()),
            attributes: attributes.iter().map(|(n, v)| ((*n).to_owned(), AttributeValue::string(*v))).collect(),
            receive_count: 1,
            sent_at: UnixMs(0),
            group: None,
            deduplication_id: None,
            trace_header: None,
            received_at: wasq_core::clock::now(),
        }
    }

    #[test]
    fn type_body_and_key_of_each_envelope() {
        let check = |envelope, body: &str, attributes: &[(&str, &str)], expect: Result<(&str, &str, &str), &str>| {
            let message = decode(&delivery(body, attributes), envelope, None);
            match (message, expect) {
                (Ok(message), Ok((kind, inner, key))) => {
                    assert_eq!((message.kind.0.as_str(), message.key.as_str()), (kind, key), "{body}");
                    assert_eq!(message.body, inner.as_bytes(), "{body}");
                }
                (Err(error), Err(part)) => assert!(error.contains(part), "{body} gave {error:?}, wanted {part:?}"),
                (got, wanted) => panic!("{body} gave {got:?}, wanted {wanted:?}"),
            }
        };
        use Envelope::{Auto, Cloudevents, Eventbridge, Plain, Sns};
        check(Plain, "hi", &[("type", "t")], Ok(("t", "hi", "id-1")));
        check(Plain, r#"{"type":"t"}"#, &[], Ok(("t", r#"{"type":"t"}"#, "id-1")));
        check(Plain, r#"{"type":"t"}"#, &[("type", "u")], Ok(("u", r#"{"type":"t"}"#, "id-1")));
        check(Plain, r#"{"idempotency_key":"k"}"#, &[("type", "t")], Ok(("t", r#"{"idempotency_key":"k"}"#, "k")));
        check(Plain, "x", &[("type", "t"), ("wasq-key", "w"), ("idempotency-key", "k")], Ok(("t", "x", "k")));
        check(Plain, "x", &[("type", "t"), ("wasq-key", "w")], Ok(("t", "x", "w")));
        check(Plain, "", &[], Err("no type"));
        check(Plain, "{", &[], Err("no JSON"));
        check(Plain, &"[".repeat(100_000), &[], Err("no JSON"));
        let deep = format!(r#"{{"type":"t","a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        check(Auto, &deep, &[], Ok(("t", &deep, "id-1")));
        check(Cloudevents, &deep, &[], Err("128 levels of nesting"));
        check(Plain, r#"{"type":7}"#, &[], Err("no string field `type`"));
        let sns = r#"{"Type":"Notification","Message":"{\"type\":\"t\"}","MessageAttributes":{"a":{"Type":"String","Value":"b"}}}"#;
        check(Sns, sns, &[], Ok(("t", r#"{"type":"t"}"#, "id-1")));
        check(Auto, sns, &[], Ok(("t", r#"{"type":"t"}"#, "id-1")));
        check(Sns, "{}", &[], Err("`Message`"));
        check(Sns, "nope", &[], Err("no JSON"));
        let event = r#"{"detail-type":"t","detail":{"a":1},"source":"s"}"#;
        check(Eventbridge, event, &[], Ok(("t", r#"{"a":1}"#, "id-1")));
        check(Auto, event, &[], Ok(("t", r#"{"a":1}"#, "id-1")));
        let cloud = r#"{"specversion":"1.0","type":"t","id":"e","source":"s","data":{"a":1}}"#;
        check(Cloudevents, cloud, &[], Ok(("t", r#"{"a":1}"#, "id-1")));
        check(Auto, cloud, &[], Ok(("t", r#"{"a":1}"#, "id-1")));
        let binary = r#"{"specversion":"1.0","type":"t","data_base64":"aGk="}"#;
        check(Auto, binary, &[], Ok(("t", "hi", "id-1")));
        check(Auto, r#"{"type":"t"}"#, &[], Ok(("t", r#"{"type":"t"}"#, "id-1")));
    }

    #[test]
    fn a_deduplication_id_is_a_key_only_where_the_queue_asks_for_it_and_only_within_its_window() {
        use std::time::Duration;
        let key = |key_from, window_s, sent_at_s: u64, attributes: &[(&str, &str)]| {
            let sent = Delivery {
                deduplication_id: Some("nightly".into()),
                sent_at: UnixMs(sent_at_s * 1_000),
                ..delivery("x", attributes)
            };
            let queue =
                QueueConfig { key_from, deduplication_window: Duration::from_secs(window_s), ..QueueConfig::default() };
            let message = decode(&sent, Envelope::Plain, Some("t")).unwrap();
            let message = with_key_of_queue(message, &sent, &queue);
            (message.key, message.key_source)
        };
        assert_eq!(key(KeyFrom::MessageId, 300, 0, &[]), ("id-1".into(), KeySource::MessageId));
        let asked = |window_s, sent_at_s| key(KeyFrom::DeduplicationId, window_s, sent_at_s, &[]);
        assert_eq!(asked(300, 299), ("nightly@0".into(), KeySource::DeduplicationId));
        for first in [0, 1, 299, 1_000_000] {
            assert_ne!(asked(300, first), asked(300, first + 300), "SQS took it again: it is new");
        }
        assert_eq!(asked(86_400, 100), asked(86_400, 86_399));
        let own = key(KeyFrom::DeduplicationId, 300, 0, &[("idempotency-key", "k")]);
        assert_eq!(own, ("k".into(), KeySource::Attribute));
    }

    #[test]
    fn the_queue_may_have_a_default_type() {
        let message = decode(&delivery("x", &[]), Envelope::Plain, Some("fallback")).unwrap();
        assert_eq!(message.kind.0, "fallback");
    }

    #[test]
    fn an_empty_key_counts_as_none() {
        let check = |body: &str, attributes: &[(&str, &str)], expect: (&str, KeySource)| {
            let message = decode(&delivery(body, attributes), Envelope::Plain, Some("t")).unwrap();
            assert_eq!((message.key.as_str(), message.key_source), expect, "{body} {attributes:?}");
        };
        check(r#"{"idempotency_key":""}"#, &[], ("id-1", KeySource::MessageId));
        check(r#"{"idempotency_key":"b"}"#, &[("idempotency-key", "")], ("b", KeySource::BodyField));
        check(r#"{"idempotency_key":""}"#, &[("wasq-key", "own")], ("own", KeySource::OwnKey));
        check("{}", &[("wasq-key", "")], ("id-1", KeySource::MessageId));
    }

    #[test]
    fn an_empty_type_counts_as_none() {
        let check = |envelope, body: &str, attributes: &[(&str, &str)], expect: &str| {
            let message = decode(&delivery(body, attributes), envelope, Some("fallback")).unwrap();
            assert_eq!(message.kind.0, expect, "{body} {attributes:?}");
        };
        check(Envelope::Plain, r#"{"type":""}"#, &[], "fallback");
        check(Envelope::Plain, r#"{"type":"t"}"#, &[("type", "")], "t");
        check(Envelope::Eventbridge, r#"{"detail-type":"","detail":{}}"#, &[], "fallback");
        check(Envelope::Eventbridge, r#"{"detail-type":"","detail":{"type":"t"}}"#, &[], "t");
        let error = decode(&delivery(r#"{"type":""}"#, &[]), Envelope::Plain, None).unwrap_err();
        assert!(error.contains("no type") && error.contains("no default_type"), "{error}");
    }
}
