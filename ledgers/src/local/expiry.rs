//! Removes what has expired, a little at a time, so that the hot path pays for no index by age.
//!
//! The writer makes a turn every second, and under load one for every few hundred entries that have
//! come in: what is removed keeps up with what comes, at any rate. Half of a turn goes to the
//! oldest rows, since rows stand in the order in which they came and most expire in it. The other
//! half goes on with a walk over all rows, since some outlast those behind them.

use wasq_core::message::UnixMs;

use super::leases::Leases;
use super::row_index::Id;
use super::rows::Batch;
use crate::ledger::LedgerError;
use crate::meters::LedgerMeters;

/// Entries after which a turn is made before its second is over.
const INSERTS_A_TURN: u32 = 500;
/// Rows that each half of a turn looks at for an entry that came in. With two, at most every second
/// row has expired: the walk comes round once while half as many entries come in as there are.
const ROWS_AN_INSERT: u32 = 2;
/// Rows that each half looks at at least, and at most: some milliseconds of the writer's time.
const ROWS_LEAST: u32 = 1_000;
const ROWS_MOST: u32 = 2_000;

/// How far the walk has come.
#[derive(Clone, Debug, Default)]
pub struct Expiry {
    at: Id,
    /// Rows that this walk has left behind it.
    passed: u64,
    /// Rows that there are, since a walk has seen them all.
    entries: Option<u64>,
    /// For how long the most overdue of the last turn's rows could have been gone.
    overdue_ms: u64,
}

/// What a look at some rows has found.
struct Look {
    /// The last of them.
    last: Option<Id>,
    rows: u32,
    removed: u32,
    /// Of those, the ones that the walk had passed.
    removed_behind: u32,
    overdue_ms: u64,
}

impl Expiry {
    const START: Id = 0;

    /// Whether so many new entries want a turn of their own.
    pub fn is_due(inserted: u32) -> bool {
        inserted >= INSERTS_A_TURN
    }

    /// Looks at some rows and removes those whose time has come by the wall clock, and no live
    /// claim stands on. `inserted` is how many have come in since the last turn. Gives the walk as
    /// it stands once the batch is written.
    pub fn turn(&self, batch: &Batch<'_>, leases: &Leases, now: UnixMs, inserted: u32) -> Result<Self, LedgerError> {
        let limit = inserted.saturating_mul(ROWS_AN_INSERT).clamp(ROWS_LEAST, ROWS_MOST);
        let oldest = self.look(batch, leases, now, Self::START, limit)?;
        let walked = self.look(batch, leases, now, self.at, limit)?;
        batch.remove_envelopes(now, 2 * limit)?;
        let removed = u64::from(oldest.removed + walked.removed);
        let passed =
            (self.passed + u64::from(walked.rows - walked.removed)).saturating_sub(u64::from(oldest.removed_behind));
        let overdue_ms = oldest.overdue_ms.max(walked.overdue_ms);
        Ok(match walked.last {
            Some(at) if walked.rows == limit => {
                let entries = self.entries.map(|before| (before + u64::from(inserted)).saturating_sub(removed));
                Self { at, passed, entries, overdue_ms }
            }
            Some(_) | None => Self { at: Self::START, passed: 0, entries: Some(passed), overdue_ms },
        })
    }

    /// Shows what is known.
    pub fn tell(&self, meters: &LedgerMeters) {
        if let Some(entries) = self.entries {
            meters.entries.set(entries as f64);
        }
        meters.overdue_s.set(self.overdue_ms as f64 / 1_000.0);
    }

    fn look(&self, batch: &Batch<'_>, leases: &Leases, now: UnixMs, from: Id, limit: u32) -> Result<Look, LedgerError> {
        let mut look = Look { last: None, rows: 0, removed: 0, removed_behind: 0, overdue_ms: 0 };
        for row in batch.ages(from, limit)? {
            look.last = Some(row.id);
            look.rows += 1;
            if row.removable_at <= now && !row.key.is_some_and(|key| leases.knows(key)) {
                batch.remove(row.id, row.key)?;
                look.removed += 1;
                look.removed_behind += u32::from(row.id <= self.at);
                look.overdue_ms = look.overdue_ms.max(now.0 - row.removable_at.0);
            }
        }
        Ok(look)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wasq_core::clock;
    use wasq_core::message::Key;

    use super::super::store::Store;
    use super::*;
    use crate::entry::Entry;
    use crate::ledger::Fence;

    const NOW: UnixMs = UnixMs(1_000_000);

    fn key(n: u32) -> Key {
        Key::derive(&[&n.to_le_bytes()])
    }

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

    fn rows(batch: &Batch<'_>) -> u64 {
        batch.count("SELECT count(*) FROM entries") as u64
    }

    #[test]
    fn turn_by_turn_what_has_expired_goes_and_the_rest_stays() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (mut store, _) = Store::open(dir.path()).expect("it opens");
        let mut batch = store.begin().expect("it begins");
        let expired = |n: u32| !n.is_multiple_of(10);
        let all = 0..ROWS_LEAST * 3 + 500;
        for n in all.clone() {
            put(&mut batch, key(n), if expired(n) { UnixMs(NOW.0 - 7) } else { UnixMs(NOW.0 + 1) });
        }

        let mut expiry = Expiry::default();
        let mut turns = 0;
        loop {
            expiry = expiry.turn(&batch, &Leases::default(), NOW, 0).expect("it sweeps");
            turns += 1;
            assert_eq!(expiry.overdue_ms, 7);
            if expiry.at == Expiry::START {
                break;
            }
            assert_eq!(expiry.entries, None, "nobody has seen them all yet");
        }
        assert_eq!(turns, 2, "one turn does not look at everything");
        for n in all {
            assert_eq!(is_there(&batch, key(n)), !expired(n), "{n}");
        }
        assert_eq!(expiry.entries, Some(rows(&batch)));
        let expiry = expiry.turn(&batch, &Leases::default(), NOW, 0).expect("it sweeps");
        assert_eq!((expiry.overdue_ms, expiry.entries), (0, Some(rows(&batch))));
    }

    #[test]
    fn a_live_claim_is_not_swept_however_the_wall_clock_jumps() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (mut store, _) = Store::open(dir.path()).expect("it opens");
        let mut batch = store.begin().expect("it begins");
        let key = Key([7; 32]);
        let entry = put(&mut batch, key, NOW);
        let mut leases = Leases::default();
        leases.hold(key, entry, true, clock::now(), Duration::from_secs(60));
        for now in [UnixMs(u64::MAX), UnixMs(0), UnixMs(u64::MAX)] {
            for inserted in [0, u32::MAX] {
                Expiry::default().turn(&batch, &leases, now, inserted).expect("it sweeps");
                assert!(batch.entry(key).expect("it reads").is_some());
            }
        }
    }

    /// Entries that come at 10,000 a second of simulated time; after each whole second, how many
    /// rows there are and how many of them live, and what the expiry says of them.
    fn load(lives_ms: impl Fn(u32) -> u64) -> Vec<(u64, u64, Expiry)> {
        const BATCH: u32 = 250;
        const BATCH_MS: u64 = 25;
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (mut store, _) = Store::open(dir.path()).expect("it opens");
        let (mut expiry, mut inserted, mut now) = (Expiry::default(), 0, NOW);
        let mut ends = Vec::new();
        let mut seconds = Vec::new();
        for batch_number in 0..160 {
            let mut batch = store.begin().expect("it begins");
            for n in batch_number * BATCH..(batch_number + 1) * BATCH {
                let removable_at = UnixMs(now.0 + lives_ms(n));
                assert!(batch.insert(key(n), &Entry::released(Fence(1), removable_at)).expect("it writes"));
                ends.push(removable_at);
            }
            batch.commit().expect("it commits");
            inserted += BATCH;
            now.0 += BATCH_MS;
            let batch = store.begin().expect("it begins");
            if Expiry::is_due(inserted) {
                expiry = expiry.turn(&batch, &Leases::default(), now, inserted).expect("it sweeps");
                inserted = 0;
            }
            if (now.0 - NOW.0).is_multiple_of(1_000) {
                let live = ends.iter().filter(|end| **end > now).count() as u64;
                seconds.push((rows(&batch), live, expiry.clone()));
            }
            batch.commit().expect("it commits");
        }
        seconds
    }

    #[test]
    fn at_ten_thousand_a_second_what_has_expired_goes_as_fast_as_it_comes() {
        for (rows, live, expiry) in load(|_| 200) {
            assert!(rows <= live + u64::from(INSERTS_A_TURN), "{rows} rows, {live} of them live");
            assert!(expiry.overdue_ms <= 100, "{expiry:?}");
        }
    }

    #[test]
    fn where_the_oldest_stay_and_others_go_at_most_every_second_row_has_expired() {
        for (rows, live, expiry) in load(|n| if n % 4 == 0 { 3_600_000 } else { 200 }) {
            assert!(rows <= live * 2 + u64::from(ROWS_MOST), "{rows} rows, {live} of them live");
            let counted = expiry.entries.expect("a walk has come round");
            assert!(counted.abs_diff(rows) <= u64::from(INSERTS_A_TURN), "{counted} counted of {rows}");
        }
    }

    #[test]
    fn a_row_whose_key_cannot_be_read_goes_and_does_not_stop_the_walk() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (mut store, _) = Store::open(dir.path()).expect("it opens");
        let mut batch = store.begin().expect("it begins");
        put(&mut batch, key(1), NOW);
        batch.run("UPDATE entries SET key = x'07'", &[]).expect("it is ours");
        put(&mut batch, key(2), NOW);
        Expiry::default().turn(&batch, &Leases::default(), NOW, 0).expect("it sweeps");
        assert_eq!(rows(&batch), 0);
        drop(batch);
    }
}
