use bytes::Bytes;
use wasq_core::message::{AttributeData, AttributeValue, UnixMs};
use wasq_ledgers::Fence;

use super::*;
use crate::groups::{OnFailure, Role};

fn fresh(replays: u32) -> Fresh {
    Fresh { attempt: 1, crashes: 0, replays, fence: Fence(7), first_failed_at: None, is_new: false }
}

fn letter(message_id: &str, replays: u32) -> Letter {
    Letter {
        queue: "jobs".into(),
        message_id: MessageId(message_id.into()),
        kind: Some("t".into()),
        plugin: Some("p".into()),
        digest: None,
        class: "reject".into(),
        reason: "no such order".into(),
        attempts: 1,
        receive_count: 1,
        first_failed_at: None,
        last_failed_at: UnixMs(1),
        key: None,
        traceparent: None,
        group: None,
        replays,
        in_ledger: None,
    }
}

fn through_json(record: &Owed) -> Owed {
    serde_json::from_slice(&serde_json::to_vec(record).expect("it is JSON")).expect("it was written so")
}

fn outbox() -> Finished {
    let binary = AttributeValue { data_type: "Binary.png".into(), value: AttributeData::Binary(vec![0, 255].into()) };
    let message = OutboxMessage {
        queue: "emails".into(),
        kind: "receipt".into(),
        body: Bytes::from_static(b"\xff\0body"),
        attributes: [("a".into(), AttributeValue::string("b")), ("image".into(), binary)].into(),
        delay_s: 3,
        asked_at: Some(UnixMs(1_000)),
        group: Some("g".into()),
        key: "k".into(),
        part: Some(Box::new(GroupPart { group: "p/g".into(), role: Role::Then(OnFailure::Wait) })),
    };
    Finished { result: Some(vec![1, 2]), messages: vec![message] }
}

#[test]
fn what_is_recorded_is_what_was_to_be_sent() {
    let record = through_json(&Owed::of_outbox(&outbox(), BodyDigest::of(b"body"), 0, Some("component")));
    assert_eq!(record.outbox(), Ok(Some(outbox())));
    let verdict = record.with_letter(letter("m", 2));
    let verdict = through_json(&verdict);
    assert_eq!(verdict.letter_for(&fresh(2), &MessageId("m".into())), Some(Box::new(letter("m", 2))));
    assert_eq!(verdict.outbox(), Ok(Some(outbox())), "a verdict leaves the outbox to its replay");
    assert_eq!(Owed::default().outbox(), Ok(None));
}

#[test]
fn an_outbox_of_an_earlier_version_is_read() {
    let json =
        r#"{"messages":[{"queue":"q","kind":"k","body":"aGk=","attributes":[],"delay_s":0,"group":null,"key":"x"}]}"#;
    let record: Owed = serde_json::from_str(json).expect("it reads");
    let owed = record.outbox_for(&fresh(3), BodyDigest::of(b"any"), Some("any"));
    assert_eq!(owed.outbox().expect("it reads").expect("it is owed").messages[0].body, "hi");
}

#[test]
fn an_outbox_is_owed_until_a_replay_brings_another_body_or_another_component() {
    let record = Owed::of_outbox(&outbox(), BodyDigest::of(b"body"), 1, Some("old"));
    let check = |replays, body: &str, component, expect| {
        let owed = record.outbox_for(&fresh(replays), BodyDigest::of(body.as_bytes()), Some(component));
        assert_eq!(owed != Owed::default(), expect, "{replays} replays, {body}, {component}");
    };
    check(1, "body", "old", true);
    check(1, "body", "new", true);
    check(2, "body", "old", true);
    check(2, "body", "new", false);
    check(2, "edited", "old", false);
}

#[test]
fn a_verdict_is_final_until_its_letter_comes_back() {
    let record = Owed::default().with_letter(letter("first", 0)).with_letter(letter("m", 1));
    let check = |replays, id: &str, expect| {
        let owed = record.letter_for(&fresh(replays), &MessageId(id.into())).is_some();
        assert_eq!(owed, expect, "{replays} replays, {id}");
    };
    check(1, "m", true);
    check(1, "its twin", true);
    check(2, "its replay", false);
    check(2, "m", true);
    check(2, "first", true);
    let many = (0..100).fold(Owed::default(), |record, n| record.with_letter(letter(&n.to_string(), n)));
    assert_eq!(many.letters.len(), LETTERS_MAX);
}
