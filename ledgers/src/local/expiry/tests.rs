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
