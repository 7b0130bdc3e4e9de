use wasq_core::message::AttributeValue;

use super::*;

#[test]
fn what_a_queue_refuses_for_good_is_named_with_its_limit() {
    let rules = QueueRules { broker: Broker::Sqs, fifo: true, max_bytes: 1_024, claim_check_over: None };
    let good = || Outgoing {
        body: "{}".into(),
        attributes: [("type".to_owned(), AttributeValue::string("greeting"))].into(),
        delay_s: 0,
        group: Some("g".into()),
        deduplication_id: None,
    };
    let check = |change: &dyn Fn(&mut Outgoing), expect: &str| {
        let mut message = good();
        change(&mut message);
        let refusal = rules.refusal(&message).unwrap_or_default();
        assert!(refusal.contains(expect), "{expect}: {refusal:?}");
    };
    assert_eq!(rules.refusal(&good()), None);
    check(&|message| message.body = vec![0xff].into(), "not UTF-8");
    check(&|message| message.body = "".into(), "the body is empty");
    check(&|message| message.body = "a\u{1}b".into(), "in the body");
    let attribute = |name: &'static str, value: &'static str| {
        move |message: &mut Outgoing| {
            message.attributes.insert(name.to_owned(), AttributeValue::string(value));
        }
    };
    check(&attribute("AWS.mine", "x"), "the attribute \"AWS.mine\"");
    check(&attribute("empty", ""), "the attribute \"empty\"");
    let eleven = |message: &mut Outgoing| {
        (0..10).for_each(|n| {
            message.attributes.insert(format!("a{n}"), AttributeValue::string("x"));
        })
    };
    check(&eleven, "11 attributes with the host's own; SQS takes 10");
    check(&|message| message.body = "x".repeat(1_024).into(), "the queue takes 1024");
    check(&|message| message.delay_s = 901, "at most 900 s");
    check(&|message| message.delay_s = 1, "the queue is FIFO");
    check(&|message| message.group = Some("".into()), "the group \"\"");
    check(&|message| message.group = Some("a b".into()), "the group \"a b\"");
    let standard = QueueRules { fifo: false, ..rules };
    assert_eq!(standard.refusal(&Outgoing { delay_s: 900, ..good() }), None);
}

#[test]
fn rabbitmq_takes_what_sqs_does_not() {
    let rules = QueueRules { broker: Broker::RabbitMq, fifo: false, max_bytes: 1_024, claim_check_over: Some(512) };
    let plain = || Outgoing {
        body: vec![0xff].into(),
        attributes: (0..50).map(|n| (format!("AWS.{n}"), AttributeValue::string(""))).collect(),
        delay_s: 0,
        group: Some("a b".into()),
        deduplication_id: None,
    };
    assert_eq!(rules.refusal(&plain()), None);
    assert_eq!(rules.refusal(&Outgoing { body: "".into(), ..plain() }), None);
    let large = Outgoing { body: vec![0; 1_025].into(), ..plain() };
    assert_eq!(rules.refusal(&large), None, "its body goes by S3");
    let refusal = QueueRules { claim_check_over: None, ..rules }.refusal(&large).unwrap();
    assert!(refusal.contains("the body has 1025 bytes; the queue takes 1024"), "{refusal}");
    let check = |name: &str, value: &str, expect: &str| {
        let mut message = plain();
        message.attributes.insert(name.to_owned(), AttributeValue::string(value));
        let refusal = rules.refusal(&message).unwrap_or_default();
        assert!(refusal.contains(expect), "{expect}: {refusal:?}");
    };
    check("CC", "other", "the attribute \"CC\": RabbitMQ would send the message to other queues");
    check(&"n".repeat(256), "x", "more than 255 bytes");
    check("heavy", &"x".repeat(RABBITMQ_HEADERS_MAX_BYTES), "put more into the body");
    let refusal = rules.refusal(&Outgoing { delay_s: 1, ..plain() }).unwrap();
    assert!(refusal.contains("no delay"), "{refusal}");
}

#[test]
fn redis_takes_whatever_has_room() {
    let rules = QueueRules { broker: Broker::Redis, fifo: false, max_bytes: 1_024, claim_check_over: None };
    let plain = || Outgoing {
        body: vec![0xff].into(),
        attributes: (0..50).map(|n| (format!("AWS.{n}"), AttributeValue::string(""))).collect(),
        delay_s: 0,
        group: Some("a b".into()),
        deduplication_id: None,
    };
    assert_eq!(rules.refusal(&plain()), None);
    let mut odd = plain();
    odd.attributes.insert("body".into(), AttributeValue::string("\u{1}"));
    assert_eq!((rules.refusal(&odd), rules.takes_text("\u{1}")), (None, true));
    let refusal = rules.refusal(&Outgoing { body: vec![0; 1_024].into(), ..plain() }).unwrap();
    assert!(refusal.contains("bytes with its attributes; the queue takes 1024"), "{refusal}");
    let refusal = rules.refusal(&Outgoing { delay_s: 1, ..plain() }).unwrap();
    assert!(refusal.contains("no delay"), "{refusal}");
}
