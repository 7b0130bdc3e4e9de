//! Plugins without a ledger: `idempotency.mode = "none"`.

use serde_json::json;
use wasq_ledgers::local::LocalLedger;
use wasq_queues::Broker;

use crate::support::brokers::on_each_broker;
use crate::support::{Faulty, Plugin, Setup, Trouble};

on_each_broker!(
    every_delivery_runs_and_no_ledger_is_asked,
    a_failure_is_repeated_as_often_as_the_message_was_received_and_dead_lettered_behind_the_last,
    what_a_host_had_in_hand_at_its_end_runs_on_the_next,
);

fn without_ledger(lines: &str) -> Setup {
    let lines = format!("[idempotency]\nmode = 'none'\n[retry]\ninitial_interval = '0s'\n{lines}");
    let bare = std::fs::read(wasq_tests::guest("bare")).unwrap();
    Setup::new().plugin(Plugin::component("bare", bare).without_queues().manifest(&lines))
}

async fn every_delivery_runs_and_no_ledger_is_asked(broker: Broker) {
    let mut rig = without_ledger("").on(broker).without_host().await;
    rig.start_on(Faulty::new(LocalLedger::open(&rig.ledger_dir()).unwrap(), Trouble::Down)).await;
    let order = rig.sink.ask("work");
    rig.message(&order).key("k").send().await;
    rig.message(&order).key("k").send().await;
    rig.message(rig.sink.ask("other")).key("k").send().await;
    rig.emptied().await;
    assert_eq!((rig.sink.count("work"), rig.sink.count("other")), (2, 1));
    assert_eq!((rig.exits("done"), rig.exits("conflict"), rig.duplicates()), (3, 0, 0));
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    rig.end().await;
}

async fn a_failure_is_repeated_as_often_as_the_message_was_received_and_dead_lettered_behind_the_last(broker: Broker) {
    let rig = without_ledger("max_attempts = 3").on(broker).start().await;
    let retry = json!({ "do": "retry", "reason": "not now" });
    rig.sink.answers("work", [retry.clone(), json!({ "do": "snooze", "ms": 0 }), retry]);
    rig.send(rig.sink.ask("work")).await;
    let dead = rig.letter().await;
    let attempts: Vec<_> = rig.sink.calls("work").iter().map(|call| call.report["attempt"].as_u64().unwrap()).collect();
    assert_eq!((attempts, dead.letter.attempts, dead.letter.class.as_str()), (vec![1, 2, 3], 3, "retry"));
    rig.emptied().await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_fails_and_says_why() {
    let rig = without_ledger("max_attempts = 1").start().await;
    let url = rig.sink.url("step");
    rig.send(json!({ "do": "step", "url": url })).await;
    let dead = rig.letter().await;
    assert!(dead.letter.reason.contains("idempotency.mode"), "{}", dead.letter.reason);
    assert_eq!(rig.sink.count("step"), 0, "what a step would keep is not done");
    rig.end().await;
}

async fn what_a_host_had_in_hand_at_its_end_runs_on_the_next(broker: Broker) {
    let setup = without_ledger("").on(broker).config(|config| config.drain_s = 0);
    let mut rig = setup.start().await;
    rig.sink.answers("work", [json!({ "do": "sleep", "ms": 25_000 })]);
    rig.send(rig.sink.ask("work")).await;
    rig.until_called("work", 1).await;
    rig.stop_host().await;
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    rig.start_host().await;
    rig.emptied().await;
    assert_eq!(rig.sink.count("work"), 2);
    rig.end().await;
}
