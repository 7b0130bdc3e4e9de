use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::super::merge;
use super::super::run_reader::Reader;
use super::super::run_writer::Writer;
use super::*;
use crate::entry::Entry;
use crate::ledger::Fence;

const NOW: UnixMs = UnixMs(1_000);
const KEPT: UnixMs = UnixMs(2_000);
const EXPIRED: UnixMs = UnixMs(900);

fn key(n: u32) -> Key {
    Key::derive(&[&n.to_le_bytes()])
}

/// A run of these entries, each with its fence and its expiry.
fn run(dir: &Path, number: u64, entries: impl IntoIterator<Item = (u32, u64, UnixMs)>) -> Arc<Run> {
    let mut records: Vec<(Key, Vec<u8>)> = entries
        .into_iter()
        .map(|(n, fence, removable_at)| {
            let mut bytes = Vec::new();
            let entry = Entry::released(Fence(fence), removable_at);
            Stored { entry, steps_since: Fence(fence) }.encode(key(n), &mut bytes).expect("it is small");
            (key(n), bytes)
        })
        .collect();
    records.sort_unstable();
    let span = Span { first: number, last: number };
    let mut writer = Writer::create(dir, span, records.len() as u64, NOW).expect("it writes");
    for (_, bytes) in &records {
        writer.push(Record::first(bytes).expect("it is whole")).expect("it writes");
    }
    Arc::new(writer.finish().expect("it writes").expect("it has entries"))
}

fn fence(run: &Run, n: u32) -> Option<u64> {
    run.get(key(n)).expect("it reads").map(|stored| stored.entry.fence.0)
}

#[test]
fn every_entry_is_found_and_no_other() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for entries in [1, 2, 60, 5_000] {
        let written = run(dir.path(), 1, (0..entries).map(|n| (n, n.into(), KEPT)));
        let opened = Run::open(written.span, written.path.clone()).expect("it opens");
        for run in [&*written, &opened] {
            assert_eq!((run.entries, run.half_expired_at), (entries.into(), KEPT));
            for n in 0..entries {
                assert!(run.may_have(key(n)));
                assert_eq!(fence(run, n), Some(n.into()), "{n} of {entries}");
            }
            assert!((entries..2 * entries).all(|n| fence(run, n).is_none()));
        }
        let mut reader = Reader::new(&opened).expect("it reads");
        let mut keys = Vec::new();
        while let Some(record) = reader.record() {
            keys.push(record.key);
            reader.advance().expect("it reads");
        }
        assert!(keys.len() == entries as usize && keys.is_sorted());
    }
}

#[test]
fn the_newest_entry_counts_and_what_has_expired_goes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let older = run(dir.path(), 1, [(1, 1, KEPT)]);
    let old = run(dir.path(), 2, [(2, 1, KEPT), (3, 1, KEPT), (4, 1, EXPIRED), (5, 1, KEPT)]);
    let new = run(dir.path(), 3, [(1, 2, EXPIRED), (2, 2, KEPT), (3, 2, EXPIRED), (6, 2, KEPT)]);
    let (inputs, stop) = ([new, old], AtomicBool::new(false));
    let merged = merge::merge(&inputs, dir.path(), std::slice::from_ref(&older), NOW, &stop).expect("it merges");
    let merged = merged.expect("nobody has stopped it");
    let run = merged.run.expect("some are left");
    assert_eq!(run.span, Span { first: 2, last: 3 });
    let left = [1, 2, 3, 4, 5, 6].map(|n| fence(&run, n));
    assert_eq!(left, [Some(2), Some(2), None, None, Some(1), Some(2)], "the first hides what an older run has");
    assert_eq!((merged.removed, merged.overdue_ms), (2, 100));

    let all_gone = merge::merge(&[older], dir.path(), &[], KEPT, &stop).expect("it merges").expect("not stopped");
    assert!(all_gone.run.is_none());
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(merge::merge(&inputs, dir.path(), &[], NOW, &stop).expect("it merges").is_none());
    let files = list(dir.path()).expect("it lists").len();
    assert_eq!(std::fs::read_dir(dir.path()).expect("it lists").count(), files, "nothing unfinished is left");
}

#[test]
fn a_damaged_block_is_its_keys_matter_and_a_damaged_index_is_noticed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let whole = run(dir.path(), 1, (0..1_000).map(|n| (n, n.into(), KEPT)));
    let bytes = std::fs::read(&whole.path).expect("it reads");
    let damaged_at = |at: usize| {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        std::fs::write(&whole.path, damaged).expect("it writes");
        Run::open(whole.span, whole.path.clone())
    };
    let run = damaged_at(BLOCK_BYTES / 2).expect("the index is whole");
    let damaged = (0..1_000).filter(|n| matches!(run.get(key(*n)), Err(LedgerError::Damaged(_)))).count();
    assert!((1..200).contains(&damaged), "{damaged}");
    let end = bytes.len();
    for at in [whole.end as usize, whole.end as usize + 700, end - TAIL_BYTES, end - 20, end - 1] {
        assert!(damaged_at(at).is_err(), "{at}");
    }
    std::fs::write(&whole.path, &bytes[..end / 2]).expect("it writes");
    assert!(Run::open(whole.span, whole.path.clone()).is_err());
}
