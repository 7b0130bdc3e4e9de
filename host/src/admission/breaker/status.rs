//! What is seen of the breakers.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{BEFORE_KEY, Breaker, Breakers};

/// Breakers that a listing shows at most.
pub const LISTED_MAX: usize = 100;

/// A breaker as listings show it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct BreakerStatus {
    pub plugin: String,
    /// The rates' keys, where the plugin has some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub dependency: String,
    pub open: bool,
    /// How long it has not been closed; 0 while it is.
    pub open_for_ms: u64,
    pub failures: u32,
    /// A probe is under way.
    pub probing: bool,
    /// 0 when the next delivery is the probe, or one is under way.
    pub probe_in_ms: u64,
}

impl BreakerStatus {
    fn by_name(&self, other: &Self) -> std::cmp::Ordering {
        (&self.plugin, &self.key, &self.dependency).cmp(&(&other.plugin, &other.key, &other.dependency))
    }
}

impl Breakers {
    /// The breakers, by plugin, key and dependency. Where there are very many, only some of them:
    /// those that are open, first.
    pub fn status(&self, now: Instant) -> Vec<BreakerStatus> {
        let mut all = self.all(now);
        if all.len() > LISTED_MAX {
            all.sort_by_key(|breaker| !breaker.open);
            all.truncate(LISTED_MAX);
            all.sort_by(BreakerStatus::by_name);
        }
        all
    }

    /// How many are open.
    pub fn count_open(&self) -> usize {
        let state = self.lock();
        state.by_scope.values().flat_map(BTreeMap::values).filter(|breaker| breaker.open.is_some()).count()
    }

    /// One of each plugin and dependency: of those of several keys, the one that lets runs wait for
    /// longest.
    pub fn by_dependency(&self, now: Instant) -> Vec<BreakerStatus> {
        let mut worst: BTreeMap<(String, String), BreakerStatus> = BTreeMap::new();
        for breaker in self.all(now) {
            let rank = |breaker: &BreakerStatus| (breaker.open, breaker.probe_in_ms, breaker.open_for_ms);
            let names = (breaker.plugin.clone(), breaker.dependency.clone());
            let known = worst.entry(names).or_insert_with(|| breaker.clone());
            if rank(&breaker) > rank(known) {
                *known = breaker;
            }
        }
        worst.into_values().collect()
    }

    fn all(&self, now: Instant) -> Vec<BreakerStatus> {
        let state = self.lock();
        let all = state.by_scope.iter().flat_map(|(scope, breakers)| {
            breakers.iter().map(move |(dependency, breaker)| breaker.status(scope, dependency, now))
        });
        let mut all: Vec<_> = all.collect();
        all.sort_by(BreakerStatus::by_name);
        all
    }
}

impl Breaker {
    fn status(&self, scope: &str, dependency: &str, now: Instant) -> BreakerStatus {
        let ms = |duration: Duration| duration.as_millis() as u64;
        let open = self.open.as_ref();
        let probing = open.is_some_and(|open| open.probe.is_some());
        let waits = open.filter(|open| open.probe.is_none());
        let (plugin, key) = scope.split_once(BEFORE_KEY).map_or((scope, None), |(plugin, key)| (plugin, Some(key)));
        BreakerStatus {
            plugin: plugin.to_owned(),
            key: key.map(str::to_owned),
            dependency: dependency.to_owned(),
            open: open.is_some(),
            open_for_ms: open.map_or(0, |open| ms(now.saturating_duration_since(open.since))),
            failures: self.failures,
            probing,
            probe_in_ms: waits.map_or(0, |open| ms(open.until.saturating_duration_since(now))),
        }
    }
}
