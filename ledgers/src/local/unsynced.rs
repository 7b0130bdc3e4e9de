//! The keys whose ends are written and perhaps not on the disk yet. A claim that meets one of them
//! is answered from the disk; one that meets an older end need not wait.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasq_core::message::Key;

/// Bounded by what waits for the disk at once.
pub struct Unsynced {
    /// The syncs that they wait for, oldest first.
    order: VecDeque<(u64, Key)>,
    latest: HashMap<Key, u64>,
    /// The last sync that is done.
    done: Arc<AtomicU64>,
}

impl Unsynced {
    pub fn new(done: Arc<AtomicU64>) -> Self {
        Self { order: VecDeque::new(), latest: HashMap::new(), done }
    }

    /// The key's end is written, and `sync` brings it to the disk.
    pub fn wrote(&mut self, key: Key, sync: u64) {
        self.order.push_back((sync, key));
        self.latest.insert(key, sync);
    }

    pub fn contains(&self, key: Key) -> bool {
        self.latest.get(&key).is_some_and(|sync| *sync > self.done.load(Ordering::Acquire))
    }

    /// Forgets what is on the disk by now.
    pub fn forget_synced(&mut self) {
        let done = self.done.load(Ordering::Acquire);
        while let Some((_, key)) = self.order.pop_front_if(|(sync, _)| *sync <= done) {
            if self.latest.get(&key).is_some_and(|sync| *sync <= done) {
                self.latest.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_unsynced_until_its_latest_end_is_on_the_disk() {
        let done = Arc::new(AtomicU64::new(0));
        let (one, two) = (Key([1; 32]), Key([2; 32]));
        let mut unsynced = Unsynced::new(done.clone());
        unsynced.wrote(one, 1);
        unsynced.wrote(two, 2);
        unsynced.wrote(one, 3);
        let mut check = |synced: u64, expect: (bool, bool), left: usize| {
            done.store(synced, Ordering::Release);
            assert_eq!((unsynced.contains(one), unsynced.contains(two)), expect, "synced {synced}");
            unsynced.forget_synced();
            assert_eq!((unsynced.contains(one), unsynced.contains(two)), expect, "synced {synced}, and forgotten");
            assert_eq!((unsynced.order.len(), unsynced.latest.len()), (left, left.min(2)), "synced {synced}");
        };
        check(0, (true, true), 3);
        check(1, (true, true), 2);
        check(2, (true, false), 1);
        check(3, (false, false), 0);
    }
}
