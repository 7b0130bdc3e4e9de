use wasq_core::message::{Key, UnixMs};

use super::*;

#[test]
fn a_batch_that_is_dropped_leaves_no_trace() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut store = Store::open(dir.path()).expect("it opens").store;
    let batch = store.begin().expect("it begins");
    batch.put_envelope("letter", b"{}", UnixMs(u64::MAX)).expect("it writes");
    drop(batch);
    let batch = store.begin().expect("it begins");
    assert!(batch.envelope("letter", UnixMs(0)).expect("it reads").is_none());
}

#[test]
fn another_format_is_refused_with_its_number() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(dir.path()).expect("it opens").store;
    store.connection.pragma_update(None, "user_version", SCHEMA + 1).expect("it is ours");
    drop(store);
    let refused = Store::open(dir.path()).err().expect("it is of the future");
    assert!(matches!(refused, OpenError::Format { found, .. } if found == SCHEMA + 1), "{refused}");
}

#[test]
fn a_log_without_its_store_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(segment::path(dir.path(), 1), "").expect("it writes");
    let refused = Store::open(dir.path()).err().expect("fences would begin anew");
    assert!(matches!(refused, OpenError::Incomplete { .. }), "{refused}");
}

#[test]
fn a_step_counts_from_its_fence_on() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut store = Store::open(dir.path()).expect("it opens").store;
    let batch = store.begin().expect("it begins");
    let key = Key([7; 32]);
    batch.put_step(key, Fence(5), "step", b"value").expect("it writes");
    let is_there = |since| batch.step(key, Fence(since), "step").expect("it reads").is_some();
    assert_eq!((is_there(5), is_there(6)), (true, false));
    batch.forget_steps(key, Fence(4)).expect("it writes");
    assert!(is_there(5), "a younger step stays");
    batch.forget_steps(key, Fence(5)).expect("it writes");
    assert!(!is_there(0));
}

// As the versions before 4 made them.
const BY_KEY: &str = "
    CREATE TABLE entries (key BLOB PRIMARY KEY, state INTEGER NOT NULL, fence INTEGER NOT NULL, attempts INTEGER NOT NULL,
        crashes INTEGER NOT NULL, body BLOB NOT NULL, message_id TEXT NOT NULL, first_failed_at INTEGER,
        removable_at INTEGER NOT NULL, discarded INTEGER, result BLOB) STRICT, WITHOUT ROWID;";
const BY_ID: &str = "
    CREATE TABLE entries (id INTEGER PRIMARY KEY, key BLOB NOT NULL, state INTEGER NOT NULL, fence INTEGER NOT NULL,
        attempts INTEGER NOT NULL, crashes INTEGER NOT NULL, replays INTEGER NOT NULL DEFAULT 0, body BLOB NOT NULL,
        message_id TEXT NOT NULL, dead BLOB NOT NULL DEFAULT x'', first_failed_at INTEGER, removable_at INTEGER NOT NULL,
        discarded INTEGER, result BLOB) STRICT;
    CREATE TABLE places (key BLOB PRIMARY KEY, id INTEGER NOT NULL) STRICT, WITHOUT ROWID;";
const OTHERS: &str = "
    CREATE TABLE steps (key BLOB NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (key, name)) STRICT;
    CREATE TABLE envelopes (id TEXT PRIMARY KEY, json BLOB NOT NULL, removable_at INTEGER NOT NULL) STRICT;
    CREATE INDEX envelopes_by_age ON envelopes (removable_at);
    CREATE TABLE counts (openings INTEGER NOT NULL, pings INTEGER NOT NULL) STRICT;
    INSERT INTO counts VALUES (7, 0);";

/// A store of this version in `dir`, with `rows` for its entries: key, state, removable at.
pub fn old_store(dir: &Path, version: i64, rows: &[(Key, i64, i64)]) {
    let old = Connection::open(dir.join(DATABASE)).expect("it opens");
    old.execute_batch(OTHERS).expect("it is valid");
    match version {
        1 => old.execute_batch(BY_KEY).expect("it is valid"),
        2 => [BY_KEY, REPLAYS].iter().for_each(|sql| old.execute_batch(sql).expect("it is valid")),
        _ => {
            old.execute_batch(BY_ID).expect("it is valid");
            old.execute_batch("ALTER TABLE counts ADD COLUMN placed INTEGER NOT NULL DEFAULT 0").expect("it is valid");
        }
    }
    for (n, (key, state, removable_at)) in rows.iter().enumerate() {
        let row = "INSERT INTO entries (key, state, fence, attempts, crashes, body, message_id, removable_at, discarded, result)
                VALUES (?1, ?2, ?3, 1, 0, ?4, 'message', ?5, 0, x'07')";
        old.execute(row, rusqlite::params![&key.0, state, n as i64, &key.0, removable_at]).expect("it fits");
        old.execute("INSERT INTO steps VALUES (?1, 'step', x'08')", [&key.0]).expect("it fits");
    }
    old.pragma_update(None, "user_version", version).expect("it is ours");
}

#[test]
fn the_entries_of_earlier_versions_are_in_runs() {
    for version in 1..SCHEMA {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let rows: Vec<_> = (0..50u8).map(|n| (Key::derive(&[&[n]]), 3, i64::MAX)).collect();
        old_store(dir.path(), version, &rows);
        // What a conversion that was cut short has left.
        std::fs::write(dir.path().join("run-0000000000000007-0000000000000007.run"), "half").expect("it writes");
        for _ in 0..2 {
            let Opened { mut store, first } = Store::open(dir.path()).expect("it opens");
            assert!(first.0 >= 8 << 40, "fences go on");
            let runs = run::list(dir.path()).expect("it lists");
            let [(span, path)] = &runs[..] else { panic!("one run, and not {runs:?}") };
            let run = run::Run::open(*span, path.clone()).expect("it opens");
            for (n, (key, ..)) in rows.iter().enumerate() {
                let entry = run.get(*key).expect("it reads").expect("it is there").entry;
                assert_eq!((entry.fence.0, entry.body.0), (n as u64, key.0), "version {version}");
                let batch = store.begin().expect("it begins");
                assert!(batch.step(*key, Fence(0), "step").expect("it reads").is_some());
            }
        }
    }
}
