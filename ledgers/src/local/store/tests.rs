use std::os::unix::fs::MetadataExt;

use wasq_core::message::{Key, UnixMs};

use super::*;

#[test]
fn a_checkpoint_empties_the_log_and_the_log_stays_the_same_file() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut store, _) = Store::open(dir.path()).expect("it opens");
    let log = store.log().expect("the log is there");
    let write = |store: &mut Store| {
        let batch = store.begin().expect("it begins");
        batch.put_envelope("letter", b"{}", UnixMs(u64::MAX)).expect("it writes");
        batch.commit().expect("it commits");
    };
    write(&mut store);
    assert!(log.metadata().expect("it is open").size() > 0);
    store.checkpoint().expect("nobody blocks it");
    assert_eq!(log.metadata().expect("it is open").size(), 0);
    write(&mut store);
    assert!(log.metadata().expect("it is open").size() > 0);
    let batch = store.begin().expect("it begins");
    assert!(batch.envelope("letter", UnixMs(0)).expect("it reads").is_some());
}

#[test]
fn a_batch_that_is_dropped_leaves_no_trace() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut store, _) = Store::open(dir.path()).expect("it opens");
    let batch = store.begin().expect("it begins");
    batch.put_envelope("letter", b"{}", UnixMs(u64::MAX)).expect("it writes");
    drop(batch);
    let batch = store.begin().expect("it begins");
    assert!(batch.envelope("letter", UnixMs(0)).expect("it reads").is_none());
}

#[test]
fn another_format_is_refused_with_its_number() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (store, _) = Store::open(dir.path()).expect("it opens");
    store.connection.pragma_update(None, "user_version", SCHEMA + 1).expect("it is ours");
    drop(store);
    let refused = Store::open(dir.path()).err().expect("it is of the future");
    assert!(matches!(refused, OpenError::Format { found, .. } if found == SCHEMA + 1), "{refused}");
}

#[test]
fn a_row_that_makes_no_sense_is_damage_and_not_an_outage() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (mut store, _) = Store::open(dir.path()).expect("it opens");
    let key = Key([7; 32]);
    let row =
        "INSERT INTO entries (id, key, state, fence, attempts, crashes, replays, body, message_id, dead, removable_at)
                   VALUES (?1, ?2, 9, 1, 1, 0, 0, x'00', 'message', x'', 1)";
    let id = store.row_index.give(key);
    store.connection.execute(row, rusqlite::params![id, &key.0]).expect("it is ours");
    let batch = store.begin().expect("it begins");
    assert!(matches!(batch.entry(key), Err(LedgerError::Damaged(what)) if what.contains(&key.to_hex())));
}

/// As the versions before 3 made them.
const BY_KEY: &str = "
        CREATE TABLE entries (key BLOB PRIMARY KEY, state INTEGER NOT NULL, fence INTEGER NOT NULL, attempts INTEGER NOT NULL,
            crashes INTEGER NOT NULL, body BLOB NOT NULL, message_id TEXT NOT NULL, first_failed_at INTEGER,
            removable_at INTEGER NOT NULL, discarded INTEGER, result BLOB) STRICT, WITHOUT ROWID;
        CREATE TABLE steps (key BLOB NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (key, name)) STRICT;
        CREATE TABLE envelopes (id TEXT PRIMARY KEY, json BLOB NOT NULL, removable_at INTEGER NOT NULL) STRICT;
        CREATE INDEX envelopes_by_age ON envelopes (removable_at);
        CREATE TABLE counts (openings INTEGER NOT NULL, pings INTEGER NOT NULL) STRICT;
        INSERT INTO counts VALUES (7, 0);";

#[test]
fn the_stores_of_earlier_versions_are_read() {
    for version in [1, 2] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let keys: Vec<_> = (0..50u8).map(|n| Key::derive(&[&[n]])).collect();
        {
            let old = Connection::open(dir.path().join(DATABASE)).expect("it opens");
            old.execute_batch(BY_KEY).expect("it is valid");
            if version == 2 {
                old.execute_batch(REPLAYS).expect("it is valid");
            }
            for (n, key) in keys.iter().enumerate() {
                let row = "INSERT INTO entries (key, state, fence, attempts, crashes, body, message_id, removable_at, discarded, result)
                        VALUES (?1, 3, ?2, 1, 0, ?3, 'message', 1, 0, x'07')";
                old.execute(row, rusqlite::params![&key.0, n as i64, &key.0]).expect("it fits");
            }
            old.pragma_update(None, "user_version", version).expect("it is ours");
        }
        for _ in 0..2 {
            let (mut store, fence) = Store::open(dir.path()).expect("it opens");
            assert!(fence.0 >= 8 << 40, "fences go on");
            let mut batch = store.begin().expect("it begins");
            for (n, key) in keys.iter().enumerate() {
                let entry = batch.entry(*key).expect("it reads").expect("it is there");
                assert_eq!((entry.fence.0, entry.body.0), (n as u64, key.0), "version {version}");
                assert!(!batch.insert(*key, &entry).expect("it reads"));
            }
            let new = Key([9; 32]);
            if let Some(entry) = batch.entry(keys[0]).expect("it reads")
                && batch.entry(new).expect("it reads").is_none()
            {
                assert!(batch.insert(new, &entry).expect("it writes"));
            }
            batch.commit().expect("it commits");
            assert!(store.begin().expect("it begins").entry(new).expect("it reads").is_some());
        }
    }
}
