mod opening;
mod shapes;

use wasq_core::message::{MessageId, Receipt, UnixMs};

use bytes::Bytes;
use wasq_core::message::AttributeData;

use super::*;

fn delivery(body: &str, attributes: &[(&str, &str)]) -> Delivery {
    Delivery {
        message_id: MessageId("id-1".into()),
        receipt: Receipt("r".into()),
        body: Bytes::copy_from_slice(body.as_bytes()),
        attributes: attributes.iter().map(|(n, v)| ((*n).to_owned(), AttributeValue::string(*v))).collect(),
        receive_count: 1,
        sent_at: UnixMs(0),
        enqueued_at: UnixMs(0),
        group: None,
        deduplication_id: None,
        trace_header: None,
        received_at: wasq_core::clock::now(),
    }
}

fn queue(envelope: Envelope) -> QueueConfig {
    QueueConfig { envelope, ..QueueConfig::default() }
}

/// The one message of a delivery.
fn message(delivery: &Delivery, queue: &QueueConfig) -> Result<Message, String> {
    match decode(delivery, queue)? {
        Decoded::Message(typed) => Ok(typed.message),
        other => panic!("no single message: {other:?}"),
    }
}

fn with_default(envelope: Envelope, kind: &str) -> QueueConfig {
    QueueConfig { default_type: Some(kind.to_owned()), ..queue(envelope) }
}

#[test]
fn type_body_and_key_of_each_envelope() {
    let check = |envelope, body: &str, attributes: &[(&str, &str)], expect: Result<(&str, &str, &str), &str>| {
        let message = message(&delivery(body, attributes), &queue(envelope));
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
    check(Cloudevents, &deep, &[], Err("`/specversion` is missing"));
    let data = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = format!(r#"{{"specversion":"1.0","type":"t","data":{data}}}"#);
    check(Auto, &deep, &[], Ok(("t", &data, "id-1")));
    check(Plain, r#"{"type":7}"#, &[], Err("none in attribute:type, envelope, /type (type_from)"));
    let sns = r#"{"Type":"Notification","Message":"{\"type\":\"t\"}","MessageAttributes":{"a":{"Type":"String","Value":"b"}}}"#;
    check(Sns, sns, &[], Ok(("t", r#"{"type":"t"}"#, "id-1")));
    check(Auto, sns, &[], Ok(("t", r#"{"type":"t"}"#, "id-1")));
    check(Sns, "{}", &[], Err("`/Message` is missing"));
    check(Sns, "nope", &[], Err("no JSON"));
    let event = r#"{"detail-type":"t","detail":{"a":1},"source":"s"}"#;
    check(Eventbridge, event, &[], Ok(("t", r#"{"a":1}"#, "id-1")));
    check(Auto, event, &[], Ok(("t", r#"{"a":1}"#, "id-1")));
    let cloud = r#"{"specversion":"1.0","type":"t","id":"e","source":"s","data":{"a":1}}"#;
    check(Cloudevents, cloud, &[], Ok(("t", r#"{"a":1}"#, "1:s1:e")));
    check(Auto, cloud, &[], Ok(("t", r#"{"a":1}"#, "1:s1:e")));
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
            enqueued_at: UnixMs(sent_at_s * 1_000),
            ..delivery("x", attributes)
        };
        let queue = QueueConfig {
            key_from,
            deduplication_window: Duration::from_secs(window_s),
            ..with_default(Envelope::Plain, "t")
        };
        let message = message(&sent, &queue).unwrap();
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
    let message = message(&delivery("x", &[]), &with_default(Envelope::Plain, "fallback")).unwrap();
    assert_eq!(message.kind.0, "fallback");
}

#[test]
fn an_empty_key_counts_as_none() {
    let check = |body: &str, attributes: &[(&str, &str)], expect: (&str, KeySource)| {
        let message = message(&delivery(body, attributes), &with_default(Envelope::Plain, "t")).unwrap();
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
        let message = message(&delivery(body, attributes), &with_default(envelope, "fallback")).unwrap();
        assert_eq!(message.kind.0, expect, "{body} {attributes:?}");
    };
    check(Envelope::Plain, r#"{"type":""}"#, &[], "fallback");
    check(Envelope::Plain, r#"{"type":"t"}"#, &[("type", "")], "t");
    check(Envelope::Eventbridge, r#"{"detail-type":"","detail":{}}"#, &[], "fallback");
    check(Envelope::Eventbridge, r#"{"detail-type":"","detail":{"type":"t"}}"#, &[], "t");
    let error = message(&delivery(r#"{"type":""}"#, &[]), &queue(Envelope::Plain)).unwrap_err();
    assert!(error.contains("no type") && error.contains("no default_type"), "{error}");
}
