//! Letters whose message was too large for the DLQ. The ledger has the message, and the running
//! host gives it out.

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use super::{allow_redrive, dead, dlq, setup};
use crate::support::Rig;

/// A host whose DLQ takes 1 KiB.
async fn rig_with_small_dlq() -> Rig {
    let mut rig = setup().without_host().await;
    allow_redrive(&rig, 1000).await;
    let letters = rig.queue("jobs-dlq").await;
    let limit = rig.client.set_queue_attributes().queue_url(letters.url());
    limit.attributes(QueueAttributeName::MaximumMessageSize, "1024").send().await.unwrap();
    rig.start_host().await;
    rig
}

#[tokio::test]
async fn a_message_that_was_too_large_for_its_dlq_is_shown_exported_and_replayed_whole() {
    let rig = rig_with_small_dlq().await;
    rig.sink.answers("work", [json!({ "do": "reject", "reason": "no such order" })]);
    let mut order = rig.sink.ask("work");
    order["padding"] = json!("ü".repeat(50_000));
    let body = order.to_string();
    rig.message(&body).attribute("shop", "north").key("k").send().await;
    dead(&rig, 1).await;

    let listed = dlq(&rig, &["ls", "--json"]).check(0, &[]).await.json();
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!((&listed[0]["letter"]["reason"], &listed[0]["letter"]["key"]), (&json!("no such order"), &json!("k")));
    let shown = dlq(&rig, &["show", id, "--json"]).check(0, &[]).await.json();
    assert_eq!(shown["body"], body);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("letters.jsonl");
    dlq(&rig, &["export", "--output", file.to_str().unwrap()]).check(0, &["1 exported"]).await;
    let line: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!((&line["body"], &line["attributes"]["shop"]["value"]), (&json!(body), &json!("north")));

    dlq(&rig, &["replay", "--all"]).check(0, &["1 replayed, 0 failed again, 0 left"]).await;
    rig.emptied().await;
    let calls = rig.sink.calls("work");
    assert_eq!((calls.len(), &calls[1].report["body"]), (2, &json!(body)));
    assert_eq!(calls[0].report["key"], calls[1].report["key"], "a replay keeps its key");
    rig.end().await;
}

#[tokio::test]
async fn without_its_host_such_a_letter_says_where_its_message_is_and_stays() {
    let mut rig = rig_with_small_dlq().await;
    rig.send(json!({ "do": "reject", "reason": "no", "padding": "x".repeat(50_000) })).await;
    dead(&rig, 1).await;
    rig.stop_host().await;
    let said = ["1 left", "only stands for its message", "start the host whose ledger keeps the message"];
    dlq(&rig, &["replay", "--all"]).check(1, &said).await;
    dlq(&rig, &["replay", "--all", "--new-key"]).check(1, &said).await;
    assert_eq!(rig.counts("jobs-dlq").await, (1, 0, 0), "nothing was replaced by what stands for it");
    assert_eq!(rig.counts("jobs").await, (0, 0, 0));
    rig.end().await;
}
