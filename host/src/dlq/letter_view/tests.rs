use wasq_core::message::{AttributeValue, Receipt};
use wasq_queues::{Broker, QueueRules};

use super::super::InLedger;
use super::super::replayed_message::ReplayOptions;
use super::*;

const RULES: QueueRules =
    QueueRules { broker: Broker::Sqs, fifo: false, max_bytes: MESSAGE_MAX_BYTES, claim_check_over: None };

struct NoHost;

#[async_trait::async_trait]
impl Envelopes for NoHost {
    async fn get(&self, _id: &str) -> Result<Option<String>, LetterError> {
        Err(LetterError::NoHost("it does not answer".into()))
    }
}

/// A ledger that keeps nothing.
struct Nothing;

#[async_trait::async_trait]
impl Envelopes for Nothing {
    async fn get(&self, _id: &str) -> Result<Option<String>, LetterError> {
        Ok(None)
    }
}

#[tokio::test]
async fn what_stands_for_a_larger_message_is_never_sent_in_its_place() {
    let kept = InLedger { content: "c0ffee".into(), parts: 1, body_bytes: 300_000 };
    for envelopes in [&NoHost as &dyn Envelopes, &Nothing] {
        let view = LetterView::read(delivery(kept.stub("m")), envelopes).await;
        assert_eq!(view.class(), UNREADABLE_CLASS);
        let new_key = ReplayOptions { new_key: true, ..ReplayOptions::default() };
        for how in [ReplayOptions::default(), new_key.clone()] {
            let refused = view.replayed(&RULES, &how).expect_err("it is not the message").to_string();
            assert!(refused.contains("only stands for its message") && refused.contains("wasq dlq edit"), "{refused}");
        }
        let whole = ReplayOptions { body: Some("{}".into()), ..new_key };
        assert_eq!(view.replayed(&RULES, &whole).expect("somebody gives the body").body, "{}");
    }
}

fn delivery(body: String) -> Delivery {
    Delivery {
        message_id: MessageId("m".into()),
        receipt: Receipt("r".into()),
        body: body.into(),
        attributes: [(TYPE_ATTRIBUTE.to_owned(), AttributeValue::string("t"))].into(),
        receive_count: 1,
        sent_at: UnixMs(0),
        enqueued_at: UnixMs(0),
        group: None,
        deduplication_id: None,
        trace_header: None,
        received_at: wasq_core::clock::now(),
    }
}

/// The longest letter that limits at their bounds allow, beside a body of so many bytes.
fn longest_letter(body_bytes: usize) -> usize {
    let letter = Letter {
        queue: "q".repeat(80),
        message_id: MessageId("m".repeat(100)),
        kind: Some("\"".repeat(body_bytes / 2)),
        plugin: Some("p".repeat(200)),
        digest: Some("d".repeat(64)),
        class: "out-of-memory".into(),
        reason: "\"".repeat(REASON_BYTES_MAX),
        attempts: u32::MAX,
        receive_count: u32::MAX,
        first_failed_at: Some(UnixMs(u64::MAX)),
        last_failed_at: UnixMs(u64::MAX),
        key: Some("\"".repeat(KEY_BYTES_MAX)),
        traceparent: Some("t".repeat(55)),
        group: Some("g".repeat(128)),
        replays: u32::MAX,
        in_ledger: None,
    };
    serde_json::to_string(&letter).unwrap().len()
}

#[tokio::test]
async fn without_a_host_a_message_that_may_have_its_letter_in_the_ledger_is_not_taken_for_one_that_sqs_moved() {
    let class = async |bytes: usize| {
        let view = LetterView::read(delivery("x".repeat(bytes)), &NoHost).await;
        view.class().to_owned()
    };
    assert_eq!((class(2).await, class(64 * 1024).await), (MOVED_CLASS.to_owned(), MOVED_CLASS.to_owned()));
    for bytes in [200 * 1024, MESSAGE_MAX_BYTES - 100 * 1024] {
        let needs_the_ledger = bytes + longest_letter(bytes) > MESSAGE_MAX_BYTES;
        assert_eq!((class(bytes).await, needs_the_ledger), (UNREADABLE_CLASS.to_owned(), true), "{bytes}");
    }
}
