use std::path::PathBuf;

use uuid::Uuid;

use super::{
    super::record::{Definition, MessageRecord, MessageState},
    *,
};

fn queue() -> Record {
    Record::Queue(Definition {
        number: 1,
        name: "q".into(),
        home: None,
        attributes: Default::default(),
        tags: Default::default(),
        permissions: Default::default(),
        created_s: 0,
        modified_s: 0,
        next_seq: 1,
    })
}

fn put(seq: u64, content: &[u8]) -> Record {
    Record::Put(MessageRecord {
        queue: 1,
        seq,
        id: Uuid::from_u128(u128::from(seq)),
        sent_ms: 0,
        group: None,
        dedup: None,
        state: MessageState::default(),
        bytes: content.len() as u32,
    })
}

fn commit(log: &Log, records: Vec<Record>, contents: Vec<Vec<u8>>, durability: Durability) -> Result<(), LogError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { log.slot().await?.commit_and_tell(records, contents, durability).await })
}

/// The sequence numbers and contents that a log in this directory holds.
fn messages(dir: &Path) -> Vec<(u64, Vec<u8>)> {
    let (log, mut replayed) = Log::open(dir).unwrap();
    let queue = replayed.queues.remove(&1);
    let messages = queue.map(|queue| queue.messages).unwrap_or_default();
    let read = messages.into_iter().map(|(seq, message)| (seq, message.location.read().unwrap())).collect();
    log.close();
    read
}

fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.log"))
}

#[test]
fn wherever_the_log_is_torn_what_precedes_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path()).unwrap();
    commit(&log, vec![queue()], vec![], Durability::Disk).unwrap();
    let mut ends = vec![];
    let path = segment_path(dir.path(), 1);
    for seq in 1..=3u64 {
        let contents = vec![vec![seq as u8; 40], vec![seq as u8; 9]];
        let records = vec![put(2 * seq, &contents[0]), put(2 * seq + 1, &contents[1])];
        commit(&log, records, contents, Durability::Disk).unwrap();
        ends.push(std::fs::metadata(&path).unwrap().len() as usize);
    }
    log.close();
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(whole.len(), ends[2]);
    let torn = tempfile::tempdir().unwrap();
    let check = |bytes: &[u8], expect: usize| {
        std::fs::write(segment_path(torn.path(), 1), bytes).unwrap();
        assert_eq!(messages(torn.path()).len(), 2 * expect, "{} bytes", bytes.len());
        // It opens again, and takes what follows.
        let (log, _) = Log::open(torn.path()).unwrap();
        commit(&log, vec![queue(), put(9, b"after")], vec![b"after".to_vec()], Durability::Disk).unwrap();
        log.close();
        assert_eq!(messages(torn.path()).last(), Some(&(9, b"after".to_vec())));
    };
    for cut in (0..whole.len()).step_by(7) {
        let kept = ends.iter().filter(|end| **end <= cut).count();
        check(&whole[..cut], kept);
        // A page that never reached the disk, though a later one did.
        let mut hole = whole.clone();
        let end = (cut + 16).min(hole.len());
        hole[cut..end].fill(0);
        let kept = ends.iter().filter(|end| **end <= cut).count();
        if hole != whole {
            check(&hole, kept);
        }
    }
    let mut zeros = whole.clone();
    zeros.extend([0; 5_000]);
    check(&zeros, 3);
}

#[test]
fn damage_before_the_end_is_an_error_that_names_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path()).unwrap();
    commit(&log, vec![queue()], vec![], Durability::Disk).unwrap();
    for seq in 1..=3 {
        let content = vec![1; segment::SEGMENT_BYTES as usize];
        commit(&log, vec![put(seq, &content)], vec![content], Durability::Disk).unwrap();
    }
    log.close();
    let path = segment_path(dir.path(), 2);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[500] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let Err(error) = Log::open(dir.path()) else { panic!("a damaged log opened") };
    assert!(matches!(&error, OpenError::Damaged { path: at, offset: 0 } if *at == path), "{error}");
}

/// A frame with these records as text, whatever they are, as `frame` describes it.
fn frame(records: &str, records_bytes: u32) -> Vec<u8> {
    let mut covered = records_bytes.to_le_bytes().to_vec();
    covered.extend_from_slice(records.as_bytes());
    let mut frame = (covered.len() as u32).to_le_bytes().to_vec();
    frame.extend_from_slice(&blake3::hash(&covered).as_bytes()[..8]);
    frame.extend_from_slice(&covered);
    frame
}

#[test]
fn a_whole_frame_that_this_version_cannot_read_is_an_error_and_stays() {
    for (records, records_bytes) in [
        (r#"[{"later":1}]"#, 13),
        (r#"[{"x":1},{"later":1}]"#, 21),
        (r#"[{"x":"text"}]"#, 14),
        ("no JSON", 7),
        ("[]", 9),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (log, _) = Log::open(dir.path()).unwrap();
        commit(&log, vec![queue()], vec![], Durability::Disk).unwrap();
        log.close();
        let path = segment_path(dir.path(), 1);
        let mut bytes = std::fs::read(&path).unwrap();
        let end = bytes.len() as u64;
        bytes.extend(frame(records, records_bytes));
        std::fs::write(&path, &bytes).unwrap();
        let Err(error) = Log::open(dir.path()) else { panic!("{records} opened") };
        assert!(
            matches!(&error, OpenError::Unknown { path: at, offset, .. } if *at == path && *offset == end),
            "{error}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{records}");
    }
}

#[test]
fn states_deletes_and_purges_are_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path()).unwrap();
    let contents: Vec<Vec<u8>> = (1..=4).map(|seq| vec![seq; 3]).collect();
    let mut records = vec![queue()];
    records.extend((1..=4).map(|seq| put(seq, &contents[0])));
    commit(&log, records, contents, Durability::Disk).unwrap();
    let state = MessageState { count: 2, first_received_ms: 5, received_at: 6, visible_at: 7 };
    commit(&log, vec![Record::State(1, vec![(3, state), (99, state)])], vec![], Durability::System).unwrap();
    commit(&log, vec![Record::Delete(1, vec![4]), Record::Purge(1, 3)], vec![], Durability::System).unwrap();
    log.close();
    let (log, replayed) = Log::open(dir.path()).unwrap();
    let queue = &replayed.queues[&1];
    assert_eq!(queue.messages.keys().copied().collect::<Vec<_>>(), [3]);
    assert_eq!(queue.messages[&3].record.state, state);
    assert_eq!(queue.definition.next_seq, 5);
    commit(&log, vec![Record::DropQueue(1)], vec![], Durability::Disk).unwrap();
    log.close();
    assert!(Log::open(dir.path()).unwrap().1.queues.is_empty());
}

#[test]
fn a_directory_serves_one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path()).unwrap();
    assert!(matches!(Log::open(dir.path()), Err(OpenError::Locked { .. })));
    log.close();
    assert!(Log::open(dir.path()).is_ok());
}

#[test]
fn a_full_disk_refuses_commits_and_the_log_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", segment_path(dir.path(), 1)).unwrap();
    let (log, _) = Log::open(dir.path()).unwrap();
    for _ in 0..2 {
        let result = commit(&log, vec![queue()], vec![], Durability::Disk);
        assert!(matches!(&result, Err(LogError::Write { .. })), "{result:?}");
    }
    log.close();
}
