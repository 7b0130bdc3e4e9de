//! A fleet pool's document: which host has how many of its permits.
//!
//! A host renews its lease by giving it a new `beat`. Whoever sees a beat stand still for as long
//! as a lease lasts takes that host for dead, and its permits for free. So no two clocks are
//! compared: a holder counts its lease from before the call that renewed it, and an observer from
//! after the call in which it saw that.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use wasq_core::message::UnixMs;

/// How long a host has its permits without renewing them.
pub const LEASE: Duration = Duration::from_secs(10);
/// After so long without a beat its permits are free. Clocks do not run equally fast.
const DEAD: Duration = Duration::from_secs(11);
/// How often it renews them: three calls may fail.
pub const RENEW: Duration = Duration::from_secs(3);
/// A document that nobody renews is kept for so long: all leases are over by then.
pub const KEPT: Duration = Duration::from_secs(60);
/// Of a pool that nobody else waits for, a host takes one of so many permits beyond what it needs.
const CHUNKS: usize = 16;

/// What the ledger keeps of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolDocument {
    pub hosts: BTreeMap<String, HostLease>,
    /// The newest beat. No two renewals have the same: an observer must not take a host that has
    /// left and come back for one that stands still.
    #[serde(default)]
    beats: u64,
}

/// A host's part of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLease {
    pub permits: usize,
    /// How many it could use.
    pub wants: usize,
    beat: u64,
}

/// What a host saw of others' leases, by its own clock.
#[derive(Debug, Default)]
pub struct Observed(BTreeMap<String, (u64, Instant)>);

/// What a host has and needs.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    pub leased: usize,
    /// How many it could use, those in use included.
    pub wants: usize,
}

/// What a host may have now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// How many of its runs may have one. What is in use beyond that stays the host's until the
    /// runs give it back.
    pub permits: usize,
    /// Others wait for some, or it waits itself: it should look again soon.
    pub is_contended: bool,
    /// Hosts that have or want some, this one included.
    pub hosts: usize,
}

impl Observed {
    /// Notes what stands there now. The answer is the hosts whose leases are over.
    pub fn note(&mut self, document: &PoolDocument, me: &str, now: Instant) -> Vec<String> {
        self.0.retain(|host, _| document.hosts.contains_key(host));
        let others = document.hosts.iter().filter(|(host, _)| *host != me);
        let mut dead = Vec::new();
        for (host, lease) in others {
            let seen = self.0.entry(host.clone()).or_insert((lease.beat, now));
            if seen.0 != lease.beat {
                *seen = (lease.beat, now);
            } else if now.saturating_duration_since(seen.1) > DEAD {
                dead.push(host.clone());
            }
        }
        dead
    }
}

impl PoolDocument {
    /// What this host may have of the pool, over what stands there: never more than others leave.
    pub fn part(&self, me: &str, size: usize, need: Need) -> Part {
        let others = || self.hosts.iter().filter(|(host, _)| *host != me).map(|(_, lease)| lease);
        let free = size.saturating_sub(others().map(|lease| lease.permits).sum());
        let claimants = others().filter(|lease| lease.wants > 0).count() + usize::from(need.wants > 0);
        let others_wait = others().any(|lease| lease.wants > lease.permits);
        // What a host has stays with it until somebody else wants it.
        let kept = if others_wait { 0 } else { need.leased };
        let ahead = if others_wait || need.wants <= need.leased { 0 } else { (size / CHUNKS).max(1) };
        let asked = (need.wants + ahead).max(kept);
        let fair = if others_wait { size.div_ceil(claimants.max(1)) } else { size };
        let permits = asked.min(free).min(fair);
        Part { permits, is_contended: others_wait || need.wants > permits, hosts: claimants.max(1) }
    }

    /// With this host's lease renewed; or ended, where it has and wants nothing. The time is only
    /// for a document that was forgotten meanwhile, so that its beats are others than before.
    pub fn renewed(mut self, me: &str, permits: usize, wants: usize, dead: &[String], now: UnixMs) -> Self {
        self.beats = (self.beats + 1).max(now.0);
        self.hosts.retain(|host, _| !dead.contains(host));
        if permits == 0 && wants == 0 {
            self.hosts.remove(me);
            return self;
        }
        self.hosts.insert(me.to_owned(), HostLease { permits, wants, beat: self.beats });
        self
    }

    /// Whether others know all that they need to know of this host.
    pub fn says(&self, me: &str, permits: usize, wants: usize) -> bool {
        let said = self.hosts.get(me).copied().unwrap_or_default();
        said.permits == permits && (said.wants > said.permits) == (wants > permits) && (said.wants > 0) == (wants > 0)
    }

    /// Without the hosts whose leases are over.
    pub fn without(&self, dead: &[String]) -> Self {
        let hosts = self.hosts.iter().filter(|(host, _)| !dead.contains(host));
        Self { hosts: hosts.map(|(host, lease)| (host.clone(), *lease)).collect(), beats: self.beats }
    }
}

#[cfg(test)]
mod tests;
