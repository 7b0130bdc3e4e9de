//! All keys that the host remembers, in bounded memory.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::entry::{Counts, Entry};
use crate::admission::fleet_pools::FleetPool;
use crate::admission::limit_key::LimitKey;
use crate::admission::remembered::{Remembered, Room};
use crate::config::{OnOutage, PoolConfig, PoolScope};

/// A key of a plugin's messages, with the limit on it. After a change of the limit what still runs
/// is counted under the one before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyId {
    pub plugin: String,
    pub max: usize,
    pub scope: PoolScope,
    pub key: LimitKey,
}

impl KeyId {
    /// The name of its pool in the ledger. No pool of the config has a `/` in its name.
    fn pool(&self) -> String {
        format!("key/{}/{}{}", self.plugin, self.max, self.key.suffix())
    }
}

pub struct Keys {
    entries: Remembered<KeyId, Entry>,
    /// Keys that the task has to begin to serve.
    pub begun: Vec<KeyId>,
    /// What became of messages of keys that are forgotten, by plugin.
    forgotten: BTreeMap<String, Counts>,
    turns: u64,
}

impl Keys {
    pub fn new(keys_max: usize) -> Self {
        Self { entries: Remembered::new(keys_max), begun: Vec::new(), forgotten: BTreeMap::new(), turns: 0 }
    }

    /// A number that grows, for those that came at the same time.
    pub fn next_turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    pub fn get(&mut self, id: &KeyId) -> Option<&mut Entry> {
        self.entries.get(id)
    }

    /// The key, which is made if it is not there. None where all that are there are in use.
    pub fn get_or_make(&mut self, id: &KeyId, now: Instant) -> Option<&mut Entry> {
        if let Room::Forgotten(forgotten, entry) = self.entries.make_room(id, Entry::is_idle)? {
            let counts = self.forgotten.entry(forgotten.plugin).or_default();
            counts.started += entry.counts.started;
            counts.hidden += entry.counts.hidden;
        }
        Some(self.entries.touch(id, || {
            let config = PoolConfig { size: id.max, scope: PoolScope::Fleet, on_outage: OnOutage::Hold };
            let pool = (id.scope == PoolScope::Fleet).then(|| FleetPool::new(&id.pool(), config));
            Entry::new(id.max, pool, now)
        }))
    }

    /// Keys with their entries.
    pub fn all(&self) -> impl Iterator<Item = (&KeyId, &Entry)> {
        self.entries.iter()
    }

    pub fn forgotten(&self, plugin: &str) -> Counts {
        self.forgotten.get(plugin).copied().unwrap_or_default()
    }
}
