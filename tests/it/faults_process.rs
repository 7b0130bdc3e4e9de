//! The process fails or ends: shutdown, crashes, panics, a ledger that is down.

use std::time::Duration;

use serde_json::json;
use wasq_core::message::{BodyDigest, Key, MessageId, MessageType};
use wasq_ledgers::local::LocalLedger;
use wasq_ledgers::{Claim, ClaimRequest, Ledger};
use wasq_queues::Broker;
use wasq_tests::brokers::visibility_min_s;

use crate::support::brokers::on_each_broker;
use crate::support::{Faulty, Plugin, Setup, Trouble, until};

on_each_broker!(
    shutdown_lets_what_runs_come_to_its_end,
    what_outlasts_the_drain_is_released_at_once_and_counts_no_attempt,
    a_message_that_crashed_its_host_three_times_is_dead_lettered_as_host_crash,
    a_host_task_that_panics_gives_its_permit_back,
    while_the_ledger_is_down_nothing_runs_and_nothing_is_acknowledged,
    an_outcome_that_cannot_be_recorded_is_not_acknowledged,
    a_completion_is_recorded_through_a_short_outage_without_another_run,
);

async fn shutdown_lets_what_runs_come_to_its_end(broker: Broker) {
    let mut rig = Setup::probe().on(broker).start().await;
    let held = rig.sink.hold("work");
    rig.send(rig.sink.ask("work")).await;
    rig.until_called("work", 1).await;
    let services = rig.services().clone();
    let host = rig.take_host();
    let stopping = tokio::spawn(host.shutdown(std::future::pending()));
    until("readiness says it", || async { services.health.ready().reasons == ["shutting down"] }).await;
    assert!(!stopping.is_finished());
    drop(held);
    stopping.await.unwrap();
    assert_eq!(rig.left("jobs").await, 0, "its delete was made before the host ended");
    assert_eq!(rig.sink.count("work"), 1);
    rig.end().await;
}

async fn what_outlasts_the_drain_is_released_at_once_and_counts_no_attempt(broker: Broker) {
    let mut rig = Setup::probe().on(broker).config(|config| config.drain_s = 1).start().await;
    let held = rig.sink.hold("work");
    rig.send(rig.sink.ask("work")).await;
    rig.until_called("work", 1).await;
    rig.stop_host().await;
    // Where a queue does not say it, that the next host has it at once does.
    if broker == Broker::Sqs {
        assert_eq!(rig.counts("jobs").await, (1, 0, 0), "visible again, long before its visibility of 30 s has ended");
    }
    assert_eq!(rig.left("jobs").await, 1);

    drop(held);
    rig.start_host().await;
    rig.emptied().await;
    let attempts: Vec<_> = rig.sink.calls("work").iter().map(|call| call.report["attempt"].clone()).collect();
    assert_eq!(attempts, [json!(1), json!(1)]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_cuts_the_drain_short() {
    let mut rig = Setup::probe().config(|config| config.drain_s = 3_600).start().await;
    let held = rig.sink.hold("work");
    rig.send(rig.sink.ask("work")).await;
    rig.until_called("work", 1).await;
    rig.take_host().shutdown(std::future::ready(())).await;
    assert_eq!(rig.counts("jobs").await, (1, 0, 0));
    drop(held);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_long_poll_brings_during_shutdown_is_released() {
    let setup = Setup::probe().queue("jobs", |queue| {
        queue.wait = Duration::from_secs(20);
        queue.visibility = Duration::from_secs(60);
        queue.max_pollers = 1;
    });
    let mut rig = setup.start().await;
    let held = rig.sink.hold("work");
    rig.send(rig.sink.ask("work")).await;
    rig.until_called("work", 1).await;
    rig.sqs.faults().calls_reach("ReceiveMessage", 2).await;
    let services = rig.services().clone();
    let host = rig.take_host();
    let stopping = tokio::spawn(host.shutdown(std::future::pending()));
    until("the shutdown has begun", || async { !services.health.ready().ok }).await;
    // As long as anything runs the open poll is read.
    rig.send(rig.sink.ask("late")).await;
    until("it was put back", || async { rig.sqs.faults().calls("ChangeMessageVisibilityBatch") >= 1 }).await;
    drop(held);
    stopping.await.unwrap();
    assert_eq!(rig.counts("jobs").await, (1, 0, 0));
    assert_eq!((rig.sink.count("work"), rig.sink.count("late")), (1, 0));
    rig.end().await;
}

async fn a_message_that_crashed_its_host_three_times_is_dead_lettered_as_host_crash(broker: Broker) {
    let mut rig = Setup::probe().on(broker).without_host().await;
    let order = rig.sink.ask("work");
    let id = rig.message(&order).key("k").send().await;
    let key = Key::of(&rig.config.scope, "probe", &MessageType("probe".into()), "k");
    let request = ClaimRequest {
        body: BodyDigest::of(order.to_string().as_bytes()),
        message_id: MessageId(id),
        lease: Duration::from_secs(30),
        is_redelivery: false,
    };
    for _ in 0..3 {
        // A host that died while the message ran leaves just this: a claim without a finish.
        let ledger = LocalLedger::open(&rig.ledger_dir()).unwrap();
        assert!(matches!(ledger.claim(key, &request).await.unwrap(), Claim::Fresh(_)));
        ledger.close();
    }
    rig.start_host().await;
    let dead = rig.letter().await;
    rig.emptied().await;
    assert_eq!(dead.letter.class, "host-crash");
    assert_eq!(dead.delivery.body, order.to_string().as_bytes());
    assert_eq!(rig.sink.count("work"), 0, "it does not run a fourth time");
    rig.end().await;
}

async fn a_host_task_that_panics_gives_its_permit_back(broker: Broker) {
    let visibility = Duration::from_secs(visibility_min_s(broker));
    let setup = Setup::probe().on(broker).queue("jobs", move |queue| {
        queue.concurrency = 1.into();
        queue.visibility = visibility;
    });
    let mut rig = setup.without_host().await;
    let ledger = Faulty::new(LocalLedger::open(&rig.ledger_dir()).unwrap(), Trouble::PanicOnce);
    rig.start_on(ledger).await;
    rig.send(rig.sink.ask("a")).await;
    rig.send(rig.sink.ask("b")).await;
    // With its only permit lost, the host would receive nothing any more.
    rig.emptied().await;
    assert_eq!((rig.sink.count("a"), rig.sink.count("b")), (1, 1));
    rig.end().await;
}

async fn while_the_ledger_is_down_nothing_runs_and_nothing_is_acknowledged(broker: Broker) {
    let mut rig = Setup::probe().on(broker).without_host().await;
    let ledger = Faulty::new(LocalLedger::open(&rig.ledger_dir()).unwrap(), Trouble::Down);
    for _ in 0..5 {
        rig.send(rig.sink.ask("work")).await;
    }
    rig.start_on(ledger.clone()).await;
    rig.until_exits("ledger-down", 1).await;
    let verdict = rig.services().health.ready();
    assert!(!verdict.ok && verdict.reasons[0].contains("no space left on device"), "{verdict:?}");
    // Nothing more is received either, so that receive counts do not grow.
    let received = rig.sqs.faults().calls("ReceiveMessage");
    let began = wasq_core::clock::now();
    until("some time has passed", || async { began.elapsed() > Duration::from_secs(3) }).await;
    assert!(rig.sqs.faults().calls("ReceiveMessage") <= received + 1);
    assert_eq!((rig.sink.count("work"), rig.left("jobs").await), (0, 5));

    ledger.set(Trouble::None);
    rig.emptied().await;
    assert_eq!(rig.sink.count("work"), 5);
    assert!(rig.sink.calls("work").iter().all(|call| call.report["attempt"] == 1));
    assert!(rig.services().health.ready().ok);
    rig.end().await;
}

async fn an_outcome_that_cannot_be_recorded_is_not_acknowledged(broker: Broker) {
    let probe = Plugin::probe("probe").manifest("timeout = '20s'");
    let visibility = Duration::from_secs(visibility_min_s(broker));
    let setup = Setup::new().on(broker).plugin(probe).queue("jobs", move |queue| queue.visibility = visibility);
    let setup = setup.config(|config| config.limits.settle_grace = Duration::from_secs(1));
    let mut rig = setup.without_host().await;
    let ledger = Faulty::new(LocalLedger::open(&rig.ledger_dir()).unwrap(), Trouble::DownAfterClaim);
    rig.send(rig.sink.ask("work")).await;
    rig.start_on(ledger.clone()).await;
    // The host asks the ledger again for as long as `settle_grace`.
    rig.until_exits("done", 1).await;
    assert_eq!(rig.left("jobs").await, 1);
    ledger.set(Trouble::None);
    rig.emptied().await;
    assert_eq!(rig.sink.count("work"), 2, "what is not recorded runs again");
    rig.end().await;
}

async fn a_completion_is_recorded_through_a_short_outage_without_another_run(broker: Broker) {
    let mut rig = Setup::probe().on(broker).without_host().await;
    let ledger = Faulty::new(LocalLedger::open(&rig.ledger_dir()).unwrap(), Trouble::DownAfterClaim);
    rig.send(rig.sink.ask("work")).await;
    rig.start_on(ledger.clone()).await;
    until("the ledger is known to be down", || async { rig.services().health.ledger_is_down() }).await;
    assert_eq!(rig.left("jobs").await, 1);
    ledger.set(Trouble::None);
    rig.emptied().await;
    assert_eq!((rig.sink.count("work"), rig.exits("done")), (1, 1));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_costs_its_own_message_and_no_other() {
    let mut rig = Setup::probe().without_host().await;
    let ledger = Faulty::new(LocalLedger::open(&rig.ledger_dir()).unwrap(), Trouble::DamagedOnce);
    rig.start_on(ledger).await;
    rig.send(json!({ "do": "done" })).await;
    let dead = rig.letter().await;
    assert_eq!(dead.letter.class, "ledger-damaged");
    assert!(dead.letter.reason.contains("`state`"), "{}", dead.letter.reason);
    assert_eq!(rig.ready().await.0, 200, "the ledger is not down");
    rig.send(json!({ "do": "done" })).await;
    rig.until_exits("done", 1).await;
    rig.emptied().await;
    rig.end().await;
}
