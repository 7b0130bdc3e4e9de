//! The supervisor's short run: real hosts are killed, stopped and ended while they work, and their
//! connections cut.

use std::path::PathBuf;

use wasq_queues::Broker;
use wasq_tests::crash::{Options, Store, run};

fn options(broker: Broker, store: Store, hosts: usize, seed: u64) -> Options {
    let wasq = PathBuf::from(env!("CARGO_BIN_EXE_wasq"));
    Options { store, kills: 6, messages: 300, members: 0, permits: 16, hosts, seed, broker, wasq }
}

async fn check(options: Options) {
    let broker_can_die = options.broker != Broker::Sqs;
    let report = run(options, &|_| {}).await.unwrap_or_else(|error| panic!("{error:#}"));
    assert!(report.broken.is_empty(), "{report:#?}");
    assert!(report.kills.kill > 0 && report.starts >= report.messages, "{report:#?}");
    assert!(!broker_can_die || report.outages.broker_kills > 0, "another seed: {report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_killed_lose_nothing_with_a_local_ledger() {
    check(options(Broker::Sqs, Store::Local, 1, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_killed_lose_nothing_with_a_ledger_in_postgresql() {
    check(options(Broker::Sqs, Store::Postgres, 2, 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_killed_lose_nothing_with_a_ledger_in_redis() {
    check(options(Broker::Sqs, Store::Redis, 2, 3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_group_of_killed_hosts_is_followed_once_with_a_local_ledger() {
    check(Options { messages: 60, members: 5, ..options(Broker::Sqs, Store::Local, 1, 4) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_group_of_killed_hosts_is_followed_once_with_a_ledger_in_postgresql() {
    check(Options { messages: 60, members: 5, ..options(Broker::Sqs, Store::Postgres, 2, 5) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_killed_lose_nothing_on_rabbitmq_which_is_killed_too() {
    check(options(Broker::RabbitMq, Store::Postgres, 2, 6)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_killed_lose_nothing_on_redis_which_is_killed_too() {
    check(options(Broker::Redis, Store::Postgres, 2, 7)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_killed_lose_nothing_on_kafka_which_is_killed_too() {
    check(options(Broker::Kafka, Store::Postgres, 2, 8)).await;
}
