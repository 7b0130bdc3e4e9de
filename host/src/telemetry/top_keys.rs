//! The keys whose messages use the most, in bounded memory.
//!
//! The tables are those of "Efficient Computation of Frequent and Top-k Elements in Data Streams"
//! (Metwally, Agrawal, El Abbadi, 2005), called Space-Saving, with weights. A table has a fixed
//! number of keys. A key that finds it full takes the place of the one with the least weight, and
//! that weight with it. So a table of `k` keys has each one whose part of all weight is over `1/k`.
//! A key's own numbers are those since it has been in the table, and exact.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::usage::RunUsage;

/// The longest key that is kept as it is. No setting: it is shown in a column.
const KEY_MAX_BYTES: usize = 64;
/// What is kept of a longer one, before its digest.
const KEPT_BYTES: usize = 44;
/// The key of messages that have none.
const NO_KEY: &str = "(none)";

/// What messages are ranked by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Processor time of handlers.
    #[default]
    Cpu,
    /// From sending to the handler's start.
    Wait,
    /// Bytes sent and received by outbound calls.
    Egress,
}

/// What one key's messages have used, since the key is in its table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeyUsage {
    pub key: String,
    /// Tells it from the same key's earlier stay in the table.
    pub entered: u64,
    pub runs: u64,
    pub cpu_s: f64,
    pub wait_s: f64,
    pub run_s: f64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
}

/// One plugin's keys, ranked by each of [`By`].
pub struct TopKeys([Mutex<Table>; 3]);

/// Keys by one weight.
struct Table {
    capacity: usize,
    entries: HashMap<String, Entry>,
    /// How many keys have entered.
    entered: u64,
}

struct Entry {
    /// With what it has from the keys before it in its place.
    weight: u64,
    usage: KeyUsage,
}

impl TopKeys {
    /// With room for so many keys in each ranking.
    pub fn new(capacity: usize) -> Self {
        let table = || Mutex::new(Table { capacity: capacity.max(1), entries: HashMap::new(), entered: 0 });
        Self([table(), table(), table()])
    }

    /// A message with this key has run, and waited so long before.
    pub fn ran(&self, key: Option<String>, used: &RunUsage, wait: Duration) {
        let key = key.map_or_else(|| NO_KEY.to_owned(), bounded);
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let weights = [nanos(used.cpu), nanos(wait), used.sent_bytes + used.received_bytes];
        for (table, weight) in self.0.iter().zip(weights) {
            table.lock().add(&key, weight, |usage| {
                usage.runs += 1;
                usage.cpu_s += used.cpu.as_secs_f64();
                usage.wait_s += wait.as_secs_f64();
                usage.run_s += used.elapsed.as_secs_f64();
                usage.sent_bytes += used.sent_bytes;
                usage.received_bytes += used.received_bytes;
            });
        }
    }

    /// The keys of one ranking, the one with the most first.
    pub fn ranked(&self, by: By) -> Vec<KeyUsage> {
        let table = self.0[by as usize].lock();
        let mut entries: Vec<_> = table.entries.values().map(|entry| (entry.weight, entry.usage.clone())).collect();
        drop(table);
        entries.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| one.key.cmp(&other.key)));
        entries.into_iter().map(|(_, usage)| usage).collect()
    }
}

impl Table {
    fn add(&mut self, key: &str, weight: u64, tell: impl FnOnce(&mut KeyUsage)) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.weight = entry.weight.saturating_add(weight);
            return tell(&mut entry.usage);
        }
        // What weighs nothing takes nobody's place.
        if weight == 0 {
            return;
        }
        let taken_over = if self.entries.len() < self.capacity { 0 } else { self.remove_least() };
        self.entered += 1;
        let mut usage = KeyUsage { key: key.to_owned(), entered: self.entered, ..KeyUsage::default() };
        tell(&mut usage);
        self.entries.insert(key.to_owned(), Entry { weight: taken_over.saturating_add(weight), usage });
    }

    /// Takes the key with the least weight out. The answer is its weight.
    fn remove_least(&mut self) -> u64 {
        let least = self.entries.iter().min_by_key(|(_, entry)| entry.weight);
        let Some((key, weight)) = least.map(|(key, entry)| (key.clone(), entry.weight)) else { return 0 };
        self.entries.remove(&key);
        weight
    }
}

/// A long key is cut, and its digest keeps it apart from others that begin alike.
fn bounded(key: String) -> String {
    if key.len() <= KEY_MAX_BYTES {
        return key;
    }
    let digest = blake3::hash(key.as_bytes()).to_hex();
    format!("{}…{}", &key[..key.floor_char_boundary(KEPT_BYTES)], &digest[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(cpu_us: u64) -> RunUsage {
        RunUsage { cpu: Duration::from_micros(cpu_us), ..RunUsage::default() }
    }

    fn key(name: impl ToString) -> Option<String> {
        Some(name.to_string())
    }

    #[test]
    fn a_key_with_more_than_its_part_is_there_however_many_others_there_are() {
        const CAPACITY: usize = 10;
        let keys = TopKeys::new(CAPACITY);
        // Each of the three has over a tenth of all; 5,000 others share the rest.
        for round in 0..5_000 {
            for (name, every, cpu_us) in [("often", 1, 20), ("seldom", 100, 2_500), ("late", 1, 60)] {
                if round % every == 0 && (name != "late" || round > 2_500) {
                    keys.ran(key(name), &used(cpu_us), Duration::ZERO);
                }
            }
            keys.ran(key(round), &used(20), Duration::ZERO);
        }
        let ranked = keys.ranked(By::Cpu);
        assert_eq!(ranked.len(), CAPACITY);
        let first: Vec<_> = ranked[..3].iter().map(|usage| usage.key.as_str()).collect();
        assert_eq!(first, ["late", "seldom", "often"]);
        // They have never left, so that their numbers are whole.
        let often = &ranked[2];
        assert_eq!((often.runs, (often.cpu_s * 1e6).round()), (5_000, 100_000.0));
        assert!(keys.ranked(By::Egress).is_empty(), "nobody called out");
    }

    #[test]
    fn a_key_that_comes_back_begins_anew() {
        let keys = TopKeys::new(1);
        for (name, cpu_us) in [("a", 5), ("b", 3), ("a", 2)] {
            keys.ran(key(name), &used(cpu_us), Duration::from_secs(1));
        }
        let ranked = keys.ranked(By::Cpu);
        let a = &ranked[0];
        assert_eq!(ranked.len(), 1);
        assert_eq!((a.key.as_str(), a.entered, a.runs, (a.cpu_s * 1e6).round()), ("a", 3, 1, 2.0));
    }

    #[test]
    fn each_ranking_has_its_own_keys() {
        let keys = TopKeys::new(1);
        keys.ran(key("computes"), &used(100), Duration::from_millis(1));
        keys.ran(key("waited"), &used(10), Duration::from_secs(1));
        keys.ran(key("sends"), &RunUsage { sent_bytes: 7, received_bytes: 1, ..used(1) }, Duration::ZERO);
        keys.ran(None, &RunUsage { received_bytes: 100, ..used(1) }, Duration::ZERO);
        // The least leaves, whatever it weighs: the newest are there.
        assert_eq!([By::Cpu, By::Wait, By::Egress].map(|by| keys.ranked(by).remove(0).key), [NO_KEY, "waited", NO_KEY]);
    }

    #[test]
    fn a_long_key_is_cut_and_stays_apart_from_others() {
        assert_eq!(bounded("x".repeat(KEY_MAX_BYTES)), "x".repeat(KEY_MAX_BYTES));
        let (one, other) = (bounded("é".repeat(100)), bounded("é".repeat(101)));
        assert!(one != other && one.starts_with("éé") && one.len() <= KEY_MAX_BYTES, "{one}, {other}");
    }
}
