//! Permits: how much may run at once, over the whole host, for one plugin, and in the pools that
//! plugins share.

mod dispatcher;
mod priority;
mod shares;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

pub use dispatcher::QueueShare;
pub use priority::Priority;

use dispatcher::{Dispatcher, HostPermit};
use shares::Shares;

use super::fleet_pools::FleetPool;
use crate::config::{Limits, PoolConfig, PoolScope, QueueConfig};

/// What the host runs at once. Work of lower priority leaves a part of it free, so that more
/// important work finds room.
pub struct Permits {
    limit: usize,
    all: Arc<Semaphore>,
    /// All but a quarter: normal and low.
    normal: Arc<Semaphore>,
    /// A half: low.
    low: Arc<Semaphore>,
    /// In their place, where queues have priorities.
    dispatcher: Option<Arc<Dispatcher>>,
}

/// Pools of this host's permits by name, sized by the operator and shared across plugins.
#[derive(Clone, Default)]
pub struct Pools {
    by_name: BTreeMap<String, Pool>,
    /// Pools of which this host leases a part ([`super::fleet_pools`]).
    fleet: BTreeSet<String>,
}

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
    /// Pools of the whole fleet.
    pub fleet: &'a [Arc<FleetPool>],
    pub priority: Priority,
    /// Its message's queue, by its number among those of the config.
    pub queue: usize,
}

/// What a run holds until its instance is gone.
#[derive(Default)]
pub struct RunPermits {
    held: Vec<OwnedSemaphorePermit>,
    _of_host: Option<HostPermit>,
}

impl RunPermits {
    /// Holds this one, too.
    pub fn hold(&mut self, permit: OwnedSemaphorePermit) {
        self.held.push(permit);
    }
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
        Self {
            limit: all,
            all: share(Priority::High),
            normal: share(Priority::Normal),
            low: share(Priority::Low),
            dispatcher: None,
        }
    }

    /// As [`Permits::new`], for these queues, which may have priorities.
    pub fn for_queues(limits: &Limits, queues: &BTreeMap<String, QueueConfig>) -> Self {
        let first = queues.values().next().map_or(0, |queue| queue.priority);
        let has_order = queues.values().any(|queue| queue.priority != first || queue.min_share.is_some());
        let dispatcher = || {
            let tiers = [Priority::High, Priority::Normal, Priority::Low].map(|priority| Self::room(limits, priority));
            let min_shares: Vec<_> = queues.values().map(|queue| queue.min_share).collect();
            let queues = queues.iter().map(|(name, queue)| (name.clone(), queue.priority));
            Arc::new(Dispatcher::new(Shares::new(tiers, &min_shares), queues.collect()))
        };
        Self { dispatcher: has_order.then(dispatcher), ..Self::new(limits) }
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
        match &self.dispatcher {
            Some(dispatcher) => Usage { busy: dispatcher.running(), limit: self.limit },
            None => Usage::of(&self.all, self.limit),
        }
    }

    /// What each queue has of it. Nothing, where queues have no priorities.
    pub fn queues(&self) -> Vec<QueueShare> {
        self.dispatcher.as_ref().map(|dispatcher| dispatcher.status()).unwrap_or_default()
    }

    /// Waits for everything that a run needs. The permits belong to the run: it gives them back
    /// when its instance is gone.
    pub async fn acquire<'a>(&self, run: impl Into<Needs<'a>>) -> RunPermits {
        let Needs { own, alone, pools, fleet, priority, queue } = run.into();
        let leased = fleet.iter().map(|pool| pool.permits());
        if let Some(dispatcher) = &self.dispatcher {
            // Who waits for the host holds nothing of its plugin: that may have another queue's
            // messages, which go first.
            let all: Vec<_> = [own].into_iter().chain(alone).chain(pools).chain(leased).collect();
            return Box::pin(dispatched(dispatcher, &all, fleet, queue, priority)).await;
        }
        let by_priority: &[&Arc<Semaphore>] = match priority {
            Priority::High => &[],
            Priority::Normal => &[&self.normal],
            Priority::Low => &[&self.low, &self.normal],
        };
        let shared: Vec<_> = pools.iter().chain(leased).chain(by_priority.iter().copied()).chain([&self.all]).collect();
        // Who holds a plugin's own permits keeps nobody else waiting, so they are held meanwhile.
        let mut permits = vec![wait_for(own).await];
        if let Some(alone) = alone {
            permits.push(wait_for(alone).await);
        }
        permits.extend(match fleet {
            [] => one_of_each(&shared).await,
            _ => Box::pin(one_of_each_leased(&shared, fleet)).await,
        });
        RunPermits { held: permits, _of_host: None }
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

/// As [`one_of_each`], with pools of which this host has leased a part.
async fn one_of_each_leased(semaphores: &[&Arc<Semaphore>], fleet: &[Arc<FleetPool>]) -> Vec<OwnedSemaphorePermit> {
    let _wishes: Vec<_> = fleet.iter().map(FleetPool::wish).collect();
    loop {
        let mut permits = one_of_each(semaphores).await;
        if fleet.iter().all(|pool| pool.holds(&mut permits)) {
            return permits;
        }
    }
}

/// As [`one_of_each_leased`], with a permit of the host from its dispatcher.
async fn dispatched(
    dispatcher: &Arc<Dispatcher>,
    semaphores: &[&Arc<Semaphore>],
    fleet: &[Arc<FleetPool>],
    queue: usize,
    priority: Priority,
) -> RunPermits {
    let _wishes: Vec<_> = fleet.iter().map(FleetPool::wish).collect();
    let mut exhausted: Option<usize> = None;
    loop {
        let (first, of_host) = match exhausted {
            None => (None, dispatcher.acquire(queue, priority).await),
            Some(index) => {
                let first = wait_for(semaphores[index]).await;
                exhausted = None;
                let Some(of_host) = dispatcher.try_acquire(queue, priority) else { continue };
                (Some((index, first)), of_host)
            }
        };
        let taken = first.as_ref().map(|(index, _)| *index);
        let mut permits: Vec<_> = first.into_iter().map(|(_, permit)| permit).collect();
        let mut others = semaphores.iter().enumerate().filter(|(index, _)| Some(*index) != taken);
        let lacking = others.find_map(|(index, semaphore)| match (*semaphore).clone().try_acquire_owned() {
            Ok(permit) => {
                permits.push(permit);
                None
            }
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => Some(index),
        });
        if lacking.is_none() && fleet.iter().all(|pool| pool.holds(&mut permits)) {
            return RunPermits { held: permits, _of_host: Some(of_host) };
        }
        exhausted = lacking;
    }
}

async fn wait_for(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    semaphore.clone().acquire_owned().await.expect("the semaphores are never closed")
}

impl Pools {
    pub fn new(pools: &BTreeMap<String, PoolConfig>) -> Self {
        let pool = |size: usize| Pool { size, permits: Arc::new(Semaphore::new(size)) };
        let (host, fleet): (Vec<_>, Vec<_>) = pools.iter().partition(|(_, pool)| pool.scope == PoolScope::Host);
        Self {
            by_name: host.into_iter().map(|(name, config)| (name.clone(), pool(config.size))).collect(),
            fleet: fleet.into_iter().map(|(name, _)| name.clone()).collect(),
        }
    }

    /// How full each is, by name.
    pub fn usage(&self) -> impl Iterator<Item = (&str, Usage)> {
        self.by_name.iter().map(|(name, pool)| (name.as_str(), Usage::of(&pool.permits, pool.size)))
    }

    /// The pools of these names that the operator has sized for this host, by name; and the names
    /// that are no pool's.
    pub fn of(&self, names: &[String]) -> (Vec<Arc<Semaphore>>, Vec<String>) {
        let mut names: Vec<_> = names.iter().filter(|name| !self.fleet.contains(*name)).collect();
        names.sort();
        names.dedup();
        let (sized, unsized_names): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| self.by_name.contains_key(*name));
        let permits = sized.into_iter().map(|name| self.by_name[name].permits.clone()).collect();
        (permits, unsized_names.into_iter().cloned().collect())
    }
}

#[cfg(test)]
mod tests;
