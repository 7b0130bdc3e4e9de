//! What leaves the log for the runs.

use super::*;

/// What a segment takes about, of entries that are claimed and completed.
const ENTRIES_A_SEGMENT: usize = segment::SEGMENT_BYTES / 350;

fn segments(dir: &Path) -> usize {
    files(dir, ".log").len()
}

#[tokio::test]
async fn what_has_left_the_log_is_found_and_merged_and_what_has_expired_goes() {
    const ENTRIES: usize = ENTRIES_A_SEGMENT * 40;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = open(dir.path());
    complete(&ledger, (0..ENTRIES).filter(|n| n % 4 != 0), Duration::ZERO).await;
    complete(&ledger, (0..ENTRIES).filter(|n| n % 4 == 0), LONG).await;
    // Each of these is claimed anew, and hides what is in an older run.
    complete(&ledger, (0..ENTRIES).filter(|n| n % 4 == 1), LONG).await;
    until("the log is moved", || segments(dir.path()) == 1).await;
    until("the runs are few", || files(dir.path(), ".run").len() < 20).await;
    let check = async |ledger: &LocalLedger| {
        for n in 0..ENTRIES {
            if n % 4 < 2 {
                assert!(is_done(ledger, n).await, "{n}");
            }
        }
    };
    check(&ledger).await;
    let entries = ledger.meters().expect("it counts").entries.get().expect("it has counted");
    let living = ENTRIES / 2;
    assert!(entries < living as f64 * 1.3, "{entries} of {living} that live and {} that came", ENTRIES * 5 / 4);
    drop(ledger);
    let ledger = open(dir.path());
    check(&ledger).await;
    complete(&ledger, (0..ENTRIES).filter(|n| n % 4 == 2).take(100), LONG).await;
}

/// A machine that fails between the two has a run, and the segment that it was made of.
#[tokio::test]
async fn a_segment_that_was_moved_already_is_not_read_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = open(dir.path());
    complete(&ledger, 0..10, LONG).await;
    let released = fresh(&ledger, 10).await;
    ledger.finish(key(10), released, Finish::Failed { at: wasq_core::message::UnixMs(5) }).await.expect("it is ours");
    drop(ledger);
    let [log] = &files(dir.path(), ".log")[..] else { panic!("one segment is there") };
    let old = std::fs::read(log).expect("it reads");

    // The next process moves it, and goes on with one of its entries.
    let ledger = open(dir.path());
    until("the log is moved", || !log.exists()).await;
    let again = fresh(&ledger, 10).await;
    ledger.finish(key(10), again, done(LONG)).await.expect("it is ours");
    drop(ledger);
    std::fs::write(log, old).expect("it writes");
    // What a move or a merge that was cut short has left.
    let unfinished = dir.path().join("run-0000000000000009-0000000000000009.run.tmp");
    std::fs::write(&unfinished, "half").expect("it writes");

    let ledger = open(dir.path());
    assert!(!log.exists() && !unfinished.exists());
    for n in 0..11 {
        assert!(is_done(&ledger, n).await, "{n}");
    }
}

/// A machine that fails before the merged run's parts are removed has both.
#[tokio::test]
async fn runs_that_are_in_a_merged_one_are_not_read_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = open(dir.path());
    let mut parts = HashMap::new();
    for round in 0..runs::MERGE_RUNS * 2 {
        let numbers = round * ENTRIES_A_SEGMENT..(round + 1) * ENTRIES_A_SEGMENT;
        complete(&ledger, numbers, LONG).await;
        for path in files(dir.path(), ".run") {
            if let Ok(bytes) = std::fs::read(&path) {
                parts.insert(path, bytes);
            }
        }
    }
    let merged = |path: &PathBuf| !path.exists();
    until("runs are merged", || parts.keys().any(merged)).await;
    drop(ledger);
    let gone: Vec<_> = parts.iter().filter(|(path, _)| merged(path)).collect();
    gone.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).expect("it writes"));
    let ledger = open(dir.path());
    assert!(gone.iter().all(|(path, _)| merged(path)), "they are removed at once");
    for n in 0..runs::MERGE_RUNS * 2 * ENTRIES_A_SEGMENT {
        assert!(is_done(&ledger, n).await, "{n}");
    }
}

/// A mover that comes no further stops those who want to write, and nobody else; memory has its
/// bound.
#[tokio::test]
async fn a_log_that_is_full_takes_no_more_until_its_entries_are_moved() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    // No run can be written where a directory is in the way.
    let in_the_way = dir.path().join("run-0000000000000001-0000000000000001.run.tmp");
    let ledger = open(dir.path());
    std::fs::create_dir(&in_the_way).expect("it can be made");
    let mut claimed = Vec::new();
    let refused = loop {
        match ledger.claim(key(claimed.len()), &request()).await {
            Ok(Claim::Fresh(fresh)) => claimed.push(fresh.fence),
            refused => break refused,
        }
    };
    assert!(matches!(&refused, Err(LedgerError::Unavailable(why)) if why.contains("the log is full")), "{refused:?}");
    assert_eq!(segments(dir.path()), table::SEALED_MAX + 1);
    assert!(ledger.ping().await.is_err(), "readiness says so");
    let held: Vec<_> = claimed.iter().enumerate().map(|(n, fence)| (key(n), *fence)).collect();
    assert!(ledger.extend(&held, LONG).await.iter().all(|answer| matches!(answer, Ok(true))), "leases go on");

    std::fs::remove_dir(&in_the_way).expect("it can be removed");
    until("there is room again", || segments(dir.path()) == 1).await;
    for (n, fence) in claimed.into_iter().enumerate().step_by(97) {
        ledger.finish(key(n), fence, done(LONG)).await.expect("it is ours");
    }
}

#[tokio::test]
async fn a_segment_is_moved_in_time_though_it_is_not_full() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = LocalLedger::start(dir.path(), Duration::from_millis(5), File::sync_data).expect("it opens");
    complete(&ledger, [1, 2].into_iter(), Duration::ZERO).await;
    complete(&ledger, [3].into_iter(), LONG).await;
    let meters = ledger.meters().expect("it counts");
    until("one of three is left", || meters.entries.get() == Some(1.0)).await;
    until("nothing is overdue", || meters.overdue_s.get() == Some(0.0)).await;
    assert!(is_done(&ledger, 3).await);
}
