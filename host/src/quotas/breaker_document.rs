//! The breakers that are open, as all hosts see them.
//!
//! A host that opens a breaker writes it down here, and the others open theirs when they look. One
//! host at a time has leave to probe. Times are wall clocks': where hosts' clocks differ, a probe
//! goes by as much earlier or later.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasq_ledgers::documents::Change;

/// The id of the document.
pub const BREAKERS: &str = "breakers";
/// Breakers that it has room for. Each host keeps any other to itself.
const BREAKERS_MAX: usize = 256;
/// A breaker that nobody has probed for so long since it could be is forgotten.
const KEPT: Duration = Duration::from_secs(10 * 60);
/// A host that has leave to probe is given so long, at least. Then another one has it.
const PROBE_MIN: Duration = Duration::from_secs(10);

/// What the ledger keeps: by scope and dependency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerDocument {
    pub open: BTreeMap<String, BTreeMap<String, OpenBreaker>>,
}

/// One that is open. All times are in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenBreaker {
    pub since_ms: u64,
    /// No probe goes before.
    pub until_ms: u64,
    /// How long it stays open when the next probe fails.
    pub wait_ms: u64,
    pub failures: u32,
    pub probe: Option<Probe>,
}

/// Which host has leave to probe, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    pub host: String,
    pub until_ms: u64,
}

/// What a host has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BreakerEvent {
    /// A breaker has opened, or its probe has failed.
    Opened { scope: String, dependency: String, remaining: Duration, wait: Duration, failures: u32 },
    /// A run has succeeded.
    Closed { scope: String },
    /// There is a message that could be the probe.
    ProbeWanted { scope: String },
}

impl BreakerDocument {
    /// The breakers of which it is known that they are open, and what a host that has this name
    /// says of them.
    pub fn apply(found: Option<Self>, events: &[BreakerEvent], host: &str, now_ms: u64) -> (Self, Change<Self>) {
        let before = found.unwrap_or_default();
        let mut document = before.clone().current(now_ms);
        for event in events {
            document.note(event, host, now_ms);
        }
        let change = if document == before { Change::Leave } else { Change::Write(document.clone(), KEPT * 2) };
        (document, change)
    }

    /// Without those that nobody asks for any more.
    pub fn current(mut self, now_ms: u64) -> Self {
        for open in self.open.values_mut() {
            open.retain(|_, breaker| breaker.until_ms + KEPT.as_millis() as u64 > now_ms);
        }
        self.open.retain(|_, open| !open.is_empty());
        self
    }

    fn note(&mut self, event: &BreakerEvent, host: &str, now_ms: u64) {
        match event {
            BreakerEvent::Opened { scope, dependency, remaining, wait, failures } => {
                let until_ms = now_ms + remaining.as_millis() as u64;
                let is_known = self.open.get(scope).is_some_and(|open| open.contains_key(dependency));
                if !is_known && self.open.values().map(BTreeMap::len).sum::<usize>() >= BREAKERS_MAX {
                    return;
                }
                let open = self.open.entry(scope.clone()).or_default();
                let new = OpenBreaker { since_ms: now_ms, until_ms, wait_ms: 0, failures: 0, probe: None };
                let breaker = open.entry(dependency.clone()).or_insert(new);
                breaker.until_ms = breaker.until_ms.max(until_ms);
                breaker.wait_ms = breaker.wait_ms.max(wait.as_millis() as u64);
                breaker.failures = breaker.failures.max(*failures);
                breaker.probe = breaker.probe.take().filter(|probe| probe.host != host);
            }
            BreakerEvent::Closed { scope } => {
                self.open.remove(scope);
            }
            BreakerEvent::ProbeWanted { scope } => {
                // One run is the probe of all that its plugin waits for.
                let Some(open) = self.open.get_mut(scope) else { return };
                let is_taken = |probe: &Probe| probe.host != host && probe.until_ms > now_ms;
                let may_probe =
                    |breaker: &OpenBreaker| breaker.until_ms <= now_ms && !breaker.probe.as_ref().is_some_and(is_taken);
                if open.values().all(may_probe) {
                    for breaker in open.values_mut() {
                        let until_ms = now_ms + breaker.wait_ms.max(PROBE_MIN.as_millis() as u64);
                        breaker.probe = Some(Probe { host: host.to_owned(), until_ms });
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
