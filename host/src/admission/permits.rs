//! Permits: how much may run at once, over the whole host, for one plugin, and in the pools that
//! plugins share.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::config::Limits;

/// What the host runs at once. Work of lower priority leaves a part of it free, so that more
/// important work finds room.
pub struct Permits {
    limit: usize,
    all: Arc<Semaphore>,
    /// All but a quarter: normal and low.
    normal: Arc<Semaphore>,
    /// A half: low.
    low: Arc<Semaphore>,
}

/// Which plugin's messages get a free permit first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    High,
    #[default]
    Normal,
    Low,
}

/// Pools of permits by name, sized by the operator and shared across plugins.
#[derive(Clone, Default)]
pub struct Pools(BTreeMap<String, Pool>);

#[derive(Clone)]
struct Pool {
    size: usize,
    permits: Arc<Semaphore>,
}

/// How many of some permits are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub busy: usize,
    pub limit: usize,
}

/// What a run needs one permit of each.
pub struct Needs<'a> {
    /// The plugin's own.
    pub own: &'a Arc<Semaphore>,
    /// What its runs take turns with, where they must.
    pub alone: Option<&'a Arc<Semaphore>>,
    pub pools: &'a [Arc<Semaphore>],
    pub priority: Priority,
}

impl Usage {
    pub fn of(permits: &Semaphore, limit: usize) -> Self {
        Self { busy: limit.saturating_sub(permits.available_permits()), limit }
    }
}

impl Permits {
    pub fn new(limits: &Limits) -> Self {
        let all = limits.max_instances as usize;
        let share = |priority| Arc::new(Semaphore::new(Self::room(limits, priority)));
        Self { limit: all, all: share(Priority::High), normal: share(Priority::Normal), low: share(Priority::Low) }
    }

    /// How many runs of this priority there can be at once.
    pub fn room(limits: &Limits, priority: Priority) -> usize {
        let all = limits.max_instances as usize;
        let room = match priority {
            Priority::High => all,
            Priority::Normal => all - all / 4,
            Priority::Low => all / 2,
        };
        room.max(1)
    }

    /// What runs on the whole host.
    pub fn usage(&self) -> Usage {
        Usage::of(&self.all, self.limit)
    }

    /// Waits for everything that a run needs. The permits belong to the run: it gives them back when
    /// its instance is gone.
    pub async fn acquire<'a>(&self, run: impl Into<Needs<'a>>) -> Vec<OwnedSemaphorePermit> {
        let Needs { own, alone, pools, priority } = run.into();
        let by_priority: &[&Arc<Semaphore>] = match priority {
            Priority::High => &[],
            Priority::Normal => &[&self.normal],
            Priority::Low => &[&self.low, &self.normal],
        };
        let shared: Vec<_> = pools.iter().chain(by_priority.iter().copied()).chain([&self.all]).collect();
        // Who holds a plugin's own permits keeps nobody else waiting, so they are held meanwhile.
        let mut permits = vec![wait_for(own).await];
        if let Some(alone) = alone {
            permits.push(wait_for(alone).await);
        }
        permits.extend(one_of_each(&shared).await);
        permits
    }
}

/// One permit of each, of which there is at least one. Who waits for one of them holds none of the
/// others: neither would a deadlock end, nor would others find room that nobody uses.
async fn one_of_each(semaphores: &[&Arc<Semaphore>]) -> Vec<OwnedSemaphorePermit> {
    let mut exhausted = 0;
    loop {
        let mut permits = vec![wait_for(semaphores[exhausted]).await];
        let mut others = semaphores.iter().enumerate().filter(|(index, _)| *index != exhausted);
        let lacking = others.find_map(|(index, semaphore)| match (*semaphore).clone().try_acquire_owned() {
            Ok(permit) => {
                permits.push(permit);
                None
            }
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => Some(index),
        });
        match lacking {
            None => return permits,
            Some(index) => exhausted = index,
        }
    }
}

async fn wait_for(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    semaphore.clone().acquire_owned().await.expect("the semaphores are never closed")
}

impl Pools {
    pub fn new(sizes: &BTreeMap<String, usize>) -> Self {
        let pool = |size: usize| Pool { size, permits: Arc::new(Semaphore::new(size)) };
        Self(sizes.iter().map(|(name, size)| (name.clone(), pool(*size))).collect())
    }

    /// How full each is, by name.
    pub fn usage(&self) -> impl Iterator<Item = (&str, Usage)> {
        self.0.iter().map(|(name, pool)| (name.as_str(), Usage::of(&pool.permits, pool.size)))
    }

    /// The pools of these names that the operator has sized, by name; and the names of the others.
    pub fn of(&self, names: &[String]) -> (Vec<Arc<Semaphore>>, Vec<String>) {
        let mut names: Vec<_> = names.iter().collect();
        names.sort();
        names.dedup();
        let (sized, unsized_names): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| self.0.contains_key(*name));
        let permits = sized.into_iter().map(|name| self.0[name].permits.clone()).collect();
        (permits, unsized_names.into_iter().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
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
    fn fill<'h>(
        host: &'h Permits,
        pools: &'h [Arc<Semaphore>],
        priority: Priority,
    ) -> (Vec<Vec<OwnedSemaphorePermit>>, Waiting<'h>) {
        let mut running = Vec::new();
        loop {
            let own = semaphore(1);
            let wait = async move { host.acquire(Needs { own: &own, alone: None, pools, priority }).await };
            let mut waiting: Waiting<'_> = Box::pin(wait);
            match (&mut waiting).now_or_never() {
                Some(permits) => running.push(permits),
                None => return (running, waiting),
            }
        }
    }

    type Waiting<'h> = futures::future::BoxFuture<'h, Vec<OwnedSemaphorePermit>>;

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
        assert_eq!((permits.len(), pool[0].available_permits(), host.usage().busy), (5, 0, 1));
        drop(permits);
        assert_eq!((pool[0].available_permits(), host.usage().busy), (1, 0), "it gives all back");
    }

    #[test]
    fn a_plugin_runs_so_often_at_once_as_it_may_and_one_by_one_where_it_must() {
        let (host, own, one) = (permits(), semaphore(2), semaphore(1));
        let acquire = |alone| {
            let needs = Needs { own: &own, alone, pools: &[], priority: Priority::High };
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
        let pools = Pools::new(&[("a".to_owned(), 1), ("b".to_owned(), 2)].into());
        let b = pools.of(&["b".to_owned()]).0.remove(0);
        let _permit = b.try_acquire().unwrap();
        let usage: Vec<_> = pools.usage().collect();
        assert_eq!(usage, [("a", Usage { busy: 0, limit: 1 }), ("b", Usage { busy: 1, limit: 2 })]);
    }

    #[test]
    fn pools_are_shared_by_name_and_those_that_nobody_sized_are_named_and_take_none_away() {
        let pools = Pools::new(&[("a".to_owned(), 1), ("b".to_owned(), 2)].into());
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (first, unsized_names) = pools.of(&names(&["b", "a", "b"]));
        assert_eq!(unsized_names, names(&[]));
        assert_eq!(first.iter().map(|pool| pool.available_permits()).collect::<Vec<_>>(), [1, 2]);
        let (some, unsized_names) = pools.of(&names(&["d", "a", "c"]));
        assert_eq!((some.len(), unsized_names), (1, names(&["c", "d"])));
        assert!(Arc::ptr_eq(&first[0], &some[0]));
    }
}
