//! Removes what has expired, a little at a time: it walks through the entries in their order and starts over at the end, so
//! that the hot path pays for no index by age.

use super::leases::Leases;
use super::places::Id;
use super::rows::Batch;
use crate::ledger::LedgerError;
use crate::message::UnixMs;

/// Rows a turn looks at: a few milliseconds of the writer's time. A million entries are looked through in some ten minutes.
const TURN_ROWS: u32 = 2_000;

/// How far the walk has come.
#[derive(Default)]
pub struct Sweep {
    at: Id,
}

impl Sweep {
    const START: Id = 0;

    /// Looks at the next rows and removes those whose time has come by the wall clock, and no live claim stands on.
    pub fn turn(&mut self, batch: &Batch<'_>, leases: &Leases, now: UnixMs) -> Result<(), LedgerError> {
        let rows = batch.ages(self.at, TURN_ROWS)?;
        for (id, key, removable_at) in &rows {
            if *removable_at <= now && !leases.knows(*key) {
                batch.remove(*id, *key)?;
            }
        }
        batch.remove_envelopes(now, TURN_ROWS)?;
        self.at = match rows.last() {
            Some((last, _, _)) if rows.len() == TURN_ROWS as usize => *last,
            Some(_) | None => Self::START,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::disk::Disk;
    use super::*;
    use crate::clock;
    use crate::ledger::Fence;
    use crate::ledger::entry::Entry;
    use crate::message::Key;

    const NOW: UnixMs = UnixMs(1_000_000);

    fn put(batch: &mut Batch<'_>, key: Key, removable_at: UnixMs) -> Entry {
        let entry = Entry::released(Fence(1), removable_at);
        assert!(batch.insert(key, &entry).expect("it writes"));
        batch.put_step(key, "step", b"value").expect("it writes");
        batch.put_envelope(&key.to_hex(), b"{}", removable_at).expect("it writes");
        entry
    }

    /// Whether the key's entry, step and envelope are all there (true) or all gone.
    fn is_there(batch: &Batch<'_>, key: Key) -> bool {
        let there = [
            batch.entry(key).expect("it reads").is_some(),
            batch.step(key, "step").expect("it reads").is_some(),
            batch.envelope(&key.to_hex(), UnixMs(0)).expect("it reads").is_some(),
        ];
        assert_eq!(there, [there[0]; 3]);
        there[0]
    }

    #[test]
    fn turn_by_turn_what_has_expired_goes_and_the_rest_stays() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (mut disk, _) = Disk::open(dir.path()).expect("it opens");
        let mut batch = disk.begin().expect("it begins");
        let keys: Vec<Key> = (0..TURN_ROWS + 500).map(|n| Key::derive(&[&n.to_le_bytes()])).collect();
        let expired = |n: usize| !n.is_multiple_of(10);
        for (n, key) in keys.iter().enumerate() {
            put(&mut batch, *key, if expired(n) { NOW } else { UnixMs(NOW.0 + 1) });
        }

        let mut sweep = Sweep::default();
        sweep.turn(&batch, &Leases::default(), NOW).expect("it sweeps");
        assert!(sweep.at > Sweep::START, "one turn does not look at everything");
        sweep.turn(&batch, &Leases::default(), NOW).expect("it sweeps");
        assert!(sweep.at == Sweep::START, "it starts over");
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(is_there(&batch, *key), !expired(n), "{n}");
        }
    }

    #[test]
    fn a_live_claim_is_not_swept_however_the_wall_clock_jumps() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (mut disk, _) = Disk::open(dir.path()).expect("it opens");
        let mut batch = disk.begin().expect("it begins");
        let key = Key([7; 32]);
        let entry = put(&mut batch, key, NOW);
        let mut leases = Leases::default();
        leases.hold(key, entry, true, clock::now(), Duration::from_secs(60));
        Sweep::default().turn(&batch, &leases, UnixMs(u64::MAX)).expect("it sweeps");
        assert!(batch.entry(key).expect("it reads").is_some());
    }
}
