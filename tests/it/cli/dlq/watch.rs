//! A replay that looks whether its letters fail again.

use serde_json::json;

use super::{bury, dead, dlq, letter, rig, still};
use crate::support::Rig;

/// Letters that the probe rejects again, or does.
async fn bury_many(rig: &Rig, count: usize, fails: bool) {
    let body = if fails { json!({ "do": "reject", "reason": "still broken" }) } else { json!({ "do": "done" }) };
    let letters: Vec<_> = (0..count).map(|n| letter(&format!("{fails}-{n}"), &body, json!({}))).collect();
    bury(rig, &letters).await;
}

#[tokio::test]
async fn a_canary_that_fails_stops_the_replay() {
    let rig = rig().await;
    bury_many(&rig, 12, true).await;
    let said = ["canary: 3 sent", "3 of 3 replayed messages have failed again", "3 replayed, 3 failed again, 12 left"];
    dlq(&rig, &["replay", "--all", "--canary", "3", "--settle", "0s"]).check(1, &said).await;
    dead(&rig, 12).await;
    assert_eq!(rig.exits("reject"), 3, "the others were not sent");
    rig.end().await;
}

#[tokio::test]
async fn a_canary_that_is_done_lets_the_others_follow() {
    let rig = rig().await;
    bury_many(&rig, 25, false).await;
    let said = ["canary: 0 of 3 failed again", "25 replayed, 0 failed again, 0 left"];
    dlq(&rig, &["replay", "--all", "--canary", "3", "--settle", "0s"]).check(0, &said).await;
    rig.until_exits("done", 25).await;
    rig.end().await;
}

#[tokio::test]
async fn a_canary_within_the_bound_lets_the_others_follow() {
    let rig = rig().await;
    bury_many(&rig, 1, true).await;
    bury_many(&rig, 20, false).await;
    let replay = ["replay", "--all", "--canary", "4", "--settle", "0s", "--max-failures", "0.25"];
    dlq(&rig, &replay).check(0, &["canary: 1 of 4 failed again", "21 replayed, 1 failed again, 1 left"]).await;
    rig.end().await;
}

#[tokio::test]
async fn a_canary_that_does_not_settle_in_time_stops_the_replay() {
    let rig = still().await;
    bury_many(&rig, 12, false).await;
    let said = ["has not settled within 1s", "2 messages are in the queues", "--timeout", "2 replayed", "10 left"];
    dlq(&rig, &["replay", "--all", "--canary", "2", "--timeout", "1s"]).check(1, &said).await;
    assert_eq!((rig.counts("jobs-dlq").await, rig.counts("jobs").await), ((10, 0, 0), (2, 0, 0)));
    rig.end().await;
}

#[tokio::test]
async fn a_replay_whose_letters_fail_again_stops_and_replays_none_in_a_circle() {
    let rig = rig().await;
    bury_many(&rig, 60, true).await;
    let ran =
        dlq(&rig, &["replay", "--all", "--rate", "10/s"]).check(1, &["have failed again", "--max-failures"]).await;
    let count = |word: &str| -> u64 {
        let before = ran.out.split(word).next().unwrap().trim();
        before.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let (replayed, failed) = (count("replayed"), count("failed again"));
    assert!((10..60).contains(&replayed), "{replayed} replayed");
    assert!(failed >= 2 && failed <= replayed, "{failed} failed again");
    dead(&rig, 60).await;
    assert_eq!(rig.exits("reject"), replayed, "each was replayed once");
    rig.end().await;
}

#[tokio::test]
async fn a_few_failures_do_not_stop_a_replay() {
    let rig = rig().await;
    bury_many(&rig, 5, true).await;
    dlq(&rig, &["replay", "--all", "--rate", "5/s", "--max-failures", "0"]).check(0, &["5 replayed"]).await;
    dead(&rig, 5).await;
    rig.end().await;
}
