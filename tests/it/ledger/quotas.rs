//! The cases that the quotas of every store pass, with two hosts.

use std::sync::Arc;

use wasq::quotas::QuotaStore;
use wasq::quotas::pool_document::{Need, Observed};
use wasq::quotas::rate_document::{Pace, Taken};
use wasq_core::clock::{Clock, SystemClock};
use wasq_ledgers::Ledger;

use super::contract::new_key;
use super::two_hosts::TwoHosts;

/// Two hosts' quotas in one store, and what has to outlive them.
pub struct Hosts {
    one: QuotaStore,
    other: QuotaStore,
    _kept: Option<tempfile::TempDir>,
}

impl Hosts {
    fn new(TwoHosts { one, other, kept }: TwoHosts) -> Self {
        let service = new_key().to_hex();
        let quotas = |ledger: &Arc<dyn Ledger>, host: &str| {
            let store = QuotaStore::of(&**ledger, &service, Arc::new(SystemClock), host.to_owned());
            store.expect("it keeps documents")
        };
        Self { one: quotas(&one, "one"), other: quotas(&other, "other"), _kept: kept }
    }
}

/// Makes a module with a test of each case for each store.
macro_rules! quota_contract {
    ($($case:ident)*) => {
        quota_contract! { @store contract_of_local, local; $($case)* }
        quota_contract! { @store contract_of_redis, redis; $($case)* }
        quota_contract! { @store contract_of_postgres, postgres; $($case)* }
        quota_contract! { @store contract_of_dynamodb_on_moto, moto; $($case)* }
        quota_contract! { @store contract_of_dynamodb_on_dynalite, dynalite; $($case)* }
    };
    (@store $store:ident, $open:ident; $($case:ident)*) => {
        mod $store {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::ledger::contract::run(|| async {
                    let hosts = super::Hosts::new(super::TwoHosts::$open().await);
                    super::$case(&hosts).await;
                })
                .await;
            }
        )*}
    };
}

quota_contract! {
    hosts_that_take_slots_at_once_never_take_the_same
    each_key_of_a_rate_has_slots_of_its_own
    a_slow_rate_says_to_the_other_host_when_its_next_slot_is
    hosts_that_lease_a_pool_at_once_never_have_more_than_there_is
    what_is_given_back_is_there_for_the_other_host
}

/// The times of the slots that a host takes, in nanoseconds since 1970.
async fn take(host: &QuotaStore, rate: &str, pace: Pace, slots: u32) -> Vec<u64> {
    let clock = SystemClock;
    let (before_ms, before) = (clock.unix_ms().0, clock.now());
    // A busy machine does not answer in time; what was taken then is lost.
    let mut tries = 0;
    let (taken, at) = loop {
        match host.take_slots(rate, pace, slots).await {
            Ok(taken) => break taken,
            Err(error) if tries == 5 => panic!("{error}"),
            Err(_late) => tries += 1,
        }
    };
    let Taken::Slots { first_in, count, .. } = taken else { return Vec::new() };
    let first_ns = before_ms * 1_000_000 + (at - before + first_in).as_nanos() as u64;
    (0..u64::from(count)).map(|n| first_ns + n * pace.interval.as_nanos() as u64).collect()
}

fn pace(limit: &str) -> Pace {
    Pace::new(limit.parse().expect("a rate"), 1)
}

pub async fn hosts_that_take_slots_at_once_never_take_the_same(hosts: &Hosts) {
    let pace = pace("25/s");
    let takes = async |host, first: u32| {
        let mut taken = Vec::new();
        for n in first..first + 8 {
            taken.extend(take(host, "r", pace, 1 + n % 2).await);
        }
        taken
    };
    let (mut all, of_other) = tokio::join!(takes(&hosts.one, 0), takes(&hosts.other, 2));
    all.extend(of_other);
    all.sort_unstable();
    assert!(all.len() >= 16, "{all:?}");
    // Two clocks are read one after the other, and a busy machine may come between them.
    let slack_ns = 30_000_000;
    let apart = all.windows(2).all(|pair| pair[1] + slack_ns >= pair[0] + pace.interval.as_nanos() as u64);
    assert!(apart, "two slots are closer than the interval: {all:?}");
}

pub async fn each_key_of_a_rate_has_slots_of_its_own(hosts: &Hosts) {
    for key in ["r", "r/=tenant 1", "r/=tenant 2", "r/-"] {
        assert_eq!(take(&hosts.one, key, pace("1/h"), 5).await.len(), 1, "{key}");
        assert_eq!(take(&hosts.other, key, pace("1/h"), 5).await.len(), 0, "{key}");
    }
}

pub async fn a_slow_rate_says_to_the_other_host_when_its_next_slot_is(hosts: &Hosts) {
    assert_eq!(take(&hosts.one, "r", pace("1/m"), 1).await.len(), 1);
    let (taken, _) = hosts.other.take_slots("r", pace("1/m"), 1).await.expect("the store answers");
    let Taken::Later { usable_in, hosts, .. } = taken else { panic!("{taken:?}") };
    assert!((50..=60).contains(&usable_in.as_secs()) && hosts == 2, "{taken:?}");
}

/// Leases what the host wants, of which it has nothing so far.
async fn lease(host: &QuotaStore, leased: usize, wants: usize) -> usize {
    let need = || Need { leased, wants };
    let (part, _) =
        host.lease("p", 10, &mut Observed::default(), true, need, |permits| permits).await.expect("it answers");
    part.permits
}

pub async fn hosts_that_lease_a_pool_at_once_never_have_more_than_there_is(hosts: &Hosts) {
    for _ in 0..5 {
        let (one, other) = tokio::join!(lease(&hosts.one, 0, 8), lease(&hosts.other, 0, 8));
        assert!((8..=10).contains(&(one + other)), "{one} and {other} of 10");
        let document = hosts.one.holders("p").await.expect("it answers");
        assert_eq!(document.hosts.values().map(|lease| lease.permits).sum::<usize>(), one + other);
        tokio::join!(lease(&hosts.one, one, 0), lease(&hosts.other, other, 0));
        tokio::join!(lease(&hosts.one, 0, 0), lease(&hosts.other, 0, 0));
    }
}

pub async fn what_is_given_back_is_there_for_the_other_host(hosts: &Hosts) {
    assert_eq!(lease(&hosts.one, 0, 20).await, 10);
    assert_eq!(lease(&hosts.other, 0, 4).await, 0);
    // It learns that the other waits, and gives up what that one has a right to.
    assert_eq!(lease(&hosts.one, 10, 20).await, 5);
    assert_eq!(lease(&hosts.other, 0, 4).await, 4);
    assert_eq!(lease(&hosts.one, 5, 0).await, 5, "nobody waits for it now");
    assert_eq!(lease(&hosts.one, 0, 0).await, 0);
    assert_eq!(lease(&hosts.other, 4, 20).await, 10);
}
