//! The host as a process among processes: signalled, killed, restarted.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use wasq_core::message::{BodyDigest, Key, MessageId, MessageType};
use wasq_ledgers::local::LocalLedger;
use wasq_ledgers::{Claim, ClaimRequest, Ledger};

use crate::cli::binary::{Running, wasq};
use crate::cli::config_file;
use crate::support::{Rig, Setup, until};

/// Fargate gives a container 30 s; the host must be gone before.
const STOP_MAX: Duration = Duration::from_secs(25);

/// A `wasq run` over the rig's queue, once it polls. `head` and `queue` are lines of its config.
async fn run(rig: &Rig, head: &str, queue: &str) -> Running {
    let head = format!("admin = {{ listen = '127.0.0.1:0' }}\n{head}");
    let config = config_file(rig, &head, &format!("[queues.jobs]\ndlq = 'jobs-dlq'\n{queue}"));
    let running = wasq([OsStr::new("run"), OsStr::new("--config"), config.as_os_str()]).spawn();
    running.line("running").await;
    running
}

async fn stopping(run: &Running) {
    run.signal("TERM").await;
    run.line("stopping").await;
}

/// What a call to the sink told, of all that came in.
fn reports(rig: &Rig, name: &str) -> Vec<Value> {
    rig.sink.calls(name).into_iter().map(|call| call.report).collect()
}

#[tokio::test]
async fn a_sigterm_in_a_long_poll_ends_it_and_what_arrives_is_put_back() {
    let rig = Setup::probe().without_host().await;
    let hold = rig.sink.hold("work");
    let run = run(&rig, "", "wait = '20s'\nvisibility = '60s'\nmax_pollers = 1").await;
    rig.send(rig.sink.ask("work")).await;
    rig.until_called("work", 1).await;
    rig.sqs.faults().calls_reach("ReceiveMessage", 2).await;
    stopping(&run).await;
    // As long as anything runs the open poll is read.
    rig.send(rig.sink.ask("late")).await;
    until("it was put back", || async { rig.sqs.faults().calls("ChangeMessageVisibilityBatch") >= 1 }).await;
    drop(hold);
    assert_eq!(run.ends_within(STOP_MAX).await, Some(0));

    let queue = rig.queue("jobs").await;
    let shown = queue.receive(1, Duration::from_secs(2), Duration::from_secs(60)).await.unwrap();
    assert_eq!(shown.len(), 1, "it is there at once, not after its visibility");
    assert_eq!(shown[0].receive_count, 2, "the open poll had brought it");
    assert_eq!(rig.sink.count("late"), 0, "and no handler saw it");
    rig.end().await;
}

/// Two seconds by themselves; more on a machine that is busy. The poll would take 20.
const IDLE_STOP_MAX: Duration = Duration::from_secs(8);

#[tokio::test]
async fn an_idle_host_ends_at_once_whichever_signal_stops_it() {
    for signal in ["TERM", "INT", "HUP"] {
        let rig = Setup::probe().without_host().await;
        let run = run(&rig, "", "wait = '20s'\nvisibility = '60s'").await;
        rig.sqs.faults().calls_reach("ReceiveMessage", 1).await;
        run.signal(signal).await;
        assert_eq!(run.ends_within(IDLE_STOP_MAX).await, Some(0), "{signal}");
        rig.end().await;
    }
}

#[tokio::test]
async fn a_sigterm_lets_what_runs_come_to_its_end() {
    let rig = Setup::probe().without_host().await;
    let hold = rig.sink.hold("work");
    let run = run(&rig, "drain_s = 20", "wait = '1s'").await;
    for _ in 0..5 {
        rig.send(rig.sink.ask("work")).await;
    }
    rig.until_called("work", 5).await;
    stopping(&run).await;
    drop(hold);
    assert_eq!(run.ends_within(STOP_MAX).await, Some(0));
    assert_eq!(rig.counts("jobs").await, (0, 0, 0), "all were deleted");
    assert_eq!(rig.sink.count("work"), 5);
    rig.end().await;
}

/// Ends a host whose handlers do not end, and checks that they went back uncounted.
async fn interrupted(drain_s: u64, second_signal: Option<&str>, limit: Duration) {
    let rig = Setup::probe().without_host().await;
    let hold = rig.sink.hold("work");
    let config = format!("drain_s = {drain_s}");
    let queue = "wait = '1s'\nvisibility = '60s'";
    let first = run(&rig, &config, queue).await;
    for _ in 0..3 {
        rig.send(rig.sink.ask("work")).await;
    }
    rig.until_called("work", 3).await;
    stopping(&first).await;
    if let Some(signal) = second_signal {
        first.signal(signal).await;
    }
    assert_eq!(first.ends_within(limit).await, Some(0));
    assert_eq!(rig.counts("jobs").await, (3, 0, 0), "they are there for the next host at once");

    drop(hold);
    let second = run(&rig, &config, queue).await;
    rig.emptied().await;
    assert_eq!(rig.sink.count("work"), 6);
    let attempts: Vec<_> = reports(&rig, "work").iter().map(|report| report["attempt"].clone()).collect();
    assert!(attempts.iter().all(|attempt| *attempt == 1), "an interruption counts no attempt: {attempts:?}");
    second.signal("TERM").await;
    assert_eq!(second.ends_within(STOP_MAX).await, Some(0));
    rig.end().await;
}

#[tokio::test]
async fn a_handler_that_outlasts_the_drain_is_put_back_uncounted() {
    interrupted(1, None, Duration::from_secs(12)).await;
}

#[tokio::test]
async fn a_second_signal_skips_the_drain() {
    interrupted(600, Some("TERM"), Duration::from_secs(12)).await;
}

#[tokio::test]
async fn ctrl_c_twice_skips_the_drain_too() {
    interrupted(600, Some("INT"), Duration::from_secs(12)).await;
}

/// Which of these messages have a completion in a copy of the ledger.
async fn recorded(ledger: &Path, ids: &[String], body: &str) -> HashSet<String> {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(ledger).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let ledger = LocalLedger::open(copy.path()).unwrap();
    let mut done = HashSet::new();
    for id in ids {
        let key = Key::of("wasq", "probe", &MessageType("probe".into()), id);
        let request = ClaimRequest {
            body: BodyDigest::of(body.as_bytes()),
            message_id: MessageId(id.clone()),
            lease: Duration::from_secs(60),
            is_redelivery: false,
        };
        if let Claim::Done { .. } = ledger.claim(key, &request).await.unwrap() {
            done.insert(id.clone());
        }
    }
    done
}

/// How often each message's handler was started.
fn starts(rig: &Rig) -> HashMap<String, usize> {
    let mut starts = HashMap::new();
    for report in reports(rig, "work") {
        *starts.entry(report["id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    starts
}

#[tokio::test]
async fn killed_in_the_middle_all_finish_and_no_recorded_completion_runs_again() {
    const MESSAGES: usize = 300;
    const CONCURRENCY: usize = 16;
    let rig = Setup::probe().without_host().await;
    let queue = format!("wait = '1s'\nvisibility = '12s'\nconcurrency = {CONCURRENCY}");
    let body = rig.sink.ask("work").to_string();
    let mut ids = Vec::new();
    for _ in 0..MESSAGES {
        ids.push(rig.message(&body).send().await);
    }

    let first = run(&rig, "", &queue).await;
    rig.until_called("work", MESSAGES / 3).await;
    // Some handlers are surely in the middle when it dies; the others end, are recorded and deleted
    // meanwhile.
    let hold = rig.sink.hold("work");
    rig.until_called("work", rig.sink.count("work") + 4).await;
    first.kill().await;
    let before = starts(&rig);
    let done = recorded(&rig.ledger_dir(), &ids, &body).await;
    let in_hand = before.len() - done.len();
    assert!(!done.is_empty() && (4..=CONCURRENCY).contains(&in_hand), "{} done, {in_hand} in hand", done.len());
    drop(hold);

    let second = run(&rig, "", &queue).await;
    rig.emptied().await;
    let after = starts(&rig);
    assert_eq!(after.len(), MESSAGES, "none was lost");
    for id in &done {
        assert_eq!(after[id], before[id], "{id} was recorded as done, and ran again");
    }
    assert_eq!(after.values().sum::<usize>(), MESSAGES + in_hand, "only what was in hand ran twice");
    assert_eq!(recorded(&rig.ledger_dir(), &ids, &body).await.len(), MESSAGES, "all are recorded");
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    second.signal("TERM").await;
    assert_eq!(second.ends_within(STOP_MAX).await, Some(0));
    rig.end().await;
}

#[tokio::test]
async fn a_message_that_kills_its_host_three_times_is_dead_lettered() {
    let rig = Setup::probe().without_host().await;
    let _hold = rig.sink.hold("work");
    let queue = "wait = '1s'\nvisibility = '2s'";
    rig.send(rig.sink.ask("work")).await;
    for life in 1..=3 {
        let host = run(&rig, "", queue).await;
        rig.until_called("work", life).await;
        host.kill().await;
    }
    let last = run(&rig, "", queue).await;
    let dlq = rig.queue("jobs-dlq").await;
    let mut letters = Vec::new();
    for _ in 0..10 {
        letters.extend(dlq.receive(1, Duration::from_secs(2), Duration::from_secs(60)).await.unwrap());
        if !letters.is_empty() {
            break;
        }
    }
    let letter: Value = serde_json::from_str(letters[0].attributes["wasq"].text().unwrap()).unwrap();
    assert_eq!(letter["class"], "host-crash");
    assert_eq!(letter["plugin"], "probe");
    assert_eq!(letters[0].body, rig.sink.ask("work").to_string());
    assert_eq!(rig.sink.count("work"), 3, "it did not run a fourth time");
    rig.emptied().await;
    last.signal("TERM").await;
    assert_eq!(last.ends_within(STOP_MAX).await, Some(0));
    rig.end().await;
}

#[tokio::test]
async fn a_second_host_on_the_same_ledger_says_who_has_it() {
    let rig = Setup::probe().without_host().await;
    let first = run(&rig, "", "wait = '1s'").await;
    let config = rig.plugins_dir().parent().unwrap().join("wasq.toml");
    let second = wasq([OsStr::new("run"), OsStr::new("--config"), config.as_os_str()]);
    second.check(1, &["ledger", "another process"]).await;
    first.signal("TERM").await;
    assert_eq!(first.ends_within(STOP_MAX).await, Some(0));
    rig.end().await;
}
