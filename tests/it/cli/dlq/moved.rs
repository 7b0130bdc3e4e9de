//! Messages that SQS itself moved to the DLQ: they have no envelope.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::json;

use super::{allow_redrive, dlq, on_queue, setup};
use crate::support::Rig;

/// Receives what is in `jobs` until SQS moves it away.
async fn wear_out(rig: &Rig) {
    allow_redrive(rig, 1).await;
    let queue = rig.queue("jobs").await;
    while rig.counts("jobs").await != (0, 0, 0) {
        queue.receive(10, Duration::ZERO, Duration::ZERO).await.unwrap();
    }
}

#[tokio::test]
async fn messages_moved_by_sqs_are_replayed_under_their_keys() {
    let mut rig = setup().without_host().await;
    let plain = rig.message(rig.sink.ask("plain")).send().await;
    rig.message(rig.sink.ask("keyed")).key("its own").send().await;
    wear_out(&rig).await;
    let listed = dlq(&rig, &["ls", "--class", "moved-by-sqs", "--type", "probe", "--json"]).check(0, &[]).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    dlq(&rig, &["show", listed[0]["id"].as_str().unwrap()]).check(0, &["moved-by-sqs", "no envelope"]).await;

    // Without --queue they go to the DLQ's only source.
    allow_redrive(&rig, 1000).await;
    on_queue(&rig, &["replay", "--all"], &[]).check(0, &["2 replayed, 0 failed again, 0 left"]).await;
    let queue = rig.queue("jobs").await;
    let mut keys = Vec::new();
    for delivery in queue.receive(10, Duration::ZERO, Duration::from_secs(30)).await.unwrap() {
        keys.push(delivery.attributes.get("wasq-key").map(|key| key.text().unwrap().to_owned()));
        queue.change_visibility(&[(delivery.receipt, 0)]).await.remove(0).unwrap();
    }
    keys.sort();
    assert_eq!(keys, [None, Some(plain)], "a message without a key of its own keeps its message id as its key");
    rig.start_host().await;
    rig.emptied().await;
    assert_eq!((rig.sink.count("plain"), rig.sink.count("keyed")), (1, 1));
    rig.end().await;
}

#[tokio::test]
async fn with_several_sources_the_user_says_where_to() {
    let rig = setup().without_host().await;
    rig.send(json!({ "do": "done" })).await;
    wear_out(&rig).await;
    let arn = rig.queue("jobs-dlq").await.attributes().await.unwrap()["QueueArn"].clone();
    let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 9 }).to_string();
    rig.sqs.create_queue("other").await.unwrap();
    let set = rig.client.set_queue_attributes().queue_url(rig.queue("other").await.url());
    set.attributes(QueueAttributeName::RedrivePolicy, policy).send().await.unwrap();
    let said = ["several sources", "jobs", "other", "--to", "0 replayed"];
    on_queue(&rig, &["replay", "--all"], &[]).check(1, &said).await;
    dlq(&rig, &["replay", "--all", "--dry-run"]).check(0, &["1 would be replayed, to jobs"]).await;
    on_queue(&rig, &["replay", "--all", "--to", "other"], &[]).check(0, &["1 replayed"]).await;
    assert_eq!((rig.counts("other").await, rig.counts("jobs-dlq").await), ((1, 0, 0), (0, 0, 0)));
    rig.end().await;
}
