//! What each host of a service says of itself, so that any of them can tell how busy all are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the ids of the documents begin with; the host's name follows.
pub const HOST_PREFIX: &str = "host/";
/// How often a host says it.
pub const EVERY: Duration = Duration::from_secs(10);
/// A host that has said nothing for so long is gone.
pub const KEPT: Duration = Duration::from_secs(35);

/// A host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostReport {
    /// When it said this, by its wall clock, in milliseconds since 1970.
    pub at_ms: u64,
    pub queues: BTreeMap<String, QueueReport>,
}

/// What it does for a queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueueReport {
    /// Messages that it works on, without those that wait for a limit.
    pub in_hand: usize,
    /// How many it may work on.
    pub concurrency: usize,
    /// Messages that it has settled for good in a second, over the last minute.
    pub departures_per_s: f64,
    /// What has held messages back lately: `rate:NAME`, `pool:NAME`, `breaker:PLUGIN`,
    /// `pause:TARGET`.
    pub limited_by: BTreeSet<String>,
}
