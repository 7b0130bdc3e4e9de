//! A verdict is final: once the ledger says that a message goes to the DLQ, no handler runs for it
//! again.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::json;
use wasq::dlq::letter_view::LetterView;
use wasq::dlq::replayed_message::{ReplayOptions, replayed};
use wasq_local_sqs::{Effect, Fault};
use wasq_queues::Broker;

use crate::support::brokers::on_each_broker;
use crate::support::{Plugin, Rig, Setup, until};

on_each_broker!(
    what_used_up_its_attempts_does_not_run_past_them,
    a_plugin_waits_for_its_own_delay_whatever_another_one_says,
);

/// The DLQ refuses its next `times` letters for good.
fn refuse_letters(rig: &Rig, times: u32) {
    let code = "AWS.SimpleQueueService.NonExistentQueue".into();
    let gone = Effect::FailBefore { code, status: 400 };
    rig.sqs.faults().add(Fault::on("SendMessageBatch", gone).queue("jobs-dlq").times(times));
}

/// What AWS's console does for "Start DLQ redrive".
async fn redrive(rig: &Rig) {
    let url = rig.client.get_queue_url().queue_name("jobs-dlq").send().await.unwrap().queue_url.unwrap();
    let arn = rig.client.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::QueueArn);
    let arn = arn.send().await.unwrap().attributes.unwrap().remove(&QueueAttributeName::QueueArn).unwrap();
    let jobs = arn.replace("jobs-dlq", "jobs");
    // Only what some queue's policy names as its DLQ can be redriven.
    let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 1000 }).to_string();
    rig.set("jobs", QueueAttributeName::RedrivePolicy, &policy).await;
    rig.client.start_message_move_task().source_arn(arn).destination_arn(jobs).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_does_not_run_again_while_its_dead_letter_cannot_be_sent() {
    let rig = Setup::probe().start().await;
    refuse_letters(&rig, 2);
    rig.sink.answers("work", [json!({ "do": "reject", "reason": "no such customer" })]);
    rig.send(rig.sink.ask("work")).await;
    let tells = || async {
        let (status, reasons) = rig.ready().await;
        status == 503 && reasons.contains("jobs-dlq") && reasons.contains("NonExistentQueue")
    };
    until("readiness names the DLQ and the reason", tells).await;
    let dead = rig.letter().await;
    rig.emptied().await;
    assert_eq!(rig.sink.count("work"), 1, "only the letter is sent again");
    assert_eq!((dead.letter.class.as_str(), dead.letter.reason.as_str()), ("reject", "no such customer"));
    assert_eq!(dead.letter.attempts, 1);
    assert!(dead.letter.receive_count >= 2);
    until("readiness is well", || async { rig.ready().await.0 == 200 }).await;
    rig.end().await;
}

async fn what_used_up_its_attempts_does_not_run_past_them(broker: Broker) {
    let probe = Plugin::probe("probe").manifest("[retry]\nmax_attempts = 2\ninitial_interval = '0s'");
    let rig = Setup::new().on(broker).plugin(probe).start().await;
    refuse_letters(&rig, 1);
    let retry = json!({ "do": "retry", "reason": "the printer is out of paper" });
    rig.sink.answers("work", [retry.clone(), retry]);
    rig.send(rig.sink.ask("work")).await;
    let dead = rig.letter().await;
    rig.emptied().await;
    assert_eq!(rig.sink.count("work"), 2);
    assert_eq!((dead.letter.class.as_str(), dead.letter.attempts), ("retry", 2));
    assert!(dead.letter.first_failed_at < Some(dead.letter.last_failed_at));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_aws_itself_moves_back_is_a_replay() {
    let rig = Setup::new().plugin(Plugin::probe("good")).plugin(Plugin::probe("bad")).start().await;
    let urls = json!({ "charge": rig.sink.url("charge") });
    rig.sink.answers("bad", [json!({ "do": "reject", "reason": "not yet" })]);
    rig.send(json!({ "do": "steps", "urls": urls, "then": rig.sink.ask("{plugin}") })).await;
    until("the letter is there", || async { rig.counts("jobs-dlq").await.0 == 1 }).await;
    rig.emptied().await;
    redrive(&rig).await;
    rig.until_called("bad", 2).await;
    rig.emptied().await;
    let calls = rig.sink.calls("bad");
    assert_eq!(calls[0].report["key"], calls[1].report["key"]);
    assert_eq!(rig.sink.count("good"), 1, "what was done stays done");
    assert_eq!(rig.sink.count("charge"), 2, "steps stay: each of the two plugins has charged once");
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_had_no_room_for_its_envelope_is_a_replay_too() {
    let rig = Setup::probe().start().await;
    rig.sink.answers("work", [json!({ "do": "reject", "reason": "not yet" })]);
    let mut message = rig.message(rig.sink.ask("work"));
    for n in 1..10 {
        message = message.attribute(&format!("a{n}"), "full");
    }
    message.send().await;
    until("the letter is there", || async { rig.counts("jobs-dlq").await.0 == 1 }).await;
    rig.emptied().await;
    redrive(&rig).await;
    rig.until_called("work", 2).await;
    rig.emptied().await;
    let calls = rig.sink.calls("work");
    assert_eq!(calls[0].report["key"], calls[1].report["key"]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_larger_than_its_dlq_takes_is_dead_lettered_whole() {
    let mut rig = Setup::probe().without_host().await;
    rig.set("jobs-dlq", QueueAttributeName::MaximumMessageSize, "1024").await;
    rig.start_host().await;
    // The letter does not fit either.
    let reason = "not yet ".repeat(200);
    rig.sink.answers("work", [json!({ "do": "reject", "reason": reason })]);
    let mut order = rig.sink.ask("work");
    order["padding"] = json!("ü".repeat(200_000));
    rig.message(&order).attribute("colour", "red").key("k").send().await;
    until("the letter is there", || async { rig.counts("jobs-dlq").await.0 == 1 }).await;
    rig.emptied().await;

    let dlq = rig.queue("jobs-dlq").await;
    let held = dlq.receive(1, Duration::from_secs(1), Duration::from_secs(30)).await.unwrap().remove(0);
    assert!(held.body.len() < 1024 && held.attributes.is_empty());
    let found = LetterView::read(held.clone(), &rig.services().ledger).await;
    assert_eq!((found.class(), found.reason()), ("reject", reason.as_str()));
    assert_eq!(found.delivery.body, order.to_string().as_bytes(), "the ledger keeps it, byte for byte");
    assert_eq!(found.delivery.attributes["colour"].text(), Some("red"));
    let again = replayed(&found.delivery, found.letter(), &rig.rules().await, &ReplayOptions::default()).unwrap();
    assert_eq!(again.body, order.to_string().as_bytes());

    // Whoever moves it back, the handler sees the whole message.
    dlq.change_visibility(&[(held.receipt, 0)]).await.remove(0).unwrap();
    redrive(&rig).await;
    rig.until_called("work", 2).await;
    rig.emptied().await;
    let calls = rig.sink.calls("work");
    assert_eq!(calls[0].report["key"], calls[1].report["key"]);
    assert_eq!(calls[1].report["body"], order.to_string());
    assert_eq!(calls[1].report["attributes"]["colour"], "red");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_wait_past_its_queues_retention_and_keeps_its_place_is_dead_lettered() {
    let mut rig = Setup::probe().queue("jobs.fifo", |_| {}).without_host().await;
    rig.set("jobs.fifo", QueueAttributeName::MessageRetentionPeriod, "60").await;
    rig.start_host().await;
    rig.message(json!({ "do": "snooze", "ms": 56_000 })).group("a").send().await;
    let dead = rig.letter().await;
    rig.emptied().await;
    assert_eq!(dead.letter.class, "retention");
    assert!(dead.letter.reason.contains("1m") && dead.letter.reason.contains("snoozed"), "{}", dead.letter.reason);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_replay_runs_and_an_unchanged_one_sends_the_outbox_that_was_recorded() {
    let probe = Plugin::probe("probe").manifest("[retry]\nmax_attempts = 1");
    let rig = Setup::new().plugin(probe).queue("jobs", |_| {}).queue("out", |_| {}).start().await;
    let refuse = || {
        let refused = Effect::FailBefore { code: "InvalidMessageContents".into(), status: 400 };
        rig.sqs.faults().add(Fault::on("SendMessageBatch", refused).queue("out"));
    };
    let order = |name: &str| {
        let then = rig.sink.ask(name);
        let body = json!({ "do": "ask", "url": rig.sink.url("receipt") });
        json!({ "do": "outbox", "queue": "out", "kind": "probe", "body": body, "count": 1, "then": then })
    };
    for (key, edit) in [("unchanged", None), ("edited", Some(order("edited")))] {
        refuse();
        rig.message(order("work")).key(key).send().await;
        let dead = rig.letters_of("jobs", 1).await.remove(0);
        assert_eq!(dead.letter.class, "outbox", "{}", dead.letter.reason);
        rig.sqs.faults().clear();
        let how = ReplayOptions { body: edit.map(|order| order.to_string().into()), ..ReplayOptions::default() };
        let again = replayed(&dead.delivery, Some(&dead.letter), &rig.rules().await, &how).unwrap();
        rig.queue("jobs").await.send(&[again]).await.remove(0).unwrap();
        rig.emptied().await;
    }
    assert_eq!(rig.sink.count("work"), 2, "each of the two messages ran once");
    assert_eq!(rig.sink.count("edited"), 1, "the new body ran");
    assert_eq!(rig.sink.count("receipt"), 2, "each of them has its outbox");
    rig.end().await;
}

async fn a_plugin_waits_for_its_own_delay_whatever_another_one_says(broker: Broker) {
    let manifest = "[retry]\nmax_attempts = 2";
    let slow = Plugin::probe("slow").manifest(manifest);
    let rig = Setup::new().on(broker).plugin(slow).plugin(Plugin::probe("restless")).start().await;
    rig.sink.answers("slow", [json!({ "do": "retry", "reason": "in a while", "after_ms": 4000 })]);
    rig.sink.answers("restless", vec![json!({ "do": "snooze", "ms": 1000 }); 3]);
    rig.send(rig.sink.ask("{plugin}")).await;
    rig.emptied().await;
    let calls = rig.sink.calls("slow");
    assert_eq!(calls.len(), 2);
    assert!(calls[1].at - calls[0].at >= Duration::from_secs(4), "{:?}", calls[1].at - calls[0].at);
    assert_eq!(rig.sink.count("restless"), 4);
    assert!(rig.exits("backing-off") >= 1);
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    rig.end().await;
}
