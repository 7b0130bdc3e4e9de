//! Letters listed, filtered and shown.

use serde_json::json;

use super::{bury, dead, dlq, ids, letter, rig, still};

#[tokio::test]
async fn letters_are_listed_and_shown_and_stay() {
    let rig = rig().await;
    dlq(&rig, &["ls"]).check(0, &["no dead letters in jobs-dlq"]).await;
    rig.sink.answers("order", [json!({ "do": "reject", "reason": "no such order" })]);
    rig.sink.answers("stock", [json!({ "do": "retry", "reason": "too busy" })]);
    let sent = rig.send(rig.sink.ask("order")).await;
    rig.send(rig.sink.ask("stock")).await;
    dead(&rig, 2).await;

    let listed = dlq(&rig, &["ls", "--json"]).check(0, &[]).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    dlq(&rig, &["ls"]).check(0, &["reject", "no such order", "retry", "too busy", "probe"]).await;
    let rejected = dlq(&rig, &["ls", "--class", "reject", "--json"]).check(0, &[]).await.json();
    assert_eq!(rejected.as_array().unwrap().len(), 1);
    let letter = &rejected[0]["letter"];
    assert_eq!((&letter["reason"], &letter["message_id"]), (&"no such order".into(), &sent.as_str().into()));
    assert_eq!(
        (&letter["plugin"], &letter["attempts"], &letter["queue"]),
        (&"probe".into(), &1.into(), &"jobs".into())
    );
    dlq(&rig, &["ls", "--type", "other"]).check(0, &["no dead letters"]).await;

    let id = rejected[0]["id"].as_str().unwrap();
    let parts = [id, "no such order", "probe", "replays     0", &rig.sink.url("order"), &sent];
    dlq(&rig, &["show", &id[..8]]).check(0, &parts).await;
    assert_eq!(dlq(&rig, &["show", id, "--json"]).check(0, &[]).await.json()["letter"], *letter);
    dlq(&rig, &["show", "ffff-nothing"]).check(1, &["no dead letter ffff-nothing", "wasq dlq ls"]).await;
    dlq(&rig, &["show", ""]).check(1, &["several dead letters", id]).await;
    dead(&rig, 2).await;
    assert_eq!((rig.sink.count("order"), rig.sink.count("stock")), (1, 1), "nothing ran again");
    rig.end().await;
}

#[tokio::test]
async fn each_filter_lets_through_what_it_says() {
    let rig = still().await;
    let now = wasq_core::clock::unix_ms().0;
    let mut grouped = letter("grouped", "{}", json!({}));
    grouped.group = Some("customer-7".into());
    let buried = [
        letter("plain", "{}", json!({})),
        letter("kind", "{}", json!({ "type": "invoice" })),
        letter("class", "{}", json!({ "class": "timeout", "reason": "out of time after 10 s" })),
        letter("plugin", "{}", json!({ "plugin": "other" })),
        letter("new", "{}", json!({ "last_failed_at": now })),
        grouped,
    ];
    bury(&rig, &buried).await;
    let check = async |filters: &[&str], expect: &[&str]| {
        let arguments: Vec<_> = ["ls", "--json"].iter().chain(filters).copied().collect();
        let listed = dlq(&rig, &arguments).check(0, &[]).await.json();
        let keys: Vec<_> = listed.as_array().unwrap().iter().map(|letter| letter["letter"]["key"].clone()).collect();
        assert_eq!(keys.iter().map(|key| key.as_str().unwrap()).collect::<Vec<_>>(), expect, "{filters:?}");
    };
    check(&["--type", "invoice"], &["kind"]).await;
    check(&["--class", "timeout"], &["class"]).await;
    check(&["--plugin", "other"], &["plugin"]).await;
    check(&["--reason", "out of time"], &["class"]).await;
    check(&["--fingerprint", &wasq::dlq::fingerprint::fingerprint("out of time after 99 s")], &["class"]).await;
    check(&["--newer-than", "1h"], &["new"]).await;
    check(&["--older-than", "1h", "--class", "retry", "--type", "probe", "--plugin", "probe"], &["plain", "grouped"])
        .await;
    check(&["--group-id", "customer-7"], &["grouped"]).await;
    check(&["--class", "timeout", "--newer-than", "1h"], &[]).await;
    check(&["--plugin", "probe", "--limit", "2"], &["plain", "kind"]).await;
    dlq(&rig, &["ls", "--older-than", "soon"]).check(2, &["15m"]).await;
    assert_eq!(rig.counts("jobs-dlq").await, (6, 0, 0), "each listing puts back what it read");
    rig.end().await;
}

#[tokio::test]
async fn a_long_dlq_is_read_to_its_end_and_put_back() {
    let rig = still().await;
    let letters: Vec<_> = (0..230).map(|n| letter(&format!("k{n}"), n, json!({}))).collect();
    let mut buried = bury(&rig, &letters).await;
    buried.sort();
    let listed = dlq(&rig, &["ls", "--json", "--limit", "1000"]).check(0, &[]).await.json();
    assert_eq!(ids(&listed), buried);
    let cut = dlq(&rig, &["ls", "--json"]).check(0, &["there are more", "--limit"]).await.json();
    assert_eq!(cut.as_array().unwrap().len(), 100);
    assert_eq!(rig.counts("jobs-dlq").await, (230, 0, 0));
    // Letters whose hiding runs out while the rest is read are met again, and listed once.
    let slow = wasq_local_sqs::Effect::Delay(std::time::Duration::from_millis(80));
    rig.sqs.faults().add(wasq_local_sqs::Fault::on("ReceiveMessage", slow));
    let listed = dlq(&rig, &["ls", "--json", "--limit", "1000", "--hide", "1s"]).check(0, &[]).await.json();
    assert_eq!(ids(&listed), buried);
    rig.end().await;
}

#[tokio::test]
async fn what_another_command_has_in_hand_is_told() {
    let rig = still().await;
    bury(&rig, &[letter("a", "{}", json!({})), letter("b", "{}", json!({}))]).await;
    let queue = rig.queue("jobs-dlq").await;
    let taken = queue.receive(1, std::time::Duration::ZERO, std::time::Duration::from_secs(60));
    assert_eq!(taken.await.unwrap().len(), 1);
    dlq(&rig, &["ls"]).check(0, &["1 letters of jobs-dlq are hidden"]).await;
    rig.end().await;
}

#[tokio::test]
async fn a_damaged_envelope_is_shown_as_such_and_not_replayed_blindly() {
    let rig = still().await;
    let mut damaged = letter("k", "{}", json!({}));
    damaged.attributes.insert("wasq".into(), wasq_core::message::AttributeValue::string("{"));
    bury(&rig, &[damaged]).await;
    dlq(&rig, &["ls"]).check(0, &["unreadable", "is no envelope"]).await;
    dlq(&rig, &["replay", "--all"]).check(1, &["envelope", "--new-key", "0 replayed"]).await;
    assert_eq!(rig.counts("jobs-dlq").await, (1, 0, 0));
    dlq(&rig, &["replay", "--all", "--new-key"]).check(0, &["1 replayed"]).await;
    rig.end().await;
}
