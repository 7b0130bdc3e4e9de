//! Permits: how much may run at once, over the whole host, for one plugin, and in the pools that plugins share.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use crate::plugins::Plugin;
use crate::plugins::manifest::Priority;

/// What the host runs at once. Work of lower priority leaves a part of it free, so that more important work finds room.
pub struct Permits {
    limit: usize,
    all: Arc<Semaphore>,
    /// All but a quarter: normal and low.
    normal: Arc<Semaphore>,
    /// A half: low.
    low: Arc<Semaphore>,
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

    /// Waits for everything that a run of the plugin needs. Hold what it gives while the handler runs.
    pub async fn acquire(&self, plugin: &Plugin) -> Vec<OwnedSemaphorePermit> {
        let by_priority: &[&Arc<Semaphore>] = match plugin.manifest.priority {
            Priority::High => &[],
            Priority::Normal => &[&self.normal],
            Priority::Low => &[&self.normal, &self.low],
        };
        // Always in this order, and pools by name, so that no two wait for each other.
        let needed =
            [&plugin.permits].into_iter().chain(&plugin.pools).chain(by_priority.iter().copied()).chain([&self.all]);
        let mut permits = Vec::new();
        for semaphore in needed {
            permits.push(semaphore.clone().acquire_owned().await.expect("the semaphores are never closed"));
        }
        permits
    }
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

    /// The pools of these names, by name; or the first name that the operator has not sized.
    pub fn of(&self, names: &[String]) -> Result<Vec<Arc<Semaphore>>, String> {
        let mut names: Vec<_> = names.iter().collect();
        names.sort();
        names.dedup();
        let permits = |name: &String| self.0.get(name).map(|pool| pool.permits.clone());
        names.into_iter().map(|name| permits(name).ok_or_else(|| name.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_shared_by_name_and_an_unknown_one_is_named() {
        let pools = Pools::new(&[("a".to_owned(), 1), ("b".to_owned(), 2)].into());
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let first = pools.of(&names(&["b", "a", "b"])).unwrap();
        assert_eq!(first.iter().map(|pool| pool.available_permits()).collect::<Vec<_>>(), [1, 2]);
        assert!(Arc::ptr_eq(&first[0], &pools.of(&names(&["a"])).unwrap()[0]));
        assert_eq!(pools.of(&names(&["a", "c"])).err().as_deref(), Some("c"));
    }
}
