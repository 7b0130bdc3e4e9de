//! What is seen of keyed concurrency.

use serde::{Deserialize, Serialize};

use super::KeyLimits;
use super::keys::KeyId;
use crate::config::PoolScope;

/// Keys of a plugin that are listed: those that most messages wait for, and then those with most
/// runs.
const KEYS_SHOWN: usize = 10;

/// A plugin's keyed concurrency, as this host has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyedStatus {
    pub plugin: String,
    /// Runs at once for each key.
    pub max: usize,
    pub scope: PoolScope,
    /// Runs now, of all keys on this host.
    pub running: usize,
    /// Messages that wait in hand.
    pub waiting: usize,
    /// Permits that messages were given, since this host began.
    pub started: u64,
    /// Messages that were hidden for it.
    pub hidden: u64,
    /// Keys that this host remembers.
    pub keys: usize,
    /// The first of them.
    pub top: Vec<KeyedTop>,
}

/// One key of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedTop {
    /// The key, the digest of a long one, or `(no key)`.
    pub key: String,
    pub running: usize,
    pub waiting: usize,
    pub started: u64,
    pub hidden: u64,
}

impl KeyLimits {
    /// For how much longer this host has what it leased of a fleet's key, unless it renews that.
    pub fn lease_ms(&self, id: &KeyId) -> u64 {
        let pool = self.state.lock().get(id).and_then(|entry| entry.pool.clone());
        pool.map_or(0, |pool| pool.status().lease_ms)
    }

    /// What there is of the plugins of these names, with their limits.
    pub fn status<'a>(&self, plugins: impl IntoIterator<Item = (&'a str, usize, PoolScope)>) -> Vec<KeyedStatus> {
        let state = self.state.lock();
        let mut all: Vec<_> = plugins
            .into_iter()
            .map(|(plugin, max, scope)| {
                let forgotten = state.forgotten(plugin);
                KeyedStatus {
                    plugin: plugin.to_owned(),
                    max,
                    scope,
                    running: 0,
                    waiting: 0,
                    started: forgotten.started,
                    hidden: forgotten.hidden,
                    keys: 0,
                    top: Vec::new(),
                }
            })
            .collect();
        for (id, entry) in state.all() {
            let Some(plugin) = all.iter_mut().find(|plugin| plugin.plugin == id.plugin) else { continue };
            let (running, waiting, counts) = (entry.running(), entry.line.len(), entry.counts);
            plugin.running += running;
            plugin.waiting += waiting;
            plugin.started += counts.started;
            plugin.hidden += counts.hidden;
            plugin.keys += 1;
            let (started, hidden, key) = (counts.started, counts.hidden, id.key.to_string());
            plugin.top.push(KeyedTop { key, running, waiting, started, hidden });
        }
        drop(state);
        for plugin in &mut all {
            plugin.top.sort_by(|a, b| {
                (b.waiting, b.running, b.started, &a.key).cmp(&(a.waiting, a.running, a.started, &b.key))
            });
            plugin.top.truncate(KEYS_SHOWN);
        }
        all
    }
}
