//! A rate's document: when its next start is due. The algorithm is GCRA, the generic cell rate
//! algorithm (ITU-T I.371), with slots of time that hosts take in advance.
//!
//! The time is cut into slots, one for each start that the limit allows. The document says which
//! slot is the next that nobody has taken. A host takes several by moving that on, and starts one
//! run in each, not before the slot's time. So no slot is used twice, and the limit holds whoever
//! dies: what a dead host had taken is lost. A rate with a burst lets a slot be used early, by
//! `burst - 1` slots.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasq_ledgers::documents::Change;

use crate::config::Rate;

/// A host takes slots of so much time at once, divided by the hosts that take some.
pub const WINDOW: Duration = Duration::from_millis(500);
/// Slots are taken that begin up to so far ahead. It is long enough for a slow ledger, and short
/// enough that what a dead host had taken is not missed.
pub const AHEAD: Duration = Duration::from_millis(1_000);
/// A host that has taken a slot within this time counts as one of those that share the rate.
const SEEN: Duration = Duration::from_secs(10);
/// Hosts that a document names.
const HOSTS_MAX: usize = 256;
/// A document is kept for so long after its last slot. By then it says nothing that a new one would
/// not say.
const KEPT: Duration = Duration::from_secs(60);

const NS_PER_MS: u64 = 1_000_000;

/// A limit, as slots have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From one slot to the next.
    pub interval: Duration,
    pub burst: u32,
}

impl Pace {
    pub fn new(limit: Rate, burst: u32) -> Self {
        // Rounded up, so that the limit is never exceeded.
        let ns = limit.per.as_nanos().div_ceil(u128::from(limit.count.max(1)));
        Self { interval: Duration::from_nanos(ns as u64), burst }
    }

    /// By how much a slot may be used early.
    pub fn tolerance(self) -> Duration {
        self.interval.saturating_mul(self.burst.saturating_sub(1))
    }
}

/// What the ledger keeps of a rate, or of one of its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateDocument {
    /// The time of the first slot that nobody has taken, in nanoseconds since 1970.
    next_ns: u64,
    /// From one slot to the next, as the host saw it that took the last ones; 0 if it did not say.
    #[serde(default)]
    interval_ns: u64,
    /// When each host has last taken one, in milliseconds since 1970.
    hosts: BTreeMap<String, u64>,
}

/// What a host asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub host: &'a str,
    pub slots: u32,
    /// The host's wall clock.
    pub now_ms: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Slots in a row.
    Slots {
        /// The first one's time, from the host's `now_ms`.
        first_in: Duration,
        count: u32,
        hosts: u32,
    },
    /// Others have taken all that is near.
    Later {
        /// After so long the next one can be taken.
        ask_in: Duration,
        /// After so long it can be used.
        usable_in: Duration,
        hosts: u32,
    },
}

/// Takes slots, as many as are wanted and this host may have at once.
pub fn take(document: Option<RateDocument>, pace: Pace, wanted: Wanted<'_>) -> (Taken, Change<RateDocument>) {
    let mut document = document.unwrap_or_default();
    document.hosts.retain(|_, seen_ms| *seen_ms + SEEN.as_millis() as u64 > wanted.now_ms);
    let is_known = document.hosts.contains_key(wanted.host);
    let hosts = document.hosts.len() as u32 + u32::from(!is_known);

    let now_ns = wanted.now_ms * NS_PER_MS;
    let interval_ns = pace.interval.as_nanos() as u64;
    let tolerance_ns = pace.tolerance().as_nanos() as u64;
    // Slots that were taken at another pace are as many at this one.
    if document.interval_ns > 0 {
        let ahead_ns = u128::from(document.next_ns.saturating_sub(now_ns));
        let ahead_ns = ahead_ns * u128::from(interval_ns) / u128::from(document.interval_ns);
        document.next_ns = document.next_ns.min(now_ns).saturating_add(ahead_ns as u64);
    }
    document.interval_ns = interval_ns;
    let first_ns = document.next_ns.max(now_ns);
    let usable_ns = first_ns - tolerance_ns.min(first_ns);
    let wait_ns = usable_ns.saturating_sub(now_ns);
    let ahead_ns = AHEAD.as_nanos() as u64;
    if wait_ns > ahead_ns {
        let (ask_in, usable_in) = (Duration::from_nanos(wait_ns - ahead_ns), Duration::from_nanos(wait_ns));
        return (Taken::Later { ask_in, usable_in, hosts }, Change::Leave);
    }
    let share = WINDOW.as_nanos() as u64 / interval_ns.max(1) / u64::from(hosts);
    // A burst is there for whoever comes first.
    let usable_now = if wait_ns == 0 { (now_ns + tolerance_ns - first_ns) / interval_ns.max(1) + 1 } else { 0 };
    let count = u64::from(wanted.slots).min(share.max(usable_now)).max(1) as u32;
    document.next_ns = first_ns + u64::from(count) * interval_ns;
    if is_known || document.hosts.len() < HOSTS_MAX {
        document.hosts.insert(wanted.host.to_owned(), wanted.now_ms);
    }
    let kept = Duration::from_nanos(document.next_ns - now_ns) + KEPT;
    let first_in = Duration::from_nanos(first_ns - now_ns);
    (Taken::Slots { first_in, count, hosts }, Change::Write(document, kept))
}

#[cfg(test)]
mod tests;
