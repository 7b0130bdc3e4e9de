//! Letters deleted for good.

use serde_json::json;

use super::{bury, dlq, letter, still};

#[tokio::test]
async fn nothing_is_discarded_without_consent() {
    let rig = still().await;
    let buried = bury(&rig, &[letter("a", "{}", json!({})), letter("b", "{}", json!({ "class": "reject" }))]).await;
    dlq(&rig, &["discard", "--all"]).check(1, &["2 would be discarded", "--yes", "wasq dlq export"]).await;
    dlq(&rig, &["discard", "--all", "--dry-run"]).check(0, &["2 would be discarded", "reject"]).await;
    dlq(&rig, &["discard", &buried[0], "--dry-run", "--yes"]).check(0, &["1 would be discarded"]).await;
    dlq(&rig, &["discard", "ffff-nothing", "--yes"]).check(1, &["no dead letter ffff-nothing"]).await;
    assert_eq!(rig.counts("jobs-dlq").await, (2, 0, 0));
    rig.end().await;
}

#[tokio::test]
async fn what_is_meant_is_discarded_and_the_rest_stays() {
    let rig = still().await;
    let later = wasq_core::clock::unix_ms().0 + 3_600_000;
    let mut letters: Vec<_> =
        (0..25).map(|n| letter(&format!("k{n}"), n, json!({ "class": (["retry", "reject"][n % 2]) }))).collect();
    // Failed after the command began: nobody has looked at it when it was typed.
    letters.push(letter("late", "{}", json!({ "class": "reject", "last_failed_at": later })));
    let buried = bury(&rig, &letters).await;
    dlq(&rig, &["discard", "--class", "reject", "--yes"]).check(0, &["12 discarded, 14 left"]).await;
    assert_eq!(rig.counts("jobs-dlq").await, (14, 0, 0));
    dlq(&rig, &["discard", &buried[0][..13], "--yes"]).check(0, &["1 discarded, 13 left"]).await;
    let left = dlq(&rig, &["ls", "--json"]).check(0, &[]).await.json();
    assert_eq!(left.as_array().unwrap().len(), 13);
    assert!(left.as_array().unwrap().iter().all(|letter| letter["id"] != buried[0].as_str()));
    rig.end().await;
}
