//! Which keys a run has not: a Bloom filter in blocks of one cache line, so that a key that is new,
//! as most are, costs no look at the disk.

use wasq_core::message::Key;

/// Bits for a key: one key in a hundred that a run has not is looked for in vain.
pub const BITS_A_KEY: u64 = 10;
/// A filter's size at most, some 50 million keys. Beyond, more keys are looked for in vain.
pub const FILTER_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Bits that a key sets in its block.
const BITS_SET: u32 = 6;
const BLOCK_BYTES: usize = 64;
/// Bits that say which of a block's bits is meant.
const BIT_BITS: u32 = (BLOCK_BYTES as u32 * 8).ilog2();

pub struct Filter(Vec<u8>);

impl Filter {
    /// An empty one with room for so many keys.
    pub fn with_room_for(keys: u64) -> Self {
        let bytes = (keys * BITS_A_KEY / 8).min(FILTER_MAX_BYTES) as usize;
        Self(vec![0; bytes.next_multiple_of(BLOCK_BYTES).max(BLOCK_BYTES)])
    }

    /// As [`Filter::as_bytes`] gave them; none if that is damaged.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        (!bytes.is_empty() && bytes.len().is_multiple_of(BLOCK_BYTES)).then_some(Self(bytes))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn insert(&mut self, key: Key) {
        let (block, bits) = self.block_and_bits(key);
        for bit in bits {
            self.0[block + bit / 8] |= 1 << (bit % 8);
        }
    }

    /// Whether the key may have been inserted. False is certain.
    pub fn may_have(&self, key: Key) -> bool {
        let (block, mut bits) = self.block_and_bits(key);
        bits.all(|bit| self.0[block + bit / 8] & (1 << (bit % 8)) != 0)
    }

    /// Where the key's block begins, and its bits in it. A key is a digest: its own bytes are as
    /// good as a hash.
    fn block_and_bits(&self, key: Key) -> (usize, impl Iterator<Item = usize> + use<>) {
        let word = |n: usize| u64::from_le_bytes(*key.0[n * 8..].first_chunk().expect("a key has four words"));
        let blocks = (self.0.len() / BLOCK_BYTES) as u64;
        let block = (word(1) % blocks) as usize * BLOCK_BYTES;
        let bits = word(2);
        (block, (0..BITS_SET).map(move |n| (bits >> (n * BIT_BITS)) as usize % (BLOCK_BYTES * 8)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> Key {
        Key::derive(&[&n.to_le_bytes()])
    }

    #[test]
    fn what_is_in_is_found_and_what_is_not_is_seldom_looked_for() {
        const KEYS: u32 = 20_000;
        let mut filter = Filter::with_room_for(u64::from(KEYS));
        (0..KEYS).for_each(|n| filter.insert(key(n)));
        let filter = Filter::from_bytes(filter.as_bytes().to_vec()).expect("it is whole");
        assert!((0..KEYS).all(|n| filter.may_have(key(n))));
        let in_vain = (KEYS..2 * KEYS).filter(|n| filter.may_have(key(*n))).count();
        assert!(in_vain < KEYS as usize / 50, "{in_vain}");
    }

    #[test]
    fn a_filter_has_a_largest_size() {
        assert_eq!(Filter::with_room_for(u64::MAX / BITS_A_KEY).as_bytes().len() as u64, FILTER_MAX_BYTES);
        assert!(!Filter::with_room_for(0).may_have(key(1)));
    }
}
