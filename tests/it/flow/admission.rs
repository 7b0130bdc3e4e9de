//! Who may run when room is short: priorities, what takes turns, and what is given back at the end.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use wasq_local_sqs::{Effect, Fault};
use wasq_tests::hostile::{Bench, guests};

use crate::support::{Plugin, Setup, until};

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_wait_at_low_priority_leave_room_to_others() {
    let plugin = |name, lines| Plugin::probe(name).types(&[name]).manifest(lines);
    let setup = Setup::new()
        .plugin(plugin("low", "priority = 'low'"))
        .plugin(plugin("normal", ""))
        .plugin(plugin("high", "priority = 'high'"))
        .config(|config| {
            config.limits.max_instances = 8;
            config.limits.permit_wait = Duration::from_secs(60);
        });
    let rig = setup.start().await;
    let holds = ["low", "normal", "high"].map(|name| rig.sink.hold(name));
    for name in ["low", "normal", "high"] {
        for _ in 0..10 {
            rig.message(rig.sink.ask(name)).kind(name).send().await;
        }
        let in_hand = || rig.host().runtimes()[0].keeper.in_progress();
        until(&format!("all of {name} are in hand"), || async { in_hand() % 10 == 0 && in_hand() > 0 }).await;
        let room = if name == "low" { 4 } else { 2 };
        rig.until_called(name, room).await;
    }
    drop(holds);
    rig.emptied().await;
    assert_eq!(["low", "normal", "high"].map(|name| rig.sink.most_open(name) >= 2), [true; 3]);
    assert_eq!((rig.sink.most_open("low"), rig.exits("done"), rig.exits("no-permit")), (4, 30, 0));
    rig.end().await;
}

fn endless(bench: &Bench, timeout: Duration) -> wasq::plugins::Plugin {
    let guest = guests().into_iter().find(|guest| guest.name == "loop").expect("there is a guest named loop");
    bench.load("loop", &guest.component, timeout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_dropped_keeps_its_permits_until_its_instance_is_gone() {
    let bench = Bench::new(1).unwrap();
    let endless = endless(&bench, Duration::from_secs(60));
    for _ in 0..20 {
        // There is one instance in all: a run that came too early would end with an error.
        let run = tokio::time::timeout(Duration::from_millis(30), bench.run(&endless)).await;
        assert!(run.is_err(), "{run:?}");
    }
    until("the last one has given its permits back", || async { bench.permits.usage().busy == 0 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_run_that_computed_until_its_timeout_the_next_go_one_by_one() {
    const TIMEOUT: Duration = Duration::from_millis(100);
    let bench = std::sync::Arc::new(Bench::new(8).unwrap());
    let endless = std::sync::Arc::new(endless(&bench, TIMEOUT));
    assert_eq!(bench.run(&endless).await.exit.class(), "timeout");
    let began = wasq_core::clock::now();
    let mut runs = JoinSet::new();
    for _ in 0..4 {
        let (bench, endless) = (bench.clone(), endless.clone());
        runs.spawn(async move { bench.run(&endless).await.exit.class() });
    }
    assert_eq!(runs.join_all().await, ["timeout"; 4]);
    assert!(began.elapsed() >= 4 * TIMEOUT, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_ends_confirms_its_deletes_whoever_else_has_its_queues() {
    let mut rig = Setup::probe().start().await;
    rig.sqs.faults().add(Fault::on("DeleteMessageBatch", Effect::Delay(Duration::from_millis(2_500))));
    rig.send(json!({ "do": "done" })).await;
    rig.until_exits("done", 1).await;
    // As an answer of the admin port that nobody reads has it.
    let source = rig.host().source();
    rig.stop_host().await;
    assert_eq!(rig.counts("jobs").await, (0, 0, 0));
    drop(source);
    rig.end().await;
}
