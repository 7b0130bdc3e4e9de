//! Breakers: when a dependency is down, the messages that need it wait together instead of failing
//! one by one.
//!
//! A breaker belongs to one plugin and one of its dependencies: the guest names the dependency, so
//! its word must not hold back other plugins. The flow asks [`Breakers::admit`] before each run and
//! says afterwards what the run found. `breaker_failures` failures in a row open a breaker. When
//! its wait is over, one run is let through as the probe; the others wait until it has ended. A
//! probe that fails doubles the wait, and a run that succeeds closes all breakers of its plugin.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::config::Limits;

/// The longest time between two probes of a dependency.
const PROBE_MAX: Duration = Duration::from_secs(60);

/// The breakers of all plugins.
pub struct Breakers {
    /// Failures in a row that open one.
    failures: u32,
    /// The first wait of an open one.
    probe: Duration,
    /// Dependencies that are remembered of one plugin.
    dependencies: usize,
    /// Whether there are any. Mostly there are none, and no message takes the lock. It is written
    /// under it.
    any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_plugin: HashMap<String, BTreeMap<String, Breaker>>,
    /// Probes that were let through so far; each has its number.
    probes: u64,
}

struct Breaker {
    failures: u32,
    failed_at: Instant,
    /// None while it is closed.
    open: Option<Open>,
}

struct Open {
    since: Instant,
    /// No probe goes before.
    until: Instant,
    /// How long it stays open when the next probe fails.
    wait: Duration,
    /// The probe that is under way.
    probe: Option<u64>,
}

/// A plugin must wait for a dependency.
#[derive(Debug, PartialEq)]
pub struct Refused {
    pub dependency: String,
    pub remaining: Duration,
}

/// A run that may start. Say how it went; a probe that is dropped without a word is over, and the
/// next one goes when its wait is.
#[must_use]
pub struct Admitted<'a> {
    breakers: &'a Breakers,
    plugin: &'a str,
    /// Its number, if it is a probe.
    probe: Option<u64>,
}

/// A breaker as listings show it.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct BreakerStatus {
    pub plugin: String,
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

impl Breakers {
    pub fn new(limits: &Limits) -> Self {
        Self {
            failures: limits.breaker_failures,
            probe: limits.breaker_probe,
            dependencies: limits.breaker_dependencies,
            any: AtomicBool::default(),
            state: Mutex::default(),
        }
    }

    /// Lets a run of the plugin start unless one of its dependencies is down. When the waits of all
    /// its open breakers are over, the run is the probe of them all.
    pub fn admit<'a>(&'a self, plugin: &'a str, now: Instant) -> Result<Admitted<'a>, Refused> {
        let admitted = |probe| Admitted { breakers: self, plugin, probe };
        if !self.any.load(Ordering::Acquire) {
            return Ok(admitted(None));
        }
        let mut state = self.lock();
        let State { by_plugin, probes } = &mut *state;
        let Some(breakers) = by_plugin.get_mut(plugin) else { return Ok(admitted(None)) };
        let remaining = |open: &Open| match open.probe {
            // Nobody knows how long it will take.
            Some(_) => open.until.saturating_duration_since(now).max(open.wait),
            None => open.until.saturating_duration_since(now),
        };
        let open = breakers.iter().filter_map(|(dependency, breaker)| Some((dependency, breaker.open.as_ref()?)));
        let Some((dependency, longest)) = open.max_by_key(|(_, open)| remaining(open)) else {
            return Ok(admitted(None));
        };
        let remaining = remaining(longest);
        if !remaining.is_zero() {
            return Err(Refused { dependency: dependency.clone(), remaining });
        }
        *probes += 1;
        for open in breakers.values_mut().filter_map(|breaker| breaker.open.as_mut()) {
            open.probe = Some(*probes);
            open.until = now + open.wait;
        }
        Ok(admitted(Some(*probes)))
    }

    /// Whether the plugin must wait for a dependency now, and not even its probe may run.
    pub fn is_open(&self, plugin: &str, now: Instant) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let state = self.lock();
        let open = state.by_plugin.get(plugin).into_iter().flat_map(BTreeMap::values);
        open.filter_map(|breaker| breaker.open.as_ref()).any(|open| open.probe.is_some() || open.until > now)
    }

    /// All breakers, by plugin and dependency.
    pub fn status(&self, now: Instant) -> Vec<BreakerStatus> {
        let state = self.lock();
        let all = state.by_plugin.iter().flat_map(|(plugin, breakers)| {
            breakers.iter().map(move |(dependency, breaker)| breaker.status(plugin, dependency, now))
        });
        let mut all: Vec<_> = all.collect();
        all.sort_by(|a, b| (&a.plugin, &a.dependency).cmp(&(&b.plugin, &b.dependency)));
        all
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Admitted<'_> {
    /// The run succeeded: what the plugin depends on is there.
    pub fn succeeded(self) {
        if !self.breakers.any.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.breakers.lock();
        state.by_plugin.remove(self.plugin);
        self.breakers.any.store(!state.by_plugin.is_empty(), Ordering::Release);
    }

    /// The dependency was unavailable, for `after` if it said so. The answer is how long to wait
    /// for the next probe.
    pub fn unavailable(self, dependency: &str, after: Option<Duration>, now: Instant) -> Duration {
        let Breakers { failures, probe, dependencies, .. } = *self.breakers;
        let least = after.unwrap_or(probe);
        let mut state = self.breakers.lock();
        self.breakers.any.store(true, Ordering::Release);
        let breakers = state.by_plugin.entry(self.plugin.to_owned()).or_default();
        if !breakers.contains_key(dependency) && breakers.len() >= dependencies && !forget_one(breakers) {
            return least;
        }
        let breaker =
            breakers.entry(dependency.to_owned()).or_insert(Breaker { failures: 0, failed_at: now, open: None });
        breaker.failures = breaker.failures.saturating_add(1);
        breaker.failed_at = now;
        match &mut breaker.open {
            Some(open) if self.probe.is_some() && open.probe == self.probe => open.stays(after, now),
            // It began before the breaker opened: those that fail together count once.
            Some(_) => {}
            None if breaker.failures < failures => {}
            None => {
                let open = breaker.open.insert(Open { since: now, until: now, wait: probe, probe: None });
                open.stays(after, now);
            }
        }
        let until = breaker.open.as_ref().map_or(now, |open| open.until);
        until.saturating_duration_since(now).max(least)
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        if self.probe.is_none() {
            return;
        }
        let mut state = self.breakers.lock();
        let breakers = state.by_plugin.get_mut(self.plugin).into_iter().flat_map(BTreeMap::values_mut);
        for open in breakers.filter_map(|breaker| breaker.open.as_mut()) {
            // One that was closed and has opened again may have another probe.
            if open.probe == self.probe {
                open.probe = None;
            }
        }
    }
}

/// Makes room for one more. The answer is whether there is any: an open breaker is not forgotten.
fn forget_one(breakers: &mut BTreeMap<String, Breaker>) -> bool {
    let closed = breakers.iter().filter(|(_, breaker)| breaker.open.is_none());
    let oldest = closed.min_by_key(|(_, breaker)| breaker.failed_at).map(|(dependency, _)| dependency.clone());
    oldest.is_some_and(|dependency| breakers.remove(&dependency).is_some())
}

impl Breaker {
    fn status(&self, plugin: &str, dependency: &str, now: Instant) -> BreakerStatus {
        let ms = |duration: Duration| duration.as_millis() as u64;
        let open = self.open.as_ref();
        let probing = open.is_some_and(|open| open.probe.is_some());
        let waits = open.filter(|open| open.probe.is_none());
        BreakerStatus {
            plugin: plugin.to_owned(),
            dependency: dependency.to_owned(),
            open: open.is_some(),
            open_for_ms: open.map_or(0, |open| ms(now.saturating_duration_since(open.since))),
            failures: self.failures,
            probing,
            probe_in_ms: waits.map_or(0, |open| ms(open.until.saturating_duration_since(now))),
        }
    }
}

impl Open {
    /// It opens, or its probe has failed: it is open from now on, and for longer the next time.
    fn stays(&mut self, after: Option<Duration>, now: Instant) {
        self.until = now + after.unwrap_or_default().max(self.wait).min(PROBE_MAX);
        self.wait = (self.wait * 2).min(PROBE_MAX);
    }
}

#[cfg(test)]
mod tests;
