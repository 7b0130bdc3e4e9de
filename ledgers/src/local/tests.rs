//! The log, its threads, and what is left of them after a crash, in segments of 16 KiB.

use std::collections::HashMap;
use std::path::PathBuf;

use wasq_core::message::{BodyDigest, MessageId};

use self::record::Stored;
use super::*;
use crate::entry::State;

mod moving;

const LONG: Duration = Duration::from_secs(3_600);

fn key(n: usize) -> Key {
    Key::derive(&[&n.to_le_bytes()])
}

fn request() -> ClaimRequest {
    let (body, message_id) = (BodyDigest([0; 32]), MessageId("message".into()));
    ClaimRequest { body, message_id, lease: LONG, is_redelivery: false }
}

fn done(ttl: Duration) -> Finish {
    Finish::Done { result: Some(b"result".to_vec()), discarded: false, ttl }
}

fn open(dir: &Path) -> LocalLedger {
    LocalLedger::open(dir).expect("it opens")
}

async fn fresh(ledger: &LocalLedger, n: usize) -> Fence {
    match ledger.claim(key(n), &request()).await {
        Ok(Claim::Fresh(fresh)) => fresh.fence,
        other => panic!("{n}: expected a fresh claim, got {other:?}"),
    }
}

async fn complete(ledger: &LocalLedger, numbers: impl Iterator<Item = usize>, ttl: Duration) {
    for part in numbers.collect::<Vec<_>>().chunks(10) {
        let claims: Vec<_> = part.iter().map(|n| (key(*n), request())).collect();
        let ends = claims.iter().zip(ledger.claim_batch(&claims).await).map(|((key, _), claim)| match claim {
            Ok(Claim::Fresh(fresh)) => (*key, fresh.fence, done(ttl)),
            other => panic!("{part:?}: expected a fresh claim, got {other:?}"),
        });
        let ended = ledger.finish_batch(ends.collect()).await;
        assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    }
}

async fn is_done(ledger: &LocalLedger, n: usize) -> bool {
    matches!(ledger.claim(key(n), &request()).await, Ok(Claim::Done { .. }))
}

/// Waits for what threads do: as long as it takes, for the test's own bound.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = clock::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(clock::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn files(dir: &Path, ends_with: &str) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(dir).expect("it lists").map(|entry| entry.expect("it lists").path());
    let mut paths: Vec<_> = paths.filter(|path| path.to_string_lossy().ends_with(ends_with)).collect();
    paths.sort_unstable();
    paths
}

/// Cut at each byte, scrambled there, or nothing but zeros from there on: what was whole before it
/// is there, and nothing else.
#[tokio::test]
async fn a_log_that_is_torn_anywhere_has_what_was_whole_before() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = open(dir.path());
    let path = files(dir.path(), ".log").pop().expect("a log is there");
    // After each frame: how long the log is, and the state of each key.
    let (mut frames, mut states) = (vec![(0, HashMap::new())], HashMap::new());
    for n in 0..4 {
        let fence = fresh(&ledger, n).await;
        states.insert(key(n), State::Claimed);
        frames.push((std::fs::metadata(&path).expect("it is there").len() as usize, states.clone()));
        ledger.finish(key(n), fence, done(LONG)).await.expect("it is ours");
        states.insert(key(n), State::Done { result: Some(b"result".to_vec()), discarded: false });
        frames.push((std::fs::metadata(&path).expect("it is there").len() as usize, states.clone()));
    }
    drop(ledger);
    let log = std::fs::read(&path).expect("it reads");
    let torn = dir.path().join("torn");
    for at in 0..log.len() {
        let cut = log[..at].to_vec();
        let mut scrambled = log.clone();
        scrambled[at] ^= 0x5a;
        let mut hole = log.clone();
        hole[at..].fill(0);
        for bytes in [cut, scrambled, hole] {
            // Zeros change nothing where zeros were.
            let same = log.iter().zip(&bytes).take_while(|(one, other)| one == other).count();
            let (length, expect) = frames.iter().rfind(|(length, _)| *length <= same).expect("the first is empty");
            std::fs::write(&torn, bytes).expect("it writes");
            let Ok(Ok(segment)) = Segment::replay(1, torn.clone(), 0) else {
                panic!("it reads, and its version is ours")
            };
            let found = segment.records().map(|record| {
                let stored = Stored::decode(record.key, record.content()).expect("it is whole");
                (record.key, stored.entry.state)
            });
            assert_eq!((segment.bytes().len(), &found.collect::<HashMap<_, _>>()), (*length, expect), "torn at {at}");
        }
    }
}

#[tokio::test]
async fn a_log_of_another_version_is_refused_and_stays() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = open(dir.path());
    fresh(&ledger, 1).await;
    drop(ledger);
    let path = files(dir.path(), ".log").pop().expect("a log is there");
    let mut log = std::fs::read(&path).expect("it reads");
    log[12] = 2;
    frame::end(&mut log);
    std::fs::write(&path, &log).expect("it writes");
    let refused = LocalLedger::open(dir.path()).err().expect("nobody can read it").to_string();
    assert!(refused.contains("version 2") && refused.contains(&path.display().to_string()), "{refused}");
    assert_eq!(std::fs::read(&path).expect("it reads"), log);
}

/// A disk that fails as often as it is told.
fn failing_disk() -> (Arc<Mutex<u32>>, impl FnMut(&File) -> io::Result<()> + Send + 'static) {
    let failures = Arc::new(Mutex::new(0_u32));
    let left = failures.clone();
    let disk = move |file: &File| {
        let mut left = left.lock();
        match left.checked_sub(1) {
            Some(fewer) => {
                *left = fewer;
                Err(io::Error::other("no such luck"))
            }
            None => file.sync_data(),
        }
    };
    (failures, disk)
}

/// Where the disk recovers at once nobody notices, and no file whose sync has failed is trusted.
#[tokio::test]
async fn what_a_failed_sync_may_have_lost_is_on_the_disk_in_another_file_before_it_is_answered() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (failures, disk) = failing_disk();
    let ledger = LocalLedger::start(dir.path(), NEVER, disk).expect("it opens");
    let (one, two) = (fresh(&ledger, 1).await, fresh(&ledger, 2).await);
    ledger.finish(key(1), one, done(LONG)).await.expect("it is ours");
    let doubtful = files(dir.path(), ".log");
    *failures.lock() = 1;
    ledger.finish(key(2), two, done(LONG)).await.expect("it is ours");
    fresh(&ledger, 3).await;
    drop(ledger);
    // As if nothing had come to the disk since the sync failed.
    doubtful.iter().filter(|path| path.exists()).for_each(|path| std::fs::write(path, "").expect("it writes"));
    files(dir.path(), ".run").iter().for_each(|path| std::fs::remove_file(path).expect("it goes"));
    let ledger = open(dir.path());
    assert!(is_done(&ledger, 1).await && is_done(&ledger, 2).await);
    assert!(matches!(ledger.claim(key(3), &request()).await, Ok(Claim::Fresh(again)) if again.crashes == 1));
}

/// Where it does not, nothing is acknowledged until it does.
#[tokio::test]
async fn while_the_disk_fails_nothing_is_acknowledged_and_then_all_is_as_before() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (failures, disk) = failing_disk();
    let ledger = LocalLedger::start(dir.path(), NEVER, disk).expect("it opens");
    let (one, two) = (fresh(&ledger, 1).await, fresh(&ledger, 2).await);
    *failures.lock() = u32::MAX;
    let unavailable = |answer: Result<(), LedgerError>| {
        assert!(
            matches!(&answer, Err(LedgerError::Unavailable(reason)) if reason.contains("no such luck")),
            "{answer:?}"
        );
    };
    for _ in 0..3 {
        unavailable(ledger.finish(key(1), one, done(LONG)).await);
        unavailable(ledger.finish(key(2), two, done(LONG)).await);
        unavailable(ledger.claim(key(1), &request()).await.map(drop));
        unavailable(ledger.claim(key(3), &request()).await.map(drop));
        unavailable(ledger.put_step(key(2), two, "step", b"value").await);
        unavailable(ledger.ping().await);
        assert_eq!(files(dir.path(), ".log").len(), 1, "what came to nothing is removed");
    }
    *failures.lock() = 0;
    // The next sync makes up for it; whoever comes before that is still refused.
    while ledger.ping().await.is_err() {
        tokio::task::yield_now().await;
    }
    assert!(is_done(&ledger, 1).await, "it was written, and is on the disk now");
    ledger.finish(key(2), two, done(LONG)).await.expect("it is ours");
    assert_eq!(
        ledger.get_step(key(2), two, "step").await.expect_err("it is done").to_string(),
        LedgerError::Stale.to_string()
    );
    fresh(&ledger, 3).await;
    drop(ledger);
    let ledger = open(dir.path());
    assert!(is_done(&ledger, 1).await && is_done(&ledger, 2).await);
}

/// Nobody claims or finishes a key while a step of it is on its way; others go on.
#[tokio::test]
async fn a_key_waits_for_its_steps_on_their_way() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = open(dir.path());
    let (fence, other) = (fresh(&ledger, 1).await, fresh(&ledger, 2).await);
    let (coming, _) = ledger.0.core.step_comes(key(1), fence).await.expect("it is ours");
    let mut finish = ledger.finish(key(1), fence, Finish::Released { ran: true });
    assert!(futures::poll!(&mut finish).is_pending());
    let request = request();
    let mut claim = ledger.claim(key(1), &request);
    assert!(futures::poll!(&mut claim).is_pending());
    assert!(
        matches!(ledger.extend(&[(key(1), fence)], LONG).await[..], [Ok(true)]),
        "a lease is extended all the same"
    );
    ledger.finish(key(2), other, done(LONG)).await.expect("another key's");
    drop(coming);
    finish.await.expect("it is ours");
    assert!(matches!(claim.await, Ok(Claim::Fresh(_))));
    assert!(matches!(ledger.put_step(key(1), fence, "late", b"").await, Err(LedgerError::Stale)));
}

/// What a crash between a completion and the removal of its steps has left counts for nothing, and
/// goes.
#[tokio::test]
async fn steps_of_an_earlier_life_are_forgotten_though_they_are_there() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = LocalLedger::start(dir.path(), Duration::from_millis(10), File::sync_data).expect("it opens");
    let fence = fresh(&ledger, 1).await;
    ledger.finish(key(1), fence, done(Duration::ZERO)).await.expect("it is ours");
    ledger.0.operations.ask(move |batch| batch.put_step(key(1), fence, "step", b"old")).await.expect("it writes");
    let again = fresh(&ledger, 1).await;
    assert_eq!(ledger.get_step(key(1), again, "step").await.expect("it is ours"), None);
    ledger.put_step(key(1), again, "other", b"new").await.expect("it is ours");
    for _ in 0..200 {
        let there = ledger.0.operations.ask(|batch| batch.steps_after(0, 10)).await.expect("it reads");
        if there.len() == 1 {
            return assert_eq!(there[0].fence, again);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the old step is still there");
}

/// A completion that another delivery hears of is on the disk.
#[tokio::test]
async fn what_is_said_to_be_done_is_on_the_disk() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (go_on, may_sync) = std::sync::mpsc::sync_channel(8);
    let disk = move |file: &File| {
        may_sync.recv().expect("the test says when");
        file.sync_data()
    };
    let ledger = LocalLedger::start(dir.path(), NEVER, disk).expect("it opens");
    let fence = fresh(&ledger, 1).await;
    let mut finish = ledger.finish(key(1), fence, done(LONG));
    assert!(futures::poll!(&mut finish).is_pending());
    let request = request();
    let mut claim = ledger.claim(key(1), &request);
    assert!(futures::poll!(&mut claim).is_pending(), "it is written, and not yet on the disk");
    // The second sync is for what came while the first was under way.
    (0..2).for_each(|_| go_on.send(()).expect("the disk waits"));
    finish.await.expect("it is ours");
    assert_eq!(claim.await.expect("it answers"), Claim::Done { same_message: true });
    assert!(is_done(&ledger, 1).await, "at once");
    drop(go_on);
}

#[tokio::test]
async fn the_entries_of_an_earlier_version_go_on_where_they_were() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let rows: Vec<_> = (1..=5).map(|state| (key(state as usize), state, i64::MAX)).chain([(key(6), 3, 1)]).collect();
    store::tests::old_store(dir.path(), 3, &rows);
    for _ in 0..2 {
        let ledger = open(dir.path());
        let body = |n: usize, message: &str| ClaimRequest {
            body: BodyDigest(key(n).0),
            message_id: MessageId(message.into()),
            ..request()
        };
        let claim = async |n: usize, message: &str| ledger.claim(key(n), &body(n, message)).await;
        assert_eq!(claim(3, "message").await.expect("it answers"), Claim::Done { same_message: true });
        let damaged = claim(5, "message").await;
        assert!(matches!(&damaged, Err(LedgerError::Damaged(what)) if what.contains("`5`")), "{damaged:?}");
        drop(ledger);
    }
    let ledger = open(dir.path());
    let fresh =
        async |n: usize| match ledger.claim(key(n), &ClaimRequest { body: BodyDigest(key(n).0), ..request() }).await {
            Ok(Claim::Fresh(fresh)) => fresh,
            other => panic!("{n}: {other:?}"),
        };
    let (claimed, released, dead, expired) = (fresh(1).await, fresh(2).await, fresh(4).await, fresh(6).await);
    assert_eq!((claimed.attempt, claimed.crashes), (2, 1), "its run crashed");
    assert_eq!((released.attempt, released.crashes), (2, 0));
    assert_eq!((dead.attempt, dead.replays), (1, 1));
    assert!(expired.is_new);
    assert_eq!(ledger.get_step(key(1), claimed.fence, "step").await.expect("ours").as_deref(), Some(&[8u8][..]));
    assert_eq!(ledger.get_step(key(6), expired.fence, "step").await.expect("ours"), None);
}
