use wasq_core::message::AttributeValue;

use super::*;

#[test]
fn ten_bodies_of_one_mib_are_split_by_bytes() {
    let message = |bytes: usize| Outgoing {
        body: vec![b'x'; bytes].into(),
        attributes: Attributes::new(),
        delay_s: 0,
        group: None,
        deduplication_id: None,
    };
    let check = |sizes: &[usize], expect: &[usize]| {
        let messages: Vec<_> = sizes.iter().map(|bytes| message(*bytes)).collect();
        assert_eq!(batches(&messages).iter().map(|batch| batch.len()).collect::<Vec<_>>(), expect);
    };
    check(&[MESSAGE_MAX_BYTES; 10], &[1; 10]);
    check(&[10; 25], &[10, 10, 5]);
    check(&[MESSAGE_MAX_BYTES - 10, 10, 10], &[2, 1]);
    check(&[], &[]);
}

#[test]
fn what_a_queue_refuses_for_good_is_named_with_its_limit() {
    let rules = QueueRules { fifo: true, max_bytes: 1_024, claim_check_over: None };
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
