//! Messages that end in the DLQ, and their way back.

use std::time::Duration;

use serde_json::json;
use wasq::dlq::replayed_message::{ReplayOptions, replayed};
use wasq_core::message::{AttributeData, AttributeValue};
use wasq_local_sqs::{Effect, Fault};
use wasq_queues::Broker;

use crate::support::brokers::on_each_broker;
use crate::support::{Plugin, Setup};

on_each_broker!(
    exhausted_attempts_are_dead_lettered_with_an_envelope_that_says_all,
    a_reject_is_dead_lettered_at_once,
    one_handlers_reject_leaves_the_others_their_share,
    a_replayed_dead_letter_runs_and_keeps_its_key,
    an_edited_dead_letter_runs_under_its_key,
    a_dead_letter_says_how_often_it_came_back,
);

async fn exhausted_attempts_are_dead_lettered_with_an_envelope_that_says_all(broker: Broker) {
    let probe = Plugin::probe("probe").manifest("[retry]\nmax_attempts = 3\ninitial_interval = '0s'");
    let rig = Setup::new().on(broker).plugin(probe).start().await;
    let before = wasq_core::clock::unix_ms();
    // Spaces and a name twice: a body that any rewriting would change.
    let body = r#"{ "do":"retry",  "reason":"the printer is out of paper", "x": 1e2, "é":"\u00e9" }"#;
    let id = rig
        .message(body)
        .key("my-key")
        .attribute("colour", "red")
        .binary("raw", "Binary.png", &[0, 159, 146, 150])
        .attribute("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .send()
        .await;
    let dead = rig.letter().await;
    rig.emptied().await;

    assert_eq!(dead.delivery.body, body.as_bytes(), "byte for byte");
    let mut attributes = dead.delivery.attributes.clone();
    let own = attributes.remove("wasq");
    assert!(own.is_some_and(|own| own.data_type == "String"));
    let raw = AttributeValue {
        data_type: "Binary.png".into(),
        value: AttributeData::Binary([0, 159, 146, 150][..].to_vec().into()),
    };
    let expect = [
        ("colour", AttributeValue::string("red")),
        ("idempotency-key", AttributeValue::string("my-key")),
        ("raw", raw),
        ("traceparent", AttributeValue::string("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
        ("type", AttributeValue::string("probe")),
    ];
    assert_eq!(attributes, expect.map(|(name, value)| (name.to_owned(), value)).into());

    let letter = dead.letter;
    assert_eq!(letter.queue, "jobs");
    assert_eq!(letter.message_id.0, id);
    assert_eq!(letter.kind.as_deref(), Some("probe"));
    assert_eq!(letter.plugin.as_deref(), Some("probe"));
    let component = std::fs::read(rig.plugins_dir().join("probe.wasm")).unwrap();
    assert_eq!(letter.digest, Some(blake3::hash(&component).to_hex().to_string()));
    assert_eq!((letter.class.as_str(), letter.reason.as_str()), ("retry", "the printer is out of paper"));
    assert_eq!(letter.attempts, 3);
    assert!(letter.receive_count >= 3);
    assert_eq!(letter.key.as_deref(), Some("my-key"));
    assert_eq!(letter.traceparent.as_deref(), Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    let first = letter.first_failed_at.unwrap();
    assert!(before <= first && first <= letter.last_failed_at && letter.last_failed_at <= wasq_core::clock::unix_ms());
    assert_eq!(rig.runs(), 3);
    rig.end().await;
}

async fn a_reject_is_dead_lettered_at_once(broker: Broker) {
    let rig = Setup::probe().on(broker).start().await;
    rig.send(json!({ "do": "reject", "reason": "no such customer" })).await;
    let dead = rig.letter().await;
    rig.emptied().await;
    assert_eq!((dead.letter.class.as_str(), dead.letter.reason.as_str()), ("reject", "no such customer"));
    assert_eq!((dead.letter.attempts, rig.runs()), (1, 1));
    rig.end().await;
}

async fn one_handlers_reject_leaves_the_others_their_share(broker: Broker) {
    let rig = Setup::new().on(broker).plugin(Plugin::probe("good")).plugin(Plugin::probe("bad")).start().await;
    rig.sink.answers("bad", [json!({ "do": "reject", "reason": "not mine" })]);
    rig.sink.answers("good", [json!({ "do": "retry", "reason": "once" })]);
    rig.send(rig.sink.ask("{plugin}")).await;
    let dead = rig.letter().await;
    rig.emptied().await;
    assert_eq!(dead.letter.plugin.as_deref(), Some("bad"));
    assert_eq!((rig.sink.count("bad"), rig.sink.count("good")), (1, 2));
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0), "one letter, although the message came twice");
    rig.end().await;
}

async fn a_replayed_dead_letter_runs_and_keeps_its_key(broker: Broker) {
    let rig = Setup::probe().on(broker).queue("jobs", |queue| queue.visibility = Duration::from_secs(2)).start().await;
    rig.sink.answers("work", [json!({ "do": "reject", "reason": "not yet" })]);
    let urls = json!({ "charge": rig.sink.url("charge") });
    let order = json!({ "do": "steps", "urls": urls, "then": rig.sink.ask("work") });
    let id = rig.message(&order).attribute("colour", "red").send().await;
    let dead = rig.letter().await;
    rig.emptied().await;
    assert_eq!(dead.letter.key.as_deref(), Some(id.as_str()), "a message without a key of its own has its id");

    // Twice: a replay that was killed midway is run again.
    let again = replayed(&dead.delivery, Some(&dead.letter), &rig.rules().await, &ReplayOptions::default()).unwrap();
    for answer in rig.queue("jobs").await.send(&[again.clone(), again]).await {
        answer.unwrap();
    }
    rig.emptied().await;
    let calls = rig.sink.calls("work");
    assert_eq!(calls.len(), 2, "the first delivery, and one of the two replays");
    assert_eq!(calls[0].report["key"], calls[1].report["key"]);
    assert_eq!(calls[1].report["attempt"], 1, "attempts start afresh");
    assert_eq!(calls[1].report["attributes"]["colour"], "red");
    assert_eq!(rig.sink.count("charge"), 1, "its steps are kept");
    assert_eq!(rig.exits("done"), 1);
    rig.end().await;
}

async fn an_edited_dead_letter_runs_under_its_key(broker: Broker) {
    let rig = Setup::probe().on(broker).start().await;
    rig.message(json!({ "do": "reject", "reason": "a typing error" })).key("k").send().await;
    let dead = rig.letter().await;
    let mut edited =
        replayed(&dead.delivery, Some(&dead.letter), &rig.rules().await, &ReplayOptions::default()).unwrap();
    edited.body = json!({ "do": "done" }).to_string().into();
    rig.queue("jobs").await.send(&[edited]).await.remove(0).unwrap();
    rig.until_exits("done", 1).await;
    rig.emptied().await;
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0), "no conflict with the body that failed");
    rig.end().await;
}

async fn a_dead_letter_says_how_often_it_came_back(broker: Broker) {
    let rig = Setup::probe().on(broker).start().await;
    rig.message(json!({ "do": "reject", "reason": "no" })).key("k").send().await;
    for replays in 0..3 {
        let dead = rig.letter().await;
        assert_eq!(dead.letter.replays, replays);
        let json = dead.delivery.attributes["wasq"].text().unwrap();
        assert_eq!(json.contains("replays"), replays > 0, "a first letter has no such field");
        let again =
            replayed(&dead.delivery, Some(&dead.letter), &rig.rules().await, &ReplayOptions::default()).unwrap();
        rig.queue("jobs").await.send(&[again]).await.remove(0).unwrap();
    }
    rig.letter().await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_was_sent_twice_is_replayed_twice_and_runs_once() {
    let rig = Setup::probe().start().await;
    rig.sink.answers("work", [json!({ "do": "reject", "reason": "not yet" })]);
    // The DLQ has taken the letter, and the host does not learn it: as after a crash before the
    // delete, a twin follows.
    let lost = Effect::FailAfter { code: "ServiceUnavailable".into(), status: 503 };
    rig.sqs.faults().add(Fault::on("SendMessageBatch", lost).queue("jobs-dlq").times(1));
    rig.send(rig.sink.ask("work")).await;
    let twins = rig.letters(2).await;
    rig.emptied().await;
    assert_ne!(twins[0].delivery.message_id, twins[1].delivery.message_id);
    assert_eq!(twins[0].letter.key, twins[1].letter.key);
    for twin in &twins {
        let again =
            replayed(&twin.delivery, Some(&twin.letter), &rig.rules().await, &ReplayOptions::default()).unwrap();
        rig.queue("jobs").await.send(&[again]).await.remove(0).unwrap();
    }
    rig.emptied().await;
    assert_eq!(rig.sink.count("work"), 2, "the first delivery, and one of the two replays");
    assert_eq!((rig.exits("done"), rig.duplicates()), (1, 1));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_replayed_again_runs_once_more_and_its_twin_does_not() {
    let rig = Setup::probe().start().await;
    rig.message(rig.sink.ask("work")).key("k").send().await;
    rig.until_exits("done", 1).await;
    rig.sink.answers("work", [json!({ "do": "reject", "reason": "not again" })]);
    let delivery = rig.queue("jobs-dlq").await;
    let old = rig.message(rig.sink.ask("work")).key("k").queue("jobs-dlq").send().await;
    let delivery = delivery.receive(1, Duration::ZERO, Duration::from_secs(30)).await.unwrap().remove(0);
    let how = ReplayOptions { again: true, ..ReplayOptions::default() };
    let again = replayed(&delivery, None, &rig.rules().await, &how).unwrap();
    assert_eq!(again.attributes["wasq-again"].text(), Some(old.as_str()));
    rig.queue("jobs-dlq").await.delete(&[delivery.receipt]).await.remove(0).unwrap();
    rig.queue("jobs").await.send(std::slice::from_ref(&again)).await.remove(0).unwrap();
    let dead = rig.letter().await;
    rig.emptied().await;
    assert_eq!(rig.sink.count("work"), 2, "it ran although its key is done");
    assert_eq!(dead.delivery.attributes["wasq-again"].text(), Some(old.as_str()), "a later letter keeps the run");

    // Its letter's replay, without --again, is the same run; and so is a twin of it.
    let later = replayed(&dead.delivery, Some(&dead.letter), &rig.rules().await, &ReplayOptions::default()).unwrap();
    for message in [later.clone(), later] {
        rig.queue("jobs").await.send(&[message]).await.remove(0).unwrap();
    }
    rig.emptied().await;
    assert_eq!((rig.sink.count("work"), rig.exits("done"), rig.duplicates()), (3, 2, 1));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_queues_dead_letter_keeps_its_group() {
    let rig = Setup::probe().queue("jobs.fifo", |_| {}).start().await;
    rig.message(json!({ "do": "reject", "reason": "no" })).group("customer-7").send().await;
    let dead = rig.letter().await;
    assert_eq!(dead.letter.group.as_deref(), Some("customer-7"));
    assert_eq!(dead.delivery.group.as_deref(), Some("customer-7"));
    rig.end().await;
}
