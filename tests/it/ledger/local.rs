//! What the local ledger promises beyond the contract: it outlives its process, torn writes and a
//! full disk, it measures leases by a clock that does not jump, and it keeps its directory to
//! itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tempfile::TempDir;
use wasq_core::message::{Key, UnixMs};
use wasq_ledgers::local::{LocalLedger, OpenError};
use wasq_ledgers::{Claim, Fence, Finish, Ledger, LedgerError};

use super::again::{CHILD_DIR, hear, run_again, say};
use super::contract::damaged::Damage;
use super::contract::{ENDED, LONG, claim, contract, damage_contract, done, extend, finish, fresh, new_key};
use crate::support::until;

contract!(contract_of_local, crate::ledger::local::open_shared);
damage_contract!(damage_contract_of_local, crate::ledger::local::open_to_damage);

pub async fn open_shared() -> (Arc<dyn Ledger>, TempDir) {
    let dir = TempDir::new().expect("a temporary directory");
    (Arc::new(open(dir.path())), dir)
}

/// The store is one process's: it is closed, damaged, and opened again.
pub async fn open_to_damage() -> (Arc<dyn Ledger>, Damage) {
    let dir = TempDir::new().expect("a temporary directory");
    let ledger = open(dir.path());
    let damage = move |key: Key| {
        async move {
            damage_in_log(dir.path(), key);
            (Arc::new(open(dir.path())) as Arc<dyn Ledger>, Some(dir))
        }
        .boxed()
    };
    (Arc::new(ledger), Box::new(damage))
}

/// Gives the key's record a state that no version knows. A frame is `length u32 | checksum 8 |
/// version u8 | records`, a record `key 32 | length u32 | removable at u64 | state u8 | ...`.
fn damage_in_log(dir: &Path, key: Key) {
    let holds_key = |path: &PathBuf| std::fs::read(path).expect("it reads").windows(32).any(|bytes| bytes == key.0);
    let path = files(dir, ".log").into_iter().find(holds_key).expect("the key is in the log");
    let mut log = std::fs::read(&path).expect("it reads");
    let mut at = 0;
    while at < log.len() {
        let end = at + 12 + u32::from_le_bytes(log[at..at + 4].try_into().expect("four bytes")) as usize;
        let mut record = at + 13;
        while record < end {
            if log[record..record + 32] == key.0 {
                log[record + 44] = 9;
            }
            record += 36 + u32::from_le_bytes(log[record + 32..record + 36].try_into().expect("four bytes")) as usize;
        }
        let sum = blake3::hash(&log[at + 12..end]);
        log[at + 4..at + 12].copy_from_slice(&sum.as_bytes()[..8]);
        at = end;
    }
    std::fs::write(&path, log).expect("it writes");
}

/// The ledger's files whose names end so, in their order.
fn files(dir: &Path, ends_with: &str) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(dir).expect("it lists").map(|entry| entry.expect("it lists").path());
    let mut paths: Vec<_> = paths.filter(|path| path.to_string_lossy().ends_with(ends_with)).collect();
    paths.sort_unstable();
    paths
}

fn open(dir: &Path) -> LocalLedger {
    LocalLedger::open(dir).expect("the ledger opens")
}

fn key(name: &str) -> Key {
    Key::derive(&[name.as_bytes()])
}

#[tokio::test]
async fn a_claim_survives_kill_9() {
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        let ledger = open(Path::new(&dir));
        let finished = fresh(&ledger, key("done"), LONG).await.fence;
        finish(&ledger, key("done"), finished, done(LONG)).await;
        let step = fresh(&ledger, key("step"), LONG).await.fence;
        ledger.put_step(key("step"), step, "charge", b"receipt").await.expect("the claim is ours");
        let Fence(last) = fresh(&ledger, key("claimed"), LONG).await.fence;
        say(&last.to_string());
        std::thread::park();
    }
    let dir = TempDir::new().expect("a temporary directory");
    let mut child = run_again("ledger::local::a_claim_survives_kill_9", dir.path());
    let last = child.next_line().parse().expect("the child prints its last fence");
    assert!(matches!(LocalLedger::open(dir.path()), Err(OpenError::InUse { .. })), "the child has it open");
    child.kill_9();

    let ledger = open(dir.path());
    let again = fresh(&ledger, key("claimed"), LONG).await;
    assert_eq!((again.attempt, again.crashes), (2, 1), "the killed run counts, and its lease is over");
    assert!(again.fence > Fence(last));
    assert_eq!(claim(&ledger, key("done"), LONG).await, Claim::Done { same_message: true });
    let step = fresh(&ledger, key("step"), LONG).await.fence;
    let recorded = ledger.get_step(key("step"), step, "charge").await.expect("the claim is ours");
    assert_eq!(recorded.as_deref(), Some(&b"receipt"[..]));
}

/// The child claims and completes on many tasks and says what was answered; whatever it said is
/// there after its death.
#[tokio::test]
async fn what_was_answered_under_load_survives_kill_9() {
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        let ledger = open(Path::new(&dir));
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..16 {
            let ledger = ledger.clone();
            callers.spawn(async move {
                for n in 0.. {
                    let name = format!("{caller}-{n}");
                    let fence = fresh(&ledger, key(&name), LONG).await.fence;
                    say(&format!("claimed {name}"));
                    finish(&ledger, key(&name), fence, done(LONG)).await;
                    say(&format!("done {name}"));
                }
            });
        }
        callers.join_all().await;
    }
    let dir = TempDir::new().expect("a temporary directory");
    let mut child = run_again("ledger::local::what_was_answered_under_load_survives_kill_9", dir.path());
    let mut said: Vec<String> = (0..1_000).map(|_| child.next_line()).collect();
    said.extend(child.kill_9());

    let ledger = open(dir.path());
    let named = |what: &str| -> BTreeSet<&str> { said.iter().filter_map(|line| line.strip_prefix(what)).collect() };
    let (claimed, completed) = (named("claimed "), named("done "));
    assert!(completed.len() > 400, "{}", completed.len());
    for name in &completed {
        assert_eq!(claim(&ledger, key(name), LONG).await, Claim::Done { same_message: true }, "{name}");
    }
    for name in claimed.difference(&completed) {
        match claim(&ledger, key(name), LONG).await {
            Claim::Fresh(again) => assert_eq!((again.attempt, again.crashes), (2, 1), "{name}"),
            // Recorded, and killed before it was said.
            Claim::Done { .. } => {}
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_was_recorded_is_there_after_a_restart() {
    let dir = TempDir::new().expect("a temporary directory");
    let (released, held, finished) = (new_key(), new_key(), new_key());
    let ledger = open(dir.path());
    let failed = fresh(&ledger, released, LONG).await.fence;
    finish(&ledger, released, failed, Finish::Failed { at: UnixMs(5) }).await;
    let stale = fresh(&ledger, held, LONG).await.fence;
    let fence = fresh(&ledger, finished, LONG).await.fence;
    finish(&ledger, finished, fence, done(LONG)).await;
    ledger.put_envelope("letter", b"{}", LONG).await.expect("it records");
    drop(ledger);

    let ledger = open(dir.path());
    let after_failure = fresh(&ledger, released, LONG).await;
    assert_eq!((after_failure.attempt, after_failure.crashes), (2, 0));
    assert_eq!(after_failure.first_failed_at, Some(UnixMs(5)));
    let after_crash = fresh(&ledger, held, LONG).await;
    assert_eq!((after_crash.attempt, after_crash.crashes), (2, 1));
    assert!(after_crash.fence > stale);
    assert!(matches!(ledger.finish(held, stale, done(LONG)).await, Err(LedgerError::Stale)));
    assert_eq!(claim(&ledger, finished, LONG).await, Claim::Done { same_message: true });
    assert_eq!(ledger.get_envelope("letter").await.expect("it answers").as_deref(), Some(&b"{}"[..]));
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_by_the_monotonic_clock() {
    let (ledger, _dir) = open_shared().await;
    let key = new_key();
    let lease = Duration::from_secs(60);
    let fence = fresh(&*ledger, key, lease).await.fence;
    tokio::time::advance(lease - Duration::from_secs(1)).await;
    assert_eq!(claim(&*ledger, key, lease).await, Claim::Busy { remaining: Duration::from_secs(1) });
    assert_eq!(extend(&*ledger, &[(key, fence)], lease).await, [true]);
    tokio::time::advance(lease - Duration::from_secs(1)).await;
    assert_eq!(claim(&*ledger, key, lease).await, Claim::Busy { remaining: Duration::from_secs(1) });
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(fresh(&*ledger, key, lease).await.crashes, 1);
}

#[tokio::test]
async fn what_has_expired_goes_and_what_is_kept_is_counted() {
    let dir = TempDir::new().expect("a temporary directory");
    let ledger = open(dir.path());
    for ttl in [LONG, ENDED, ENDED] {
        let key = new_key();
        let fence = fresh(&ledger, key, LONG).await.fence;
        finish(&ledger, key, fence, done(ttl)).await;
    }
    drop(ledger);
    // A process moves the log of the one before at once, and without what has expired.
    let ledger = open(dir.path());
    let meters = ledger.meters().expect("the local ledger counts");
    until("one of three is left", || async { meters.entries.get() == Some(1.0) }).await;
    until("nothing is overdue", || async { meters.overdue_s.get() == Some(0.0) }).await;
}

/// The log's last bytes are cut off, or scrambled, at many places: what was committed before that
/// place is there, and nothing after it, and the store opens every time.
#[tokio::test]
async fn a_torn_write_leaves_the_last_committed_state() {
    const FINISHED: usize = 12;
    let dir = TempDir::new().expect("a temporary directory");
    let ledger = open(dir.path());
    let keys: Vec<Key> = (0..FINISHED).map(|i| key(&format!("finished {i}"))).collect();
    for key in &keys {
        let fence = fresh(&ledger, *key, LONG).await.fence;
        finish(&ledger, *key, fence, done(LONG)).await;
    }
    let [path] = &files(dir.path(), ".log")[..] else { panic!("one segment is there") };
    let log = std::fs::read(path).expect("it reads");
    assert!(log.len() > 2 * 1024, "the claims and completions are in the log: {} bytes", log.len());

    let mut done_counts = Vec::new();
    for torn_at in (0..log.len()).rev().step_by(log.len() / 24) {
        let cut = log[..torn_at].to_vec();
        let mut scrambled = log.clone();
        let end = log.len().min(torn_at + 100);
        scrambled[torn_at..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
        let mut hole = log.clone();
        hole[torn_at..].fill(0);
        let mut counts = Vec::new();
        for torn in [cut, scrambled, hole] {
            let copy = copy_with_log(dir.path(), path, &torn);
            let ledger = open(copy.path());
            let mut states = Vec::new();
            for key in &keys {
                states.push(claim(&ledger, *key, LONG).await == Claim::Done { same_message: true });
            }
            let done = states.iter().take_while(|done| **done).count();
            assert!(states[done..].iter().all(|done| !done), "torn at {torn_at}: a later state without an earlier one");
            counts.push(done);
        }
        assert_eq!(counts, [counts[0]; 3], "torn at {torn_at}: how it was torn makes no difference");
        done_counts.push(counts[0]);
    }
    assert!(done_counts.is_sorted_by(|later, earlier| later >= earlier), "{done_counts:?}");
    assert_eq!((done_counts[0] >= FINISHED - 1, done_counts.last()), (true, Some(&0)), "{done_counts:?}");
}

/// A copy of the store's directory as a power cut would leave it, with `bytes` for its log.
fn copy_with_log(dir: &Path, log: &Path, bytes: &[u8]) -> TempDir {
    let copy = TempDir::new().expect("a temporary directory");
    for path in files(dir, "").iter().filter(|path| path.is_file()) {
        std::fs::copy(path, copy.path().join(path.file_name().expect("it has one"))).expect("it can be copied");
    }
    std::fs::write(copy.path().join(log.file_name().expect("it has one")), bytes).expect("it can be written");
    copy
}

#[tokio::test]
async fn two_cannot_have_one_directory() {
    let dir = TempDir::new().expect("a temporary directory");
    let first = open(dir.path());
    let refused = LocalLedger::open(dir.path()).err().expect("it is in use");
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused:?}");
    assert!(refused.to_string().contains(&dir.path().display().to_string()), "{refused}");
    let clone = first.clone();
    first.close();
    let second = open(dir.path());
    assert!(matches!(clone.ping().await, Err(LedgerError::Unavailable(_))), "a closed ledger records nothing");
    second.ping().await.expect("the second has the directory");
}

#[tokio::test]
async fn a_directory_that_is_none_is_named() {
    let dir = TempDir::new().expect("a temporary directory");
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("it can be written");
    let refused = LocalLedger::open(&file).err().expect("a file is no directory");
    assert!(refused.to_string().contains(&file.display().to_string()), "{refused}");
}

#[tokio::test]
async fn a_store_that_is_none_is_named() {
    let dir = TempDir::new().expect("a temporary directory");
    std::fs::write(dir.path().join("ledger.sqlite"), "no database, but long enough to be taken for one".repeat(100))
        .expect("it can be written");
    let refused = LocalLedger::open(dir.path()).err().expect("it is no store");
    assert!(matches!(refused, OpenError::Store { .. }), "{refused:?}");
    assert!(refused.to_string().contains(&dir.path().display().to_string()), "{refused}");
}

/// The child's disk takes no more (its limit on file sizes, which a write meets as it meets a full
/// disk), and then does.
#[tokio::test]
async fn a_full_disk_acknowledges_nothing_and_heals() {
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        let ledger = open(Path::new(&dir));
        let held = fresh(&ledger, key("held"), LONG).await.fence;
        say("open");
        hear("full");
        let unavailable = |answer: &Result<(), LedgerError>| matches!(answer, Err(LedgerError::Unavailable(_)));
        for _ in 0..20 {
            let claimed = ledger.claim(key("refused"), &super::contract::request("body", "message", LONG)).await;
            assert!(matches!(claimed, Err(LedgerError::Unavailable(_))), "{claimed:?}");
            let finished = ledger.finish(key("held"), held, done(LONG)).await;
            assert!(unavailable(&finished), "{finished:?}");
            let recorded = ledger.put_step(key("held"), held, "step", b"value").await;
            assert!(unavailable(&recorded), "{recorded:?}");
            let pinged = ledger.ping().await;
            assert!(unavailable(&pinged), "{pinged:?}");
        }
        say("nothing was acknowledged");
        hear("free");
        ledger.ping().await.expect("it has healed");
        assert_eq!(ledger.get_step(key("held"), held, "step").await.expect("still ours"), None);
        assert!(matches!(claim(&ledger, key("held"), LONG).await, Claim::Busy { .. }), "its lease has gone on");
        finish(&ledger, key("held"), held, done(LONG)).await;
        assert_eq!(fresh(&ledger, key("refused"), LONG).await.attempt, 1, "what was refused did not count");
        say("healed");
        std::thread::park();
    }
    let dir = TempDir::new().expect("a temporary directory");
    let mut child = run_again("ledger::local::a_full_disk_acknowledges_nothing_and_heals", dir.path());
    assert_eq!(child.next_line(), "open");
    child.limit_files("64");
    child.tell("full");
    assert_eq!(child.next_line(), "nothing was acknowledged");
    child.limit_files("unlimited");
    child.tell("free");
    assert_eq!(child.next_line(), "healed");
    child.kill_9();
    let ledger = open(dir.path());
    assert_eq!(claim(&ledger, key("held"), LONG).await, Claim::Done { same_message: true });
}
