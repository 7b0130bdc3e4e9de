//! What is remembered of keys, in bounded memory: for a new one, an idle one that was used longest
//! ago is forgotten.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// How many of those that were used longest ago are looked at for one that can be forgotten.
const LOOKED_AT: usize = 16;

pub struct Remembered<K, V> {
    by_key: HashMap<K, (u64, V)>,
    by_use: BTreeMap<u64, K>,
    most: usize,
    counter: u64,
}

/// What a key's room is there for.
pub enum Room<K, V> {
    Free,
    /// This one was forgotten for it.
    Forgotten(K, V),
}

impl<K: Clone + Eq + Hash, V> Remembered<K, V> {
    pub fn new(most: usize) -> Self {
        Self { by_key: HashMap::new(), by_use: BTreeMap::new(), most, counter: 0 }
    }

    pub fn get(&mut self, key: &K) -> Option<&mut V> {
        self.by_key.get_mut(key).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.by_key.iter().map(|(key, (_, value))| (key, value))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.by_key.iter_mut().map(|(key, (_, value))| (key, value))
    }

    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Sees to it that the key is there or has room. None where there is none: all others are in
    /// use.
    pub fn make_room(&mut self, key: &K, is_idle: impl Fn(&V) -> bool) -> Option<Room<K, V>> {
        if self.by_key.contains_key(key) || self.by_key.len() < self.most {
            return Some(Room::Free);
        }
        let mut oldest = self.by_use.iter().take(LOOKED_AT);
        let used = *oldest.find(|(_, key)| is_idle(&self.by_key[*key].1))?.0;
        let key = self.by_use.remove(&used)?;
        let (_, value) = self.by_key.remove(&key)?;
        Some(Room::Forgotten(key, value))
    }

    /// The key, which is made if it is not there, and is the one that was used last from now on.
    pub fn touch(&mut self, key: &K, make: impl FnOnce() -> V) -> &mut V {
        self.counter += 1;
        let used = self.counter;
        let (last, value) = self.by_key.entry(key.clone()).or_insert_with(|| (used, make()));
        let key = self.by_use.remove(last).unwrap_or_else(|| key.clone());
        *last = used;
        self.by_use.insert(used, key);
        value
    }
}
