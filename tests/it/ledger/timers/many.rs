//! Many timers that wait for later: what is due is taken all the same, and quickly.

use std::collections::BTreeSet;

use wasq_core::clock;
use wasq_ledgers::timers::{Set, When};

use super::{FAR, Hosts, TwoHosts, past, set, take, take_none, timer};
use crate::ledger::contract::LONG;

const WAITING: usize = 20_000;
const BATCH: usize = 500;
const DUE: usize = 700;

async fn many_that_wait_are_in_nobodys_way(hosts: Hosts) {
    let Hosts { one, other, .. } = &hosts;
    for batch in 0..WAITING / BATCH {
        let timers = (0..BATCH).map(|n| timer(&format!("waits {batch} {n}"), FAR));
        assert!(set(&**one, timers.collect()).await.iter().all(|set| *set == Set::New));
    }
    set(&**one, (0..DUE).map(|n| timer(&format!("due {n}"), past(n as u64))).collect()).await;
    let began = clock::now();
    let mut taken = BTreeSet::new();
    for host in [one, other].iter().cycle().take(7) {
        let due = take(&***host, LONG, 100).await;
        assert_eq!(due.taken.len(), 100);
        let ends: Vec<_> = due.taken.iter().map(|taken| (taken.id.clone(), taken.fence)).collect();
        taken.extend(due.taken.into_iter().map(|taken| taken.id));
        for answer in host.done_batch(&ends).await {
            assert!(answer.expect("it is ours"));
        }
    }
    assert_eq!(taken.len(), DUE);
    for _ in 0..100 {
        take_none(&**one).await;
    }
    // A machine under load; a look at all of them would take longer.
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    let counts = other.counts().await.expect("the store answers");
    assert!(counts.all == WAITING as u64 || counts.is_at_least && counts.all == 10_000, "{counts:?}");
    assert_eq!(counts.overdue, 0);
    let page = other.list(10, None).await.expect("the store answers");
    assert!(page.timers.len() == 10 && page.timers.iter().all(|timer| When::At(timer.due) == FAR));
    assert!(page.next.is_some());
}

#[tokio::test]
async fn in_the_local_store() {
    many_that_wait_are_in_nobodys_way(Hosts::new(TwoHosts::local().await)).await;
}

#[tokio::test]
async fn in_redis() {
    many_that_wait_are_in_nobodys_way(Hosts::new(TwoHosts::redis().await)).await;
}

#[tokio::test]
async fn in_postgresql() {
    many_that_wait_are_in_nobodys_way(Hosts::new(TwoHosts::postgres().await)).await;
}
