//! What the promise rests on: keys, leases, and many messages at once.

use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use futures::StreamExt;
use serde_json::json;
use wasq_queues::Broker;

use crate::support::brokers::on_each_broker;
use crate::support::{Plugin, Rig, Setup, until};

on_each_broker!(the_same_key_runs_once, of_many_messages_with_duplicates_none_is_lost_and_none_runs_twice,);

async fn the_same_key_runs_once(broker: Broker) {
    let rig = Setup::probe().on(broker).start().await;
    let order = rig.sink.ask("work");
    rig.message(&order).key("k").send().await;
    rig.emptied().await;
    rig.message(&order).key("k").send().await;
    rig.message(&order).key("another").send().await;
    rig.emptied().await;
    assert_eq!(rig.sink.count("work"), 2);
    assert_eq!(rig.duplicates(), 1);
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifests_key_template_comes_before_the_message_s_own_key() {
    let probe = Plugin::probe("probe").manifest("[idempotency]\nkey = 'receipt:{/order_id}'");
    let rig = Setup::new().plugin(probe).start().await;
    let order = |id: &str| {
        let mut order = rig.sink.ask("work");
        order["order_id"] = json!(id);
        order
    };
    rig.message(order("A-1")).key("x").send().await;
    rig.emptied().await;
    rig.message(order("A-1")).key("y").send().await;
    rig.message(order("A-2")).key("x").send().await;
    rig.emptied().await;
    assert_eq!(rig.sink.count("work"), 2, "one for each order");
    assert_eq!(rig.duplicates(), 1);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_extended_for_a_handler_longer_than_the_visibility() {
    let rig = Setup::probe().queue("jobs", |queue| queue.visibility = Duration::from_secs(10)).start().await;
    rig.sink.answers("work", [json!({ "do": "sleep", "ms": 12_000 })]);
    rig.send(rig.sink.ask("work")).await;
    rig.emptied().await;
    assert_eq!(rig.sink.count("work"), 1);
    assert_eq!((rig.runs(), rig.exits("done"), rig.exits("busy")), (1, 1, 0));
    assert!(rig.sqs.faults().calls("ChangeMessageVisibilityBatch") >= 2);
    rig.end().await;
}

/// How many messages go through the whole flow; a tenth of them is sent twice.
fn messages() -> usize {
    let set = std::env::var("WASQ_TEST_MESSAGES");
    set.map_or(2_000, |text| text.parse().expect("WASQ_TEST_MESSAGES is a number"))
}

async fn of_many_messages_with_duplicates_none_is_lost_and_none_runs_twice(broker: Broker) {
    // A duplicate that comes while its twin runs waits until its lease has ended.
    let rig = Setup::probe().on(broker).queue("jobs", |queue| queue.visibility = Duration::from_secs(20)).start().await;
    let count = messages();
    let keys = (0..count).chain((0..count).step_by(10)).collect::<Vec<_>>();
    let batches: Vec<_> = keys.chunks(10).map(|keys| send_batch(&rig, keys)).collect();
    futures::stream::iter(batches).buffer_unordered(16).collect::<Vec<()>>().await;
    let settled = || rig.exits("done") + rig.duplicates();
    while settled() < keys.len() as u64 {
        let before = settled();
        until("one more is settled", || async { settled() > before }).await;
    }
    rig.emptied().await;

    let calls = rig.sink.calls("work");
    let ran: HashSet<_> = calls.iter().map(|call| call.report["key"].as_str().unwrap().to_owned()).collect();
    assert_eq!((ran.len(), calls.len()), (count, count));
    assert_eq!(rig.exits("done"), count as u64);
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    rig.end().await;
}

async fn send_batch(rig: &Rig, keys: &[usize]) {
    let text = |value: &str| MessageAttributeValue::builder().data_type("String").string_value(value).build().unwrap();
    let entries = keys.iter().enumerate().map(|(place, key)| {
        SendMessageBatchRequestEntry::builder()
            .id(place.to_string())
            .message_body(rig.sink.ask("work").to_string())
            .message_attributes("type", text("probe"))
            .message_attributes("idempotency-key", text(&key.to_string()))
            .build()
            .unwrap()
    });
    let url = format!("{}/000000000000/jobs", rig.sqs.endpoint_url());
    let sent =
        rig.client.send_message_batch().queue_url(url).set_entries(Some(entries.collect())).send().await.unwrap();
    assert!(sent.failed.is_empty(), "{:?}", sent.failed);
}
