//! Breakers: when a dependency is down, the messages that need it wait together instead of failing one by one.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The longest time between two probes of a dependency.
const PROBE_MAX: Duration = Duration::from_secs(60);
/// Dependencies remembered. A guest names them, so there must be a limit.
const DEPENDENCIES_MAX: usize = 1_024;

/// The breakers of all dependencies.
pub struct Breakers {
    /// Failures in a row that open one.
    failures: u32,
    /// The first wait of an open one.
    probe: Duration,
    by_dependency: Mutex<BTreeMap<String, Breaker>>,
}

struct Breaker {
    failures: u32,
    /// When it opened, unless it is closed.
    opened_at: Option<Instant>,
    /// Open until then; the first delivery after it is the probe.
    opens_at: Instant,
    wait: Duration,
    /// The plugins that have met it.
    plugins: HashSet<String>,
}

/// Whether a plugin may run now.
#[derive(Debug, PartialEq)]
pub enum Admission {
    Run,
    Wait { dependency: String, remaining: Duration },
}

/// A breaker as listings show it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct BreakerStatus {
    pub dependency: String,
    pub open: bool,
    /// How long it has not been closed; 0 while it is.
    pub open_for_ms: u64,
    pub failures: u32,
    /// 0 when the next delivery is the probe.
    pub probe_in_ms: u64,
    pub plugins: Vec<String>,
}

impl Breakers {
    pub fn new(failures: u32, probe: Duration) -> Self {
        Self { failures, probe, by_dependency: Mutex::default() }
    }

    /// Whether `plugin` may run. When a breaker's wait is over, one caller becomes its probe and the others wait on.
    pub fn admit(&self, plugin: &str, now: Instant) -> Admission {
        for (dependency, breaker) in self.lock().iter_mut() {
            if breaker.failures < self.failures || !breaker.plugins.contains(plugin) {
                continue;
            }
            if now < breaker.opens_at {
                return Admission::Wait { dependency: dependency.clone(), remaining: breaker.opens_at - now };
            }
            breaker.opens_at = now + breaker.wait;
        }
        Admission::Run
    }

    /// The plugin ran to success: what it depends on is there.
    pub fn succeeded(&self, plugin: &str) {
        self.lock().retain(|_, breaker| !breaker.plugins.contains(plugin));
    }

    /// The dependency was unavailable, for `after` if it said so. The answer is how long to wait for the next probe.
    pub fn unavailable(&self, plugin: &str, dependency: &str, after: Option<Duration>, now: Instant) -> Duration {
        let mut breakers = self.lock();
        if breakers.len() >= DEPENDENCIES_MAX && !breakers.contains_key(dependency) {
            return self.probe;
        }
        let breaker = breakers.entry(dependency.to_owned()).or_insert_with(|| Breaker {
            failures: 0,
            opened_at: None,
            opens_at: now,
            wait: self.probe,
            plugins: HashSet::new(),
        });
        breaker.plugins.insert(plugin.to_owned());
        breaker.failures = breaker.failures.saturating_add(1);
        // Those that failed together count once towards the wait: it doubles when a probe fails, not before.
        if breaker.failures >= self.failures && now >= breaker.opens_at {
            breaker.opened_at.get_or_insert(now);
            breaker.opens_at = now + after.unwrap_or(breaker.wait).min(PROBE_MAX);
            breaker.wait = (breaker.wait * 2).min(PROBE_MAX);
        }
        breaker.opens_at.saturating_duration_since(now).max(after.unwrap_or(self.probe))
    }

    pub fn status(&self, now: Instant) -> Vec<BreakerStatus> {
        let mut all: Vec<_> = self
            .lock()
            .iter()
            .map(|(dependency, breaker)| BreakerStatus {
                dependency: dependency.clone(),
                open: breaker.failures >= self.failures,
                open_for_ms: breaker.opened_at.map_or(0, |at| now.saturating_duration_since(at).as_millis() as u64),
                failures: breaker.failures,
                probe_in_ms: breaker.opens_at.saturating_duration_since(now).as_millis() as u64,
                plugins: breaker.plugins.iter().cloned().collect(),
            })
            .collect();
        all.sort_by(|a, b| a.dependency.cmp(&b.dependency));
        all
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Breaker>> {
        self.by_dependency.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_lets_one_probe_through_and_closes_on_success() {
        let breakers = Breakers::new(2, Duration::from_secs(2));
        let start = crate::clock::now();
        let at = |s| start + Duration::from_secs(s);
        breakers.unavailable("p", "api", None, at(0));
        assert_eq!(breakers.admit("p", at(0)), Admission::Run, "one failure opens nothing");
        assert_eq!(breakers.unavailable("p", "api", None, at(0)), Duration::from_secs(2));
        let waits = |s| Admission::Wait { dependency: "api".into(), remaining: Duration::from_secs(s) };
        assert_eq!(breakers.admit("p", at(0)), waits(2));
        assert_eq!(breakers.admit("q", at(0)), Admission::Run, "another plugin does not need it");
        assert_eq!(breakers.admit("p", at(2)), Admission::Run, "the probe");
        assert_eq!(breakers.admit("p", at(2)), waits(4), "one probe only, and a longer wait");
        breakers.succeeded("p");
        assert_eq!(breakers.admit("p", at(2)), Admission::Run);
    }
}
