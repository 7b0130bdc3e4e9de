use futures::FutureExt;

use super::*;

const HOST: u32 = 8;

fn permits() -> Permits {
    Permits::new(&Limits { max_instances: HOST, ..Limits::default() })
}

fn semaphore(permits: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits))
}

/// Runs of a plugin with permits enough of its own, as many as get theirs at once; and one that
/// waits.
fn fill<'h>(host: &'h Permits, pools: &'h [Arc<Semaphore>], priority: Priority) -> (Vec<RunPermits>, Waiting<'h>) {
    let mut running = Vec::new();
    loop {
        let own = semaphore(1);
        let wait =
            async move { host.acquire(Needs { own: &own, alone: None, pools, fleet: &[], priority, queue: 0 }).await };
        let mut waiting: Waiting<'_> = Box::pin(wait);
        match (&mut waiting).now_or_never() {
            Some(permits) => running.push(permits),
            None => return (running, waiting),
        }
    }
}

type Waiting<'h> = futures::future::BoxFuture<'h, RunPermits>;

#[test]
fn each_priority_has_its_share_of_the_host() {
    for (priority, expect) in [(Priority::Low, 4), (Priority::Normal, 6), (Priority::High, 8)] {
        let host = permits();
        let (running, _waiting) = fill(&host, &[], priority);
        assert_eq!(running.len(), expect, "{priority:?}");
        assert_eq!(host.usage(), Usage { busy: expect, limit: HOST as usize });
    }
}

#[test]
fn the_smallest_host_runs_each_priority() {
    for priority in [Priority::Low, Priority::Normal, Priority::High] {
        let host = Permits::new(&Limits { max_instances: 1, ..Limits::default() });
        assert_eq!(fill(&host, &[], priority).0.len(), 1, "{priority:?}");
    }
}

#[test]
fn what_waits_at_low_priority_leaves_the_rest_to_normal_and_that_to_high() {
    let host = permits();
    let (low, _low_waits) = fill(&host, &[], Priority::Low);
    let more_wait: Vec<_> = (0..20).map(|_| fill(&host, &[], Priority::Low).1).collect();
    let (normal, _normal_waits) = fill(&host, &[], Priority::Normal);
    let (high, _high_waits) = fill(&host, &[], Priority::High);
    assert_eq!((low.len(), normal.len(), high.len()), (4, 2, 2), "{} wait", more_wait.len());
}

#[test]
fn what_waits_for_room_on_the_host_keeps_no_pool_from_others() {
    let (host, pool) = (permits(), [semaphore(1)]);
    let (_low, _) = fill(&host, &[], Priority::Low);
    let (none, _low_waits) = fill(&host, &pool, Priority::Low);
    assert!(none.is_empty());
    assert_eq!(fill(&host, &pool, Priority::Normal).0.len(), 1, "the pool's permit is free");
}

#[test]
fn what_waits_for_its_pool_keeps_no_room_on_the_host_from_others() {
    let (host, pool) = (permits(), [semaphore(1)]);
    let (one, _waits) = fill(&host, &pool, Priority::Low);
    let more_wait: Vec<_> = (0..20).map(|_| fill(&host, &pool, Priority::Low).1).collect();
    assert_eq!((one.len(), fill(&host, &[], Priority::Low).0.len()), (1, 3), "{} wait", more_wait.len());
}

#[test]
fn who_waits_goes_on_when_the_last_of_what_it_needs_is_free() {
    let (host, pool) = (permits(), [semaphore(1)]);
    let (pooled, mut waiting) = fill(&host, &pool, Priority::Low);
    let (low, _) = fill(&host, &[], Priority::Low);
    drop(pooled);
    let (taken, _) = fill(&host, &[], Priority::Low);
    assert!((&mut waiting).now_or_never().is_none(), "its pool has room, and the host has none at its priority");
    assert_eq!(pool[0].available_permits(), 1);
    drop((low, taken));
    let permits = (&mut waiting).now_or_never().expect("there is room");
    assert_eq!((permits.held.len(), pool[0].available_permits(), host.usage().busy), (5, 0, 1));
    drop(permits);
    assert_eq!((pool[0].available_permits(), host.usage().busy), (1, 0), "it gives all back");
}

#[test]
fn a_plugin_runs_so_often_at_once_as_it_may_and_one_by_one_where_it_must() {
    let (host, own, one) = (permits(), semaphore(2), semaphore(1));
    let acquire = |alone| {
        let needs = Needs { own: &own, alone, pools: &[], fleet: &[], priority: Priority::High, queue: 0 };
        host.acquire(needs).now_or_never()
    };
    let first = acquire(None).expect("two may run");
    let second = acquire(Some(&one)).expect("and the first alone");
    assert!(acquire(None).is_none(), "not three");
    drop(first);
    assert!(acquire(Some(&one)).is_none(), "not two of those that take turns");
    drop(second);
    assert!(acquire(Some(&one)).is_some());
    assert_eq!(host.usage().busy, 0);
}

#[test]
fn pools_say_how_full_they_are() {
    let pools = Pools::new(&[("a".to_owned(), 1.into()), ("b".to_owned(), 2.into())].into());
    let b = pools.of(&["b".to_owned()]).0.remove(0);
    let _permit = b.try_acquire().unwrap();
    let usage: Vec<_> = pools.usage().collect();
    assert_eq!(usage, [("a", Usage { busy: 0, limit: 1 }), ("b", Usage { busy: 1, limit: 2 })]);
}

#[test]
fn pools_are_shared_by_name_and_those_that_nobody_sized_are_named_and_take_none_away() {
    let pools = Pools::new(&[("a".to_owned(), 1.into()), ("b".to_owned(), 2.into())].into());
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let (first, unsized_names) = pools.of(&names(&["b", "a", "b"]));
    assert_eq!(unsized_names, names(&[]));
    assert_eq!(first.iter().map(|pool| pool.available_permits()).collect::<Vec<_>>(), [1, 2]);
    let (some, unsized_names) = pools.of(&names(&["d", "a", "c"]));
    assert_eq!((some.len(), unsized_names), (1, names(&["c", "d"])));
    assert!(Arc::ptr_eq(&first[0], &some[0]));
}
