use std::path::Path;

use wasq_core::message::UnixMs;

use super::super::rows::Batch;
use super::super::store::Store;
use super::*;
use crate::entry::Entry;
use crate::ledger::Fence;

fn open(dir: &Path) -> Store {
    Store::open(dir).expect("it opens").0
}

fn key(n: usize) -> Key {
    Key::derive(&[&n.to_le_bytes()])
}

fn entry(n: usize) -> Entry {
    Entry::released(Fence(n as u64), UnixMs(1))
}

fn put(store: &mut Store, numbers: impl Iterator<Item = usize>) {
    let mut batch = store.begin().expect("it begins");
    for n in numbers {
        assert!(batch.insert(key(n), &entry(n)).expect("it writes"), "{n}");
    }
    batch.commit().expect("it commits");
}

/// Each key finds its own entry, and cannot be put in again.
fn all_there(store: &mut Store, numbers: impl Iterator<Item = usize>) {
    let mut batch = store.begin().expect("it begins");
    for n in numbers {
        let found = batch.entry(key(n)).expect("it reads").map(|entry| entry.fence.0);
        assert_eq!(found, Some(n as u64), "{n}");
        assert!(!batch.insert(key(n), &entry(n)).expect("it reads"), "{n}");
    }
}

fn row_index(batch: &Batch<'_>) -> usize {
    batch.count("SELECT count(*) FROM places")
}

#[test]
fn keys_are_found_before_during_and_after_a_round_and_by_the_next_process() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut store = open(dir.path());
    put(&mut store, 0..RECENT_MAX - 1);
    assert!(!store.row_index().is_due());
    put(&mut store, RECENT_MAX - 1..RECENT_MAX);
    let mut slices = 0;
    while store.row_index().is_due() {
        store.index_rows().expect("it writes");
        slices += 1;
        if slices == 3 {
            // What comes during a round is for the next.
            put(&mut store, RECENT_MAX..RECENT_MAX + 10);
            all_there(&mut store, 0..RECENT_MAX + 10);
            drop(store);
            store = open(dir.path());
            all_there(&mut store, 0..RECENT_MAX + 10);
        }
    }
    assert_eq!(slices, 3 + (RECENT_MAX + 10).div_ceil(SLICE), "the next process begins the round anew");
    assert_eq!(row_index(&store.begin().expect("it begins")), RECENT_MAX + 10);
    put(&mut store, RECENT_MAX + 10..RECENT_MAX + 20);
    all_there(&mut store, 0..RECENT_MAX + 20);
    drop(store);
    all_there(&mut open(dir.path()), 0..RECENT_MAX + 20);
}

#[test]
fn a_void_batch_leaves_a_key_free() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut store = open(dir.path());
    let mut batch = store.begin().expect("it begins");
    assert!(batch.insert(key(1), &entry(1)).expect("it writes"));
    drop(batch);
    assert!(store.begin().expect("it begins").entry(key(1)).expect("it reads").is_none());
    put(&mut store, 1..3);
    all_there(&mut store, 1..3);
}

#[test]
fn what_is_removed_is_not_found_and_takes_no_place() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut store = open(dir.path());
    put(&mut store, 0..RECENT_MAX);
    let batch = store.begin().expect("it begins");
    for row in batch.ages(0, 100).expect("it reads") {
        batch.remove(row.id, row.key).expect("it writes");
    }
    batch.commit().expect("it commits");
    while store.row_index().is_due() {
        store.index_rows().expect("it writes");
    }
    {
        let batch = store.begin().expect("it begins");
        assert_eq!(row_index(&batch), RECENT_MAX - 100);
        assert!(batch.entry(key(0)).expect("it reads").is_none());
        // From the table, too.
        for row in batch.ages(0, 100).expect("it reads") {
            batch.remove(row.id, row.key).expect("it writes");
        }
        batch.commit().expect("it commits");
    }
    assert_eq!(row_index(&store.begin().expect("it begins")), RECENT_MAX - 200);
    put(&mut store, 0..200);
    all_there(&mut store, 0..RECENT_MAX);
}

#[test]
fn a_number_is_not_given_again_though_its_entry_is_the_last_and_goes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut store = open(dir.path());
    put(&mut store, 0..RECENT_MAX);
    while store.row_index().is_due() {
        store.index_rows().expect("it writes");
    }
    let batch = store.begin().expect("it begins");
    for row in batch.ages(0, u32::MAX).expect("it reads") {
        batch.remove(row.id, row.key).expect("it writes");
    }
    batch.commit().expect("it commits");
    drop(store);
    let mut store = open(dir.path());
    put(&mut store, 0..10);
    all_there(&mut store, 0..10);
    drop(store);
    all_there(&mut open(dir.path()), 0..10);
}
