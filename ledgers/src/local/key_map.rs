//! Maps by key. A key is a digest: two of its words, mixed with numbers that nobody outside knows,
//! are as good as a hash of all of it, and ten of a message's lookups cost as much as one.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use wasq_core::message::Key;

pub type KeyMap<V> = HashMap<Key, V, KeyHash>;

#[derive(Clone, Copy, Debug)]
pub struct KeyHash([u64; 2]);

impl Default for KeyHash {
    fn default() -> Self {
        let random = RandomState::new();
        Self([random.hash_one(0), random.hash_one(1)])
    }
}

impl BuildHasher for KeyHash {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        KeyHasher { secret: self.0, hash: 0 }
    }
}

pub struct KeyHasher {
    secret: [u64; 2],
    hash: u64,
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, _) = bytes.as_chunks::<8>();
        let word = |n: usize| words.get(n).map_or(0, |word| u64::from_le_bytes(*word)) ^ self.secret[n];
        let mixed = u128::from(word(0)) * u128::from(word(1));
        self.hash = mixed as u64 ^ (mixed >> 64) as u64;
    }

    /// All keys have one length.
    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.hash
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_have_hashes_of_their_own_and_other_ones_in_another_map() {
        let (one, other) = (KeyHash::default(), KeyHash::default());
        let keys = (0..10_000u32).map(|n| Key::derive(&[&n.to_le_bytes()]));
        let hashes: HashSet<u64> = keys.flat_map(|key| [one.hash_one(key), other.hash_one(key)]).collect();
        assert_eq!(hashes.len(), 20_000);
        let low_bits: HashSet<u64> = hashes.iter().map(|hash| hash & 0xfff).collect();
        assert!(low_bits.len() > 4_000, "{}", low_bits.len());
    }
}
