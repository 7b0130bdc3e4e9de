//! Which handlers a message reaches.

use std::time::Duration;

use serde_json::json;
use wasq_queues::Broker;

use crate::support::brokers::on_each_broker;
use crate::support::{Plugin, Setup};

on_each_broker!(
    a_typed_message_reaches_its_handler_and_is_deleted,
    every_handler_of_a_type_runs_and_a_retry_runs_only_the_one_that_failed,
);

async fn a_typed_message_reaches_its_handler_and_is_deleted(broker: Broker) {
    let rig = Setup::probe().on(broker).start().await;
    let order = rig.sink.ask("work");
    let id = rig.message(&order).attribute("colour", "red").binary("raw", "Binary.x", &[0, 255]).send().await;
    rig.emptied().await;

    let calls = rig.sink.calls("work");
    assert_eq!(calls.len(), 1);
    let report = &calls[0].report;
    assert_eq!(report["kind"], "probe");
    assert_eq!(report["id"], id);
    assert_eq!(report["attempt"], 1);
    assert_eq!(report["body"], order.to_string());
    assert_eq!(report["content_type"], "application/json");
    assert_eq!(report["attributes"]["colour"], "red");
    assert_eq!(report["attributes"]["raw"], "binary [0, 255]");
    assert_eq!(report["key"].as_str().unwrap().len(), 64);
    assert_eq!((rig.runs(), rig.exits("done")), (1, 1));
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    rig.end().await;
}

async fn every_handler_of_a_type_runs_and_a_retry_runs_only_the_one_that_failed(broker: Broker) {
    let setup = Setup::new()
        .on(broker)
        .plugin(Plugin::probe("good"))
        .plugin(Plugin::probe("bad"))
        .plugin(Plugin::probe("other").types(&["x"]));
    let rig = setup.start().await;
    rig.sink.answers("bad", [json!({ "do": "retry", "reason": "once" })]);
    let held = rig.sink.hold("bad");
    rig.send(rig.sink.ask("{plugin}")).await;
    rig.until_exits("done", 1).await;
    assert_eq!(rig.counts("jobs").await, (0, 1, 0), "it stays as long as one handler is not done");
    drop(held);
    rig.emptied().await;

    assert_eq!((rig.sink.count("good"), rig.sink.count("bad"), rig.sink.count("other")), (1, 2, 0));
    let attempts: Vec<_> = rig.sink.calls("bad").iter().map(|call| call.report["attempt"].clone()).collect();
    assert_eq!(attempts, [json!(1), json!(2)]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_may_have_a_default_type() {
    let rig = Setup::probe().queue("jobs", |queue| queue.default_type = Some("probe".into())).start().await;
    rig.message(rig.sink.ask("work")).untyped().send().await;
    rig.emptied().await;
    assert_eq!(rig.sink.calls("work")[0].report["kind"], "probe");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_runs_no_more_at_once_than_its_manifest_says() {
    let setup = Setup::new()
        .plugin(Plugin::probe("narrow").manifest("max_concurrency = 2"))
        .plugin(Plugin::probe("wide").types(&["wide"]))
        .config(|config| config.limits.permit_wait = Duration::from_millis(100));
    let rig = setup.start().await;
    let held = rig.sink.hold("narrow");
    for _ in 0..6 {
        rig.send(rig.sink.ask("narrow")).await;
    }
    rig.until_called("narrow", 2).await;
    rig.until_exits("no-permit", 4).await;
    // The saturated type leaves the others their permits.
    for _ in 0..6 {
        rig.message(rig.sink.ask("wide")).kind("wide").send().await;
    }
    rig.until_called("wide", 6).await;
    drop(held);
    rig.emptied().await;

    assert_eq!((rig.sink.count("narrow"), rig.sink.most_open("narrow")), (6, 2));
    let attempts = rig.sink.calls("narrow");
    assert!(attempts.iter().all(|call| call.report["attempt"] == 1), "waiting for a permit is no attempt");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_queue_keeps_the_order_of_a_group_through_a_failure() {
    let mut rig = Setup::probe().queue("jobs.fifo", |_| {}).without_host().await;
    rig.sink.answers("g1", [json!({ "do": "retry", "reason": "once", "after_ms": 1000 }), rig.sink.ask("gate")]);
    let gate = rig.sink.hold("gate");
    for (name, group) in [("g1", "g"), ("g2", "g"), ("g3", "g"), ("h1", "h"), ("h2", "h")] {
        rig.message(rig.sink.ask(name)).group(group).send().await;
    }
    rig.start_host().await;
    rig.until_called("h2", 1).await;
    assert_eq!(rig.sink.count("g2"), 0, "it waits for the one before it");
    drop(gate);
    rig.emptied().await;

    let all = |names: &[&str]| {
        let mut calls: Vec<_> = names
            .iter()
            .flat_map(|name| rig.sink.calls(name).into_iter().map(|call| (call.at, (*name).to_owned())))
            .collect();
        calls.sort();
        calls
    };
    let names =
        |calls: Vec<(tokio::time::Instant, String)>| calls.into_iter().map(|(_, name)| name).collect::<Vec<_>>();
    assert_eq!(names(all(&["g1", "g2", "g3"])), ["g1", "g1", "g2", "g3"]);
    assert_eq!(names(all(&["h1", "h2"])), ["h1", "h2"]);
    assert!(all(&["h2"])[0].0 < all(&["g2"])[0].0, "the other group does not wait for the one that failed");
    rig.end().await;
}
