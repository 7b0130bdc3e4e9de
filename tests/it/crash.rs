//! The supervisor's short run: real hosts are killed, stopped and ended while they work, and their
//! connections cut.

use std::path::PathBuf;

use wasq_tests::crash::{Options, Store, run};

async fn check(store: Store, hosts: usize, seed: u64) {
    check_with(store, hosts, seed, 300, 0).await;
}

/// Each message opens a group of so many members.
async fn check_with(store: Store, hosts: usize, seed: u64, messages: usize, members: usize) {
    let wasq = PathBuf::from(env!("CARGO_BIN_EXE_wasq"));
    let options = Options { store, kills: 6, messages, members, permits: 16, hosts, seed, wasq };
    let report = run(options, &|_| {}).await.unwrap_or_else(|error| panic!("{error:#}"));
    assert!(report.broken.is_empty(), "{report:#?}");
    assert!(report.kills.kill > 0 && report.starts >= report.messages, "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_killed_lose_nothing_with_a_local_ledger() {
    check(Store::Local, 1, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_killed_lose_nothing_with_a_ledger_in_postgresql() {
    check(Store::Postgres, 2, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_killed_lose_nothing_with_a_ledger_in_redis() {
    check(Store::Redis, 2, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_group_of_killed_hosts_is_followed_once_with_a_local_ledger() {
    check_with(Store::Local, 1, 4, 60, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_group_of_killed_hosts_is_followed_once_with_a_ledger_in_postgresql() {
    check_with(Store::Postgres, 2, 5, 60, 5).await;
}
