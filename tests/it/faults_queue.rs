//! The queue fails: calls hang, are refused, torn or doubled.

use std::time::Duration;

use serde_json::json;
use wasq::dlq::replayed_message::{ReplayOptions, replayed};
use wasq_local_sqs::{Effect, Fault};
use wasq_queues::Broker;

use crate::support::brokers::on_each_broker;
use crate::support::{Plugin, Setup, until, wat};

on_each_broker!(control_characters_in_a_reason_are_escaped_and_the_dead_letter_is_sent);

fn refused(code: &str, status: u16) -> Effect {
    Effect::FailBefore { code: code.into(), status }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receive_that_never_answers_times_out_and_polling_goes_on() {
    let setup =
        Setup::new().plugin(Plugin::component("probe", wat::done())).queue("jobs", |queue| queue.max_pollers = 1);
    let mut rig = setup.without_host().await;
    rig.sqs.faults().add(Fault::on("ReceiveMessage", Effect::Hang));
    rig.start_host().await;
    rig.message("x").send().await;
    // The wait of one second, and five more.
    until("readiness tells of the timeout", || async { rig.ready().await.1.contains("Timeout") }).await;
    // One that hangs now times out too.
    rig.sqs.faults().clear();
    rig.emptied().await;
    assert_eq!(rig.exits("done"), 1);
    assert_eq!(rig.ready().await.0, 200);
    rig.end().await;
}

async fn refused_receives(code: &str, status: u16) {
    let mut rig = Setup::new().plugin(Plugin::component("probe", wat::done())).without_host().await;
    rig.sqs.faults().add(Fault::on("ReceiveMessage", refused(code, status)));
    rig.start_host().await;
    let began = wasq_core::clock::now();
    let faults = rig.sqs.faults();
    faults.calls_reach("ReceiveMessage", 3).await;
    // Two waits of at least a second; the SDK repeats none of the calls by itself.
    assert!(began.elapsed() >= Duration::from_secs(2), "{code}: three calls in {:?}", began.elapsed());
    until("the answer has arrived", || async { rig.ready().await.0 == 503 }).await;
    let (_, reasons) = rig.ready().await;
    assert!(reasons.contains("queue jobs") && reasons.contains(code), "{code}: {reasons}");

    rig.message("x").send().await;
    faults.clear();
    rig.emptied().await;
    assert_eq!(rig.ready().await, (200, r#"{"ok":true,"reasons":[]}"#.to_owned()));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_receives_back_off_and_readiness_says_why_until_they_work() {
    let cases = [
        refused_receives("RequestThrottled", 403),
        refused_receives("InternalFailure", 500),
        refused_receives("AccessDeniedException", 403),
        refused_receives("KmsAccessDenied", 400),
    ];
    futures::future::join_all(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_delivered_twice_at_once_runs_once() {
    let mut rig = Setup::probe().without_host().await;
    rig.sqs.faults().add(Fault::on("ReceiveMessage", Effect::Duplicate).times(3));
    let held = rig.sink.hold("work");
    rig.send(rig.sink.ask("work")).await;
    rig.start_host().await;
    rig.until_called("work", 1).await;
    rig.sqs.faults().calls_reach("ReceiveMessage", 5).await;
    drop(held);
    rig.emptied().await;

    let calls = rig.sink.calls("work");
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].report["attempt"], 1);
    assert_eq!((rig.runs(), rig.exits("done")), (1, 1));
    assert_eq!(rig.sqs.faults().calls("DeleteMessageBatch"), 1, "the loser deletes nothing");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_delivered_again_after_done_is_deleted_without_a_run() {
    let mut rig = Setup::probe().queue("jobs", |queue| queue.visibility = Duration::from_secs(2)).without_host().await;
    rig.send(rig.sink.ask("work")).await;
    // No delete works, and the host ends: what it did is in its ledger only.
    rig.sqs.faults().add(Fault::on("DeleteMessageBatch", refused("AccessDeniedException", 403)));
    rig.start_host().await;
    rig.until_exits("done", 1).await;
    rig.stop_host().await;
    assert_ne!(rig.counts("jobs").await, (0, 0, 0));

    rig.sqs.faults().clear();
    rig.start_host().await;
    rig.emptied().await;
    assert_eq!(rig.sink.count("work"), 1);
    assert_eq!(rig.runs(), 0);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_whose_answer_is_lost_does_no_harm() {
    let rig = Setup::probe().start().await;
    rig.sqs.faults().add(
        Fault::on("DeleteMessageBatch", Effect::FailAfter { code: "InternalFailure".into(), status: 500 }).times(1),
    );
    rig.send(rig.sink.ask("work")).await;
    rig.emptied().await;
    rig.sqs.faults().calls_reach("DeleteMessageBatch", 2).await;
    assert_eq!(rig.sink.count("work"), 1);
    assert_eq!(rig.ready().await.0, 200);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_stops_the_guest_and_discards_its_outcome() {
    let rig = Setup::probe().queue("jobs", |queue| queue.visibility = Duration::from_secs(8)).start().await;
    let lost = Effect::FailEntries { places: vec![0], code: "ReceiptHandleIsInvalid".into() };
    rig.sqs.faults().add(Fault::on("ChangeMessageVisibilityBatch", lost).times(1));
    let held = rig.sink.hold("work");
    rig.send(rig.sink.ask("work")).await;
    rig.until_exits("lease-lost", 1).await;
    assert_eq!(rig.sqs.faults().calls("DeleteMessageBatch"), 0, "it touches nothing");
    // It comes again by itself, and the second run may end.
    rig.until_called("work", 2).await;
    drop(held);
    rig.emptied().await;
    assert_eq!((rig.runs(), rig.exits("done"), rig.exits("lease-lost")), (1, 1, 1), "the stopped run has no outcome");
    assert_eq!(rig.sink.calls("work")[1].report["attempt"], 2, "a lost lease counts");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_cannot_be_extended_is_lost_when_it_ends() {
    let rig = Setup::probe().queue("jobs", |queue| queue.visibility = Duration::from_secs(2)).start().await;
    rig.sqs.faults().add(Fault::on("ChangeMessageVisibilityBatch", refused("AccessDeniedException", 403)));
    rig.sink.answers("work", [json!({ "do": "sleep", "ms": 60_000 })]);
    rig.send(rig.sink.ask("work")).await;
    rig.until_exits("lease-lost", 1).await;
    rig.sqs.faults().clear();
    rig.emptied().await;
    assert_eq!((rig.sink.count("work"), rig.exits("done")), (2, 1));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_failed_entries_of_a_batch_are_tried_again() {
    let mut rig = Setup::probe().without_host().await;
    let failed = Effect::FailEntries { places: vec![0, 2], code: "InternalError".into() };
    rig.sqs.faults().add(Fault::on("DeleteMessageBatch", failed).times(2));
    let held = rig.sink.hold("work");
    for _ in 0..6 {
        rig.send(rig.sink.ask("work")).await;
    }
    rig.start_host().await;
    rig.until_called("work", 6).await;
    drop(held);
    rig.emptied().await;
    assert_eq!((rig.sink.count("work"), rig.exits("done"), rig.duplicates()), (6, 6, 0));
    assert!(rig.sqs.faults().calls("DeleteMessageBatch") >= 3);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_that_fails_once_is_tried_again() {
    let rig = Setup::probe().start().await;
    let failed = Effect::FailEntries { places: vec![0], code: "InternalError".into() };
    rig.sqs.faults().add(Fault::on("ChangeMessageVisibilityBatch", failed).times(1));
    rig.sink.answers("work", [json!({ "do": "retry", "reason": "once" })]);
    rig.send(rig.sink.ask("work")).await;
    rig.emptied().await;
    let calls = rig.sink.calls("work");
    assert!(calls[1].at - calls[0].at < Duration::from_secs(25), "not only when its visibility ends");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_stays_in_its_queue_while_its_dead_letter_cannot_be_sent() {
    let rig = Setup::probe().start().await;
    rig.sqs.faults().add(Fault::on("SendMessageBatch", refused("AccessDeniedException", 403)).queue("jobs-dlq"));
    rig.send(json!({ "do": "reject", "reason": "no" })).await;
    rig.until_exits("reject", 1).await;
    let (visible, in_flight, _) = rig.counts("jobs").await;
    assert_eq!((visible + in_flight, rig.counts("jobs-dlq").await), (1, (0, 0, 0)));
    rig.sqs.faults().clear();
    let dead = rig.letter().await;
    rig.emptied().await;
    assert_eq!((dead.letter.class.as_str(), dead.letter.attempts), ("reject", 1));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_garbled_receive_is_survived() {
    let rig = Setup::probe().queue("jobs", |queue| queue.visibility = Duration::from_secs(2)).start().await;
    rig.sqs.faults().add(Fault::on("ReceiveMessage", Effect::Garble).times(2));
    rig.send(rig.sink.ask("work")).await;
    rig.emptied().await;
    assert_eq!(rig.sink.count("work"), 1);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_room_for_its_envelope_is_dead_lettered_with_the_envelope_in_the_ledger() {
    let rig = Setup::probe().start().await;
    let order = json!({ "do": "reject", "reason": "too full" });
    let mut full = rig.message(&order);
    for place in 0..9 {
        full = full.attribute(&format!("a{place}"), "x");
    }
    full.send().await;
    let dead = rig.letter().await;
    assert_eq!(dead.delivery.attributes.len(), 10);
    assert!(!dead.delivery.attributes.contains_key("wasq"));
    assert_eq!((dead.letter.class.as_str(), dead.letter.reason.as_str()), ("reject", "too full"));

    // SQS counts the attribute too: its name, type and value.
    let room = 1024 * 1024 - "typeStringprobe".len();
    let mut long = order.to_string();
    long.push_str(&" ".repeat(room - long.len()));
    rig.message(&long).send().await;
    let dead = rig.letter().await;
    assert_eq!(dead.delivery.body.len(), room);
    assert!(!dead.delivery.attributes.contains_key("wasq"));
    assert_eq!((dead.letter.class.as_str(), dead.letter.reason.as_str()), ("reject", "too full"));
    rig.emptied().await;
    rig.end().await;
}

async fn control_characters_in_a_reason_are_escaped_and_the_dead_letter_is_sent(broker: Broker) {
    let rig = Setup::probe().on(broker).start().await;
    // As JSON escapes: SQS would refuse the characters themselves in the message already.
    let reason = r"nul \u0000, bell \u0007, colour \u001b[31m, \ufffe\uffff, line\nend \u202e";
    rig.message(format!(r#"{{"do":"reject","reason":"{reason}"}}"#)).send().await;
    let dead = rig.letter().await;
    rig.emptied().await;
    let said = &dead.letter.reason;
    assert_eq!(said, r"nul \u{0}, bell \u{7}, colour \u{1b}[31m, \u{fffe}\u{ffff}, line\nend \u{202e}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_or_a_type_that_sqs_would_refuse_does_not_keep_a_message_from_the_dlq() {
    let rig = Setup::new().plugin(Plugin::probe("probe").types(&["odd\u{ffff}"])).start().await;
    let body = r#"{"do":"reject","reason":"no","type":"odd\uffff","idempotency_key":"k\u0000\ufffe"}"#;
    rig.message(body).untyped().send().await;
    let dead = rig.letter().await;
    rig.emptied().await;
    assert_eq!(dead.letter.kind.as_deref(), Some("odd\u{ffff}"));
    assert_eq!(dead.letter.key.as_deref(), Some("k\0\u{fffe}"));
    let again = replayed(&dead.delivery, Some(&dead.letter), &rig.rules().await, &ReplayOptions::default()).unwrap();
    rig.queue("jobs").await.send(&[again]).await.remove(0).unwrap();
    assert_eq!(rig.letter().await.letter.key, dead.letter.key, "the replay has its key from its body");
    rig.end().await;
}
