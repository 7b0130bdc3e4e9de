//! FIFO queues through failures: order within a group, and no waiting between groups. Groups
//! elsewhere are only passed on.

use std::time::Duration;

use serde_json::{Value, json};
use wasq::config::OnExhausted;
use wasq::dlq::Letter;
use wasq::host::Host;
use wasq_core::message::Delivery;
use wasq_local_sqs::{Effect, Fault};
use wasq_queues::Outgoing;

use crate::support::{Plugin, Rig, Setup, hosts};

const FIFO: &str = "jobs.fifo";

fn setup() -> Setup {
    Setup::probe().queue(FIFO, |queue| queue.visibility = Duration::from_secs(10))
}

/// Sends messages that ask by these names, of the group that the name's first letter says.
async fn send(rig: &Rig, names: &[&str]) {
    for name in names {
        rig.message(rig.sink.ask(name)).group(&name[..1]).send().await;
    }
}

fn reject(reason: &str) -> Value {
    json!({ "do": "reject", "reason": reason })
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_run_beside_each_other_and_within_a_group_one_at_a_time() {
    let mut rig = Setup::probe().queue(FIFO, |_| {}).without_host().await;
    let hold = rig.sink.hold("g1");
    send(&rig, &["g1", "g2", "h1", "i1", "h2", "i2", "h3"]).await;
    rig.start_host().await;
    rig.until_called("h3", 1).await;
    rig.until_called("i2", 1).await;
    rig.until_called("g1", 1).await;
    assert_eq!(rig.sink.count("g2"), 0, "it waits for the one before it");
    drop(hold);
    rig.emptied().await;
    assert_eq!(rig.sink.order(&["g1", "g2"]), ["g1", "g2"]);
    assert_eq!(rig.sink.order(&["h1", "h2", "h3"]), ["h1", "h2", "h3"]);
    assert_eq!(rig.sink.order(&["i1", "i2"]), ["i1", "i2"]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_host_leaves_its_groups_in_order() {
    let rig = setup().without_host().await;
    let hold = rig.sink.hold("g2");
    send(&rig, &["g1", "g2", "g3", "h1", "h2"]).await;
    let first = hosts::run(&rig, &hosts::local(&rig)).await;
    rig.until_called("g2", 1).await;
    rig.until_called("h2", 1).await;
    first.kill().await;
    drop(hold);
    let second = hosts::run(&rig, &hosts::local(&rig)).await;
    rig.emptied().await;
    let mut order = rig.sink.order(&["g1", "g2", "g3"]);
    order.dedup();
    assert_eq!(order, ["g1", "g2", "g3"]);
    assert_eq!(["g1", "g2", "g3"].map(|name| rig.sink.count(name)), [1, 2, 1], "only what ran is repeated");
    hosts::end(second).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_leaves_its_group_in_order() {
    let mut rig = setup().without_host().await;
    let refused = Effect::FailBefore { code: "AccessDeniedException".into(), status: 403 };
    rig.sqs.faults().add(Fault::on("ChangeMessageVisibilityBatch", refused));
    let hold = rig.sink.hold("g1");
    send(&rig, &["g1", "g2", "g3"]).await;
    rig.start_host().await;
    rig.until_exits("lease-lost", 1).await;
    rig.sqs.faults().clear();
    drop(hold);
    rig.emptied().await;
    let mut order = rig.sink.order(&["g1", "g2", "g3"]);
    assert_eq!(order.iter().filter(|name| *name != "g1").count(), 2, "{order:?}: none but the first was begun twice");
    order.dedup();
    assert_eq!(order, ["g1", "g2", "g3"]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_keep_the_order_of_their_group_and_the_group_goes_on() {
    let probe = Plugin::probe("probe").manifest("[retry]\nmax_attempts = 2\ninitial_interval = '0s'");
    let mut rig = Setup::new().plugin(probe).queue(FIFO, |_| {}).without_host().await;
    let failing = || json!({ "do": "retry", "reason": "again" });
    rig.sink.answers("g1", [failing(), failing()]);
    rig.sink.answers("g2", [reject("no")]);
    rig.sink.answers("g4", [failing(), failing()]);
    send(&rig, &["g1", "g2", "g3", "g4", "g5", "h1"]).await;
    rig.start_host().await;
    rig.emptied().await;
    assert_eq!(rig.sink.order(&["g1", "g2", "g3", "g4", "g5"]), ["g1", "g1", "g2", "g3", "g4", "g4", "g5"]);
    let dead = rig.letters(3).await;
    let names: Vec<_> = dead.iter().map(|dead| dead.delivery.body.clone()).collect();
    assert_eq!(names, ["g1", "g2", "g4"].map(|name| rig.sink.ask(name).to_string()));
    assert!(dead.iter().all(|dead| dead.delivery.group.as_deref() == Some("g")), "{dead:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_group_waits_for_its_message_and_others_go_on() {
    let probe =
        Plugin::probe("probe").manifest("[retry]\nmax_attempts = 1\ninitial_interval = '0s'\nmaximum_interval = '1s'");
    let setup = Setup::new().plugin(probe).queue(FIFO, |queue| queue.on_exhausted = OnExhausted::BlockGroup);
    let mut rig = setup.without_host().await;
    let retry = json!({ "do": "retry", "reason": "not yet" });
    let oh = json!({ "do": "panic", "message": "oh" });
    rig.sink.answers("g1", [reject("no"), retry, oh, reject("no"), rig.sink.ask("gate")]);
    let gate = rig.sink.hold("gate");
    send(&rig, &["g1", "g2", "g3", "h1", "h2"]).await;
    rig.start_host().await;
    rig.until_called("h2", 1).await;
    rig.until_called("g1", 5).await;
    assert_eq!((rig.sink.count("g2"), rig.counts("jobs-dlq.fifo").await), (0, (0, 0, 0)));
    drop(gate);
    // The fifth time it succeeds, although it had one attempt.
    rig.emptied().await;
    assert_eq!(rig.sink.order(&["g1", "g2", "g3"]), ["g1", "g1", "g1", "g1", "g1", "g2", "g3"]);
    let calls = rig.sink.calls("g1");
    assert!(calls[4].at - calls[0].at >= Duration::from_secs(3), "it comes again at the longest interval");
    assert_eq!(rig.counts("jobs-dlq.fifo").await, (0, 0, 0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standard_queue_that_shall_block_groups_is_refused() {
    let setup = Setup::probe().queue("jobs", |queue| queue.on_exhausted = OnExhausted::BlockGroup);
    let rig = setup.without_host().await;
    let Err(error) = Host::start(rig.config.clone()).await else { panic!("it must not start") };
    let said = error.to_string();
    for part in ["`jobs`", "no FIFO queue", "remove `on_exhausted = \"block-group\"`"] {
        assert!(said.contains(part), "{said}");
    }
    rig.end().await;
}

/// A standard queue's messages may have groups, by which SQS shares it fairly among tenants.
#[tokio::test(flavor = "multi_thread")]
async fn groups_of_standard_queues_are_passed_on() {
    let mut rig = Setup::probe().queue("jobs", |_| {}).queue("tenants", |_| {}).without_host().await;
    let outbox = json!({
        "do": "outbox", "queue": "tenants", "kind": "probe", "count": 1, "group": "tenant-9",
        "body": reject("of the outbox"), "then": { "do": "done" },
    });
    let jobs = rig.queue("jobs").await;
    let post = |body: &Value| Outgoing {
        body: body.to_string().into(),
        attributes: [("type".to_owned(), wasq_core::message::AttributeValue::string("probe"))].into(),
        delay_s: 0,
        group: Some("tenant-7".into()),
        deduplication_id: None,
    };
    for answer in jobs.send(&[post(&reject("as sent")), post(&outbox)]).await {
        answer.unwrap();
    }
    rig.start_host().await;
    for (queue, group) in [("jobs", "tenant-7"), ("tenants", "tenant-9")] {
        let dead = rig.letters_of(queue, 1).await.remove(0);
        let (Delivery { group: carried, .. }, Letter { group: said, .. }) = (dead.delivery, dead.letter);
        assert_eq!((carried.as_deref(), said.as_deref()), (Some(group), Some(group)), "{queue}");
    }
    rig.emptied().await;
    assert_eq!((rig.exits("done"), rig.exits("reject")), (1, 2));
    rig.end().await;
}
