use wasq_core::message::{MessageId, Receipt, UnixMs};
use wasq_queues::{Broker, MESSAGE_MAX_BYTES};

use super::*;

const RULES: QueueRules =
    QueueRules { broker: Broker::Sqs, fifo: false, max_bytes: MESSAGE_MAX_BYTES, claim_check_over: None };

fn delivery(body: &str, attributes: &[(&str, &str)]) -> Delivery {
    Delivery {
        message_id: MessageId("in-dlq".into()),
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

fn letter(key: Option<&str>) -> Letter {
    let json = serde_json::json!({
        "queue": "jobs", "message_id": "in-queue", "class": "retry", "reason": "no", "attempts": 1, "receive_count": 1,
        "last_failed_at": 0, "key": key,
    });
    serde_json::from_value(json).unwrap()
}

const TEN: [(&str, &str); 10] = [
    ("a", "1"),
    ("b", "1"),
    ("c", "1"),
    ("d", "1"),
    ("e", "1"),
    ("f", "1"),
    ("g", "1"),
    ("h", "1"),
    ("i", "1"),
    ("j", "1"),
];

#[test]
fn the_key_goes_along_unless_the_message_gives_it() {
    let check = |body: &str, attributes: &[(&str, &str)], letter: Option<&Letter>, expect: Option<&str>| {
        let sent = replayed(&delivery(body, attributes), letter, &RULES, &ReplayOptions::default()).unwrap();
        let key = sent.attributes.get(OWN_KEY_ATTRIBUTE).and_then(AttributeValue::text);
        assert_eq!(key, expect, "{body} {attributes:?}");
        assert!(!sent.attributes.contains_key(LETTER_ATTRIBUTE));
    };
    check("x", &[("wasq", "{}")], Some(&letter(Some("k"))), Some("k"));
    check("x", &[("idempotency-key", "k")], Some(&letter(Some("k"))), None);
    check(r#"{"idempotency_key":"k"}"#, &[], Some(&letter(Some("k"))), None);
    check(r#"{"idempotency_key":"other"}"#, &[], Some(&letter(Some("k"))), Some("k"));
    check("x", &[], Some(&letter(None)), Some("in-queue"));
    check("x", &[], None, Some("in-dlq"));
    check("x", &[("wasq-key", "from an outbox")], None, Some("from an outbox"));
    check("x", &[("idempotency-key", "k")], None, None);
    check(r#"{"idempotency_key":"k"}"#, &[], Some(&letter(None)), None);
}

#[test]
fn what_has_no_room_is_refused_and_says_what_is_full() {
    let check = |delivery: &Delivery, key: &str, how: &ReplayOptions, expect: Option<&str>| {
        let sent = replayed(delivery, Some(&letter(Some(key))), &RULES, how).map_err(|error| error.to_string());
        match (sent, expect) {
            (Ok(_), None) => {}
            (Err(error), Some(part)) => assert!(error.contains(part), "{error}"),
            (sent, expect) => panic!("{sent:?}, wanted {expect:?}"),
        }
    };
    let how = |again, new_key| ReplayOptions { again, new_key, body: None };
    let ten = delivery("{}", &TEN);
    check(&ten, "k", &how(false, false), Some("SQS takes 10"));
    check(&ten, "k", &how(false, true), None);
    check(&ten, "k", &how(true, true), Some("wasq-again"));
    let long = delivery(&"x".repeat(MESSAGE_MAX_BYTES), &[]);
    check(&long, "k", &how(false, false), Some("bytes"));
    check(&long, "k", &how(false, true), None);
    check(&delivery("{}", &TEN[..9]), "k", &how(false, false), None);
    check(&delivery("{}", &TEN[..9]), "k", &how(true, false), Some("wasq-again"));
    check(&delivery("{}", &TEN[..8]), "k", &how(true, false), None);
    let given = delivery(r#"{"idempotency_key":"k"}"#, &TEN);
    check(&given, "k", &how(false, false), None);
    let body =
        |text: &str| ReplayOptions { body: Some(Bytes::copy_from_slice(text.as_bytes())), ..ReplayOptions::default() };
    check(&delivery("{}", &[]), "k", &body("a\0b"), Some("character"));
    check(&delivery("{}", &[]), "k", &body(&"x".repeat(MESSAGE_MAX_BYTES + 1)), Some("bytes"));
}

#[test]
fn a_deduplication_id_is_the_same_for_a_twin_only() {
    let id = |how: &ReplayOptions| {
        replayed(&delivery("x", &[]), None, &QueueRules { fifo: true, ..RULES }, how).unwrap().deduplication_id.unwrap()
    };
    let plain = id(&ReplayOptions::default());
    assert_eq!(plain, id(&ReplayOptions::default()));
    let again = id(&ReplayOptions { again: true, ..ReplayOptions::default() });
    let edited = id(&ReplayOptions { body: Some(Bytes::from_static(b"y")), ..ReplayOptions::default() });
    assert!(plain != again && plain != edited && again != edited);
    assert_eq!(replayed(&delivery("x", &[]), None, &RULES, &ReplayOptions::default()).unwrap().deduplication_id, None);
}
