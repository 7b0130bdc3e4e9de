//! What is seen of the rates.

use serde::{Deserialize, Serialize};

use super::bucket::Counts;
use super::{Rate, Rates};

/// Keys of a rate that are listed: those that most messages wait for, and then those that were used
/// most.
const KEYS_SHOWN: usize = 10;

/// A rate, as this host has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateStatus {
    pub name: String,
    /// The limit that holds, as the config would have it: `100/s`.
    pub limit: String,
    /// The config's limit, where an operator has set another one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub configured: Option<String>,
    pub per_second: f64,
    pub burst: u32,
    /// Hosts that share it, as far as this one knows.
    pub hosts: u32,
    /// Messages that wait in hand.
    pub waiting: usize,
    /// Runs that were started, since this host began.
    pub started: u64,
    /// Messages that were hidden for it.
    pub hidden: u64,
    /// Slots that this host had taken and did not use in time.
    pub lost: u64,
    /// Keys that this host remembers.
    pub keys: usize,
    /// The first of them.
    pub top: Vec<KeyStatus>,
}

/// One key of a rate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyStatus {
    /// The key, the digest of a long one, or `(no key)`.
    pub key: String,
    pub waiting: usize,
    pub started: u64,
    pub hidden: u64,
}

impl Rates {
    /// Every rate of the config, by name.
    pub fn status(&self) -> Vec<RateStatus> {
        let state = self.state.lock();
        let of_config = |(at, rate): (usize, &Rate)| {
            let Counts { used, hidden, lost } = state.forgotten(at);
            let (limit, configured) = (*rate.limit.lock(), rate.config.limit);
            RateStatus {
                name: rate.name.clone(),
                limit: limit.to_string(),
                configured: (limit != configured).then(|| configured.to_string()),
                per_second: limit.per_second(),
                burst: rate.config.burst,
                hosts: 1,
                waiting: 0,
                started: used,
                hidden,
                lost,
                keys: 0,
                top: Vec::new(),
            }
        };
        let mut all: Vec<_> = self.rates.iter().enumerate().map(of_config).collect();
        for (id, bucket) in state.all() {
            let rate = &mut all[id.rate];
            let counts = bucket.counts;
            rate.hosts = rate.hosts.max(bucket.hosts);
            rate.waiting += bucket.line.len();
            rate.started += counts.used;
            rate.hidden += counts.hidden;
            rate.lost += counts.lost;
            if !id.has_key() {
                continue;
            }
            rate.keys += 1;
            rate.top.push(KeyStatus {
                key: id.key.to_string(),
                waiting: bucket.line.len(),
                started: counts.used,
                hidden: counts.hidden,
            });
        }
        drop(state);
        for rate in &mut all {
            rate.top.sort_by(|a, b| (b.waiting, b.started, &a.key).cmp(&(a.waiting, a.started, &b.key)));
            rate.top.truncate(KEYS_SHOWN);
        }
        all
    }
}
