//! `wasq dlq`: dead letters listed, shown, mended and replayed.

use serde_json::json;

use super::binary::{Wasq, wasq};
use crate::support::{Plugin, Rig, Setup, until};

fn dlq(rig: &Rig, arguments: &[&str]) -> Wasq {
    let (url, admin) = (rig.sqs.endpoint_url(), rig.host().admin_addr().to_string());
    wasq(["dlq"].iter().chain(arguments).chain(&["--queue", "jobs", "--endpoint-url", &url, "--admin", &admin]))
        .env("WASQ_CONFIG", "/nowhere/wasq.toml")
}

/// The probe gives up after its first failure.
async fn rig() -> Rig {
    let probe = Plugin::probe("probe").manifest("[retry]\nmax_attempts = 1\n");
    let rig = Setup::new().plugin(probe).start().await;
    // Without a config the DLQ is found by the queue's redrive policy.
    let arn = wasq::queue::Queue::attributes(&rig.queue("jobs-dlq").await).await.unwrap()["QueueArn"].clone();
    let queue = rig.queue("jobs").await;
    let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":1000}}"#);
    let set = rig.client.set_queue_attributes().queue_url(queue.url());
    set.attributes(aws_sdk_sqs::types::QueueAttributeName::RedrivePolicy, policy).send().await.unwrap();
    rig
}

async fn dead(rig: &Rig, count: usize) {
    until(&format!("{count} dead letters"), || async { rig.counts("jobs-dlq").await == (count, 0, 0) }).await;
    rig.emptied().await;
}

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
    let parts = [id, "no such order", "probe", &rig.sink.url("order"), &sent];
    dlq(&rig, &["show", &id[..8]]).check(0, &parts).await;
    assert_eq!(dlq(&rig, &["show", id, "--json"]).check(0, &[]).await.json()["letter"], *letter);
    dlq(&rig, &["show", "ffff-nothing"]).check(1, &["no dead letter ffff-nothing", "wasq dlq ls"]).await;

    let shown = dlq(&rig, &["replay", "--all", "--dry-run"]).check(0, &["2 would be replayed"]).await;
    assert!(!shown.says("2 replayed"));
    dead(&rig, 2).await;
    assert_eq!((rig.sink.count("order"), rig.sink.count("stock")), (1, 1), "nothing ran again");
    rig.end().await;
}

#[tokio::test]
async fn a_mended_letter_is_done() {
    let rig = rig().await;
    rig.message(json!({ "do": "reject", "reason": "no such order" })).attribute("shop", "north").send().await;
    dead(&rig, 1).await;
    let id = dlq(&rig, &["ls", "--json"]).check(0, &[]).await.json()[0]["id"].as_str().unwrap().to_owned();
    let mended = rig.sink.ask("mended").to_string();
    dlq(&rig, &["replay", &id, "--body", &mended]).check(0, &["1 replayed"]).await;
    rig.until_called("mended", 1).await;
    rig.emptied().await;
    let report = rig.sink.calls("mended")[0].report.clone();
    assert_eq!((&report["attempt"], &report["attributes"]["shop"]), (&1.into(), &"north".into()));
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    rig.end().await;
}

#[tokio::test]
async fn a_filtered_replay_leaves_the_others() {
    let rig = rig().await;
    for n in 0..12 {
        rig.sink.answers(&format!("r{n}"), [json!({ "do": "retry", "reason": "too busy" })]);
        rig.send(rig.sink.ask(&format!("r{n}"))).await;
    }
    rig.send(json!({ "do": "reject", "reason": "no such order" })).await;
    dead(&rig, 13).await;
    dlq(&rig, &["replay", "--all", "--class", "retry"]).check(0, &["12 replayed"]).await;
    rig.emptied().await;
    dead(&rig, 1).await;
    for n in 0..12 {
        let name = format!("r{n}");
        assert_eq!(rig.sink.count(&name), 2, "{name} ran once before and once after its replay");
        let keys: Vec<_> = rig.sink.calls(&name).iter().map(|call| call.report["key"].clone()).collect();
        assert_eq!(keys[0], keys[1], "a replay keeps its key");
    }
    rig.end().await;
}
