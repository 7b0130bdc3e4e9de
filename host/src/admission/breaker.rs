//! Breakers: when a dependency is down, the messages that need it wait together instead of failing
//! one by one.
//!
//! A breaker belongs to one plugin and one of its dependencies: the guest names the dependency, so
//! its word must not hold back other plugins. Where the plugin keeps to a rate by key, it belongs
//! to that key, too. Plugin and key are the breaker's [`scope`]. The flow asks [`Breakers::admit`]
//! before each run and says afterwards what the run found. `breaker_failures` failures in a row
//! open a breaker, and so does one that says when to come again. When its wait is over, one run is
//! let through as the probe; the others wait until it has ended. A probe that fails doubles the
//! wait, and a run that succeeds closes all breakers of its scope.
//!
//! [`fleet`] has all hosts see the same: then a host probes only when it has leave.

mod fleet;
pub mod status;
mod untold;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::Limits;

use untold::Untold;

/// The longest time between two probes of a dependency.
const PROBE_MAX: Duration = Duration::from_secs(60);
/// What is between a scope's plugin and its key.
const BEFORE_KEY: char = '\n';

/// The breakers of all plugins.
pub struct Breakers {
    /// Failures in a row that open one.
    failures: u32,
    /// The first wait of an open one.
    probe: Duration,
    /// Dependencies that are remembered of one scope, and scopes.
    dependencies: usize,
    scopes: usize,
    /// Whether there are any. Mostly there are none, and no message takes the lock. It is written
    /// under it.
    any: AtomicBool,
    state: Mutex<State>,
    /// There is something to tell the other hosts.
    untold: Notify,
}

#[derive(Default)]
struct State {
    by_scope: HashMap<String, BTreeMap<String, Breaker>>,
    /// Probes that were let through so far; each has its number.
    probes: u64,
    /// None while each host has breakers of its own.
    untold: Option<Untold>,
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
    /// Other hosts know of it, so this one must have leave to probe.
    is_shared: bool,
    has_leave: bool,
}

/// A scope must wait for a dependency.
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
    scope: Cow<'a, str>,
    /// Its number, if it is a probe.
    probe: Option<u64>,
}

/// What would become of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It would start.
    Closed,
    /// It would be refused.
    Open,
    /// It would be the probe.
    ProbeIsDue,
}

/// What a breaker belongs to beside its dependency.
pub fn scope(plugin: &str, key: Option<String>) -> Cow<'_, str> {
    key.map_or(Cow::Borrowed(plugin), |key| Cow::Owned(format!("{plugin}{BEFORE_KEY}{key}")))
}

/// The plugin of a scope.
pub fn plugin_of(scope: &str) -> &str {
    scope.split_once(BEFORE_KEY).map_or(scope, |(plugin, _)| plugin)
}

impl Breakers {
    pub fn new(limits: &Limits) -> Self {
        Self {
            failures: limits.breaker_failures,
            probe: limits.breaker_probe,
            dependencies: limits.breaker_dependencies,
            scopes: limits.rate_keys,
            any: AtomicBool::default(),
            state: Mutex::default(),
            untold: Notify::new(),
        }
    }

    /// Lets a run start unless a dependency of its scope is down. When the waits of all its open
    /// breakers are over, the run is the probe of them all.
    pub fn admit<'a>(&'a self, scope: impl Into<Cow<'a, str>>, now: Instant) -> Result<Admitted<'a>, Refused> {
        let scope = scope.into();
        if !self.any.load(Ordering::Acquire) {
            return Ok(Admitted { breakers: self, scope, probe: None });
        }
        let mut state = self.lock();
        let State { by_scope, probes, untold } = &mut *state;
        let breakers = by_scope.get_mut(&*scope);
        let open = breakers.iter().flat_map(|breakers| breakers.iter());
        let open = open.filter_map(|(dependency, breaker)| Some((dependency, breaker.open.as_ref()?)));
        let Some((dependency, longest)) = open.max_by_key(|(_, open)| open.refuses_for(now)) else {
            return Ok(Admitted { breakers: self, scope, probe: None });
        };
        let remaining = longest.refuses_for(now);
        if !remaining.is_zero() {
            if longest.wants_leave(now) {
                self.want(untold, &scope);
            }
            return Err(Refused { dependency: dependency.clone(), remaining });
        }
        *probes += 1;
        for open in breakers.into_iter().flat_map(BTreeMap::values_mut).filter_map(|breaker| breaker.open.as_mut()) {
            open.probe = Some(*probes);
            open.until = now + open.wait;
        }
        Ok(Admitted { breakers: self, scope, probe: Some(*probes) })
    }

    /// Whether a scope must wait for a dependency now, and not even its probe may run.
    pub fn is_open(&self, scope: &str, now: Instant) -> bool {
        self.standing(scope, now) == Standing::Open
    }

    /// What would become of a run now.
    pub fn standing(&self, scope: &str, now: Instant) -> Standing {
        if !self.any.load(Ordering::Acquire) {
            return Standing::Closed;
        }
        let State { by_scope, untold, .. } = &mut *self.lock();
        let open = by_scope.get(scope).into_iter().flat_map(BTreeMap::values);
        let longest = open.filter_map(|breaker| breaker.open.as_ref()).max_by_key(|open| open.refuses_for(now));
        match longest {
            None => Standing::Closed,
            Some(open) if open.refuses_for(now).is_zero() => Standing::ProbeIsDue,
            Some(open) => {
                if open.wants_leave(now) {
                    self.want(untold, scope);
                }
                Standing::Open
            }
        }
    }

    /// There is a message that could be the probe, if this host had leave.
    fn want(&self, untold: &mut Option<Untold>, scope: &str) {
        let Some(untold) = untold else { return };
        untold.wants_probe(scope);
        self.untold.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Admitted<'_> {
    /// The run succeeded: what its scope depends on is there.
    pub fn succeeded(self) {
        if !self.breakers.any.load(Ordering::Acquire) {
            return;
        }
        let State { by_scope, untold, .. } = &mut *self.breakers.lock();
        let were_open = by_scope.remove(&*self.scope).into_iter().flatten().any(|(_, breaker)| breaker.open.is_some());
        if were_open && let Some(untold) = untold {
            untold.closed(&self.scope);
            self.breakers.untold.notify_one();
        }
        self.breakers.any.store(!by_scope.is_empty(), Ordering::Release);
    }

    /// The dependency was unavailable, for `after` if it said so. The answer is how long to wait
    /// for the next probe.
    pub fn unavailable(self, dependency: &str, after: Option<Duration>, now: Instant) -> Duration {
        let Breakers { failures, probe, dependencies, scopes, .. } = *self.breakers;
        let least = after.unwrap_or(probe);
        let told = after.filter(|after| !after.is_zero());
        let State { by_scope, untold, .. } = &mut *self.breakers.lock();
        self.breakers.any.store(true, Ordering::Release);
        if !by_scope.contains_key(&*self.scope) && by_scope.len() >= scopes && !forget_scope(by_scope) {
            return least;
        }
        let breakers = by_scope.entry(self.scope.to_string()).or_default();
        if !breakers.contains_key(dependency) && breakers.len() >= dependencies && !forget_one(breakers) {
            return least;
        }
        let breaker =
            breakers.entry(dependency.to_owned()).or_insert(Breaker { failures: 0, failed_at: now, open: None });
        breaker.failures = breaker.failures.saturating_add(1);
        breaker.failed_at = now;
        let opens = match &mut breaker.open {
            Some(open) if self.probe.is_some() && open.probe == self.probe => {
                open.stays(after.unwrap_or_default().max(open.wait), now);
                true
            }
            // It began before the breaker opened: those that fail together count once.
            Some(_) => false,
            None if breaker.failures < failures && told.is_none() => false,
            None => {
                breaker.open.insert(Open::new(probe, now)).stays(told.unwrap_or(probe), now);
                true
            }
        };
        if opens && let Some(untold) = untold {
            untold.opened(&self.scope, dependency);
            self.breakers.untold.notify_one();
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
        let breakers = state.by_scope.get_mut(&*self.scope).into_iter().flat_map(BTreeMap::values_mut);
        for open in breakers.filter_map(|breaker| breaker.open.as_mut()) {
            // One that was closed and has opened again may have another probe.
            if open.probe == self.probe {
                open.probe = None;
            }
        }
    }
}

/// Makes room for one more scope. The answer is whether there is any: one that must wait is not
/// forgotten.
fn forget_scope(by_scope: &mut HashMap<String, BTreeMap<String, Breaker>>) -> bool {
    let newest = |breakers: &BTreeMap<String, Breaker>| breakers.values().map(|breaker| breaker.failed_at).max();
    let are_closed = |breakers: &BTreeMap<String, Breaker>| breakers.values().all(|breaker| breaker.open.is_none());
    let closed = by_scope.iter().filter(|(_, breakers)| are_closed(breakers));
    let oldest = closed.min_by_key(|(_, breakers)| newest(breakers)).map(|(scope, _)| scope.clone());
    oldest.is_some_and(|scope| by_scope.remove(&scope).is_some())
}

/// Makes room for one more. The answer is whether there is any: an open breaker is not forgotten.
fn forget_one(breakers: &mut BTreeMap<String, Breaker>) -> bool {
    let closed = breakers.iter().filter(|(_, breaker)| breaker.open.is_none());
    let oldest = closed.min_by_key(|(_, breaker)| breaker.failed_at).map(|(dependency, _)| dependency.clone());
    oldest.is_some_and(|dependency| breakers.remove(&dependency).is_some())
}

impl Open {
    fn new(wait: Duration, now: Instant) -> Self {
        Self { since: now, until: now, wait, probe: None, is_shared: false, has_leave: false }
    }

    /// It opens, or its probe has failed: it is open from now on, and for longer the next time.
    fn stays(&mut self, remaining: Duration, now: Instant) {
        self.until = now + remaining.min(PROBE_MAX);
        self.wait = (self.wait * 2).min(PROBE_MAX);
        self.has_leave = false;
    }

    /// For how long it lets no run start; not at all when the next one is the probe.
    fn refuses_for(&self, now: Instant) -> Duration {
        let remaining = self.until.saturating_duration_since(now);
        // Nobody knows how long a probe will take, this host's or another one's.
        if self.probe.is_some() || self.wants_leave(now) { remaining.max(self.wait) } else { remaining }
    }

    /// Whether it could be probed, if this host had leave.
    fn wants_leave(&self, now: Instant) -> bool {
        self.is_shared && !self.has_leave && self.probe.is_none() && self.until <= now
    }
}

#[cfg(test)]
mod tests;
