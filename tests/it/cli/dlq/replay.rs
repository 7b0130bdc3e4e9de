//! Letters sent back to their queues.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use wasq_core::message::AttributeValue;
use wasq_local_sqs::{Effect, Fault};

use super::{allow_redrive, bury, dead, dlq, keys_in_jobs, letter, rig, setup, still};
use crate::support::{Plugin, Rig, Setup};

#[tokio::test]
async fn a_filtered_replay_leaves_the_others() {
    let rig = rig().await;
    for n in 0..12 {
        rig.sink.answers(&format!("r{n}"), [json!({ "do": "retry", "reason": "too busy" })]);
        rig.send(rig.sink.ask(&format!("r{n}"))).await;
    }
    rig.send(json!({ "do": "reject", "reason": "no such order" })).await;
    dead(&rig, 13).await;
    dlq(&rig, &["replay", "--class", "retry"]).check(0, &["12 replayed, 0 failed again, 1 left"]).await;
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

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let rig = still().await;
    let mut elsewhere = letter("elsewhere", "{}", json!({ "queue": "gone" }));
    elsewhere.group = Some("g".into());
    bury(&rig, &[letter("a", "{}", json!({})), letter("b", "{}", json!({})), elsewhere]).await;
    let said = ["3 would be replayed, to jobs", "would stay", "`gone`", "--to"];
    let shown = dlq(&rig, &["replay", "--all", "--dry-run"]).check(0, &said).await;
    assert!(!shown.says("3 replayed"));
    dlq(&rig, &["replay", "--all", "--dry-run", "--limit", "1"]).check(0, &["1 would be replayed"]).await;
    dlq(&rig, &["replay", "--group-id", "g", "--dry-run"]).check(0, &["1 would be replayed"]).await;
    let faults = rig.sqs.faults();
    assert_eq!((rig.counts("jobs-dlq").await, rig.counts("jobs").await), ((3, 0, 0), (0, 0, 0)));
    assert_eq!(faults.calls("DeleteMessageBatch"), 0);
    rig.end().await;
}

#[tokio::test]
async fn a_limit_counts_what_is_replayed() {
    let rig = still().await;
    let letters: Vec<_> =
        (0..30).map(|n| letter(&format!("k{n:02}"), n, json!({ "class": (["retry", "reject"][n % 2]) }))).collect();
    bury(&rig, &letters).await;
    let ran = dlq(&rig, &["replay", "--class", "reject", "--limit", "12", "--json"]).check(0, &[]).await.json();
    assert_eq!((&ran["replayed"], &ran["left"], &ran["ended"]), (&json!(12), &json!(18), &json!("limit")));
    let keys = keys_in_jobs(&rig).await;
    assert_eq!(keys, (0..12).map(|n| format!("k{:02}", 2 * n + 1)).collect::<Vec<_>>());
    assert_eq!(rig.counts("jobs-dlq").await, (18, 0, 0));
    rig.end().await;
}

#[tokio::test]
async fn a_replay_killed_midway_or_run_twice_loses_none_and_completes_each_once() {
    let mut rig = still().await;
    let names: Vec<_> = (0..25).map(|n| format!("order-{n}")).collect();
    let letters: Vec<_> = names.iter().map(|name| letter(name, rig.sink.ask(name), json!({}))).collect();
    bury(&rig, &letters).await;
    // Letters in hand when it is killed show again after a second.
    let replay = || dlq(&rig, &["replay", "--all", "--hide", "1s"]);
    let shown_again = async || {
        crate::support::until("the letters show again", || async { rig.counts("jobs-dlq").await.1 == 0 }).await;
    };

    // Killed after its first batch was sent, and before it is deleted.
    rig.sqs.faults().add(Fault::on("DeleteMessageBatch", Effect::Hang).queue("jobs-dlq").times(1));
    let running = replay().spawn();
    rig.sqs.faults().calls_reach("DeleteMessageBatch", 1).await;
    running.kill().await;
    assert_eq!(rig.counts("jobs").await, (10, 0, 0));
    shown_again().await;
    assert_eq!(rig.counts("jobs-dlq").await, (25, 0, 0), "its twins are still there");

    // Killed while it sends.
    let before = rig.sqs.faults().calls("SendMessageBatch");
    rig.sqs.faults().add(Fault::on("SendMessageBatch", Effect::Hang).queue("jobs").times(1));
    let running = replay().spawn();
    rig.sqs.faults().calls_reach("SendMessageBatch", before + 1).await;
    running.kill().await;
    shown_again().await;
    rig.sqs.faults().clear();

    for said in ["25 replayed, 0 failed again, 0 left", "0 replayed, 0 failed again, 0 left"] {
        dlq(&rig, &["replay", "--all"]).check(0, &[said]).await;
    }
    assert_eq!(rig.counts("jobs").await, (35, 0, 0), "25, and 10 twins");
    rig.start_host().await;
    rig.emptied().await;
    let runs: BTreeMap<_, _> = names.iter().map(|name| (name, rig.sink.count(name))).collect();
    assert!(runs.values().all(|runs| *runs == 1), "{runs:?}");
    assert_eq!((rig.exits("done"), rig.duplicates()), (25, 10));
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    rig.end().await;
}

#[tokio::test]
async fn replay_inside_the_deduplication_window_uses_a_fresh_id() {
    let mut rig = setup().queue("jobs.fifo", |_| {}).without_host().await;
    allow_redrive(&rig, 1000).await;
    rig.start_host().await;
    rig.sink.answers("order", [json!({ "do": "reject", "reason": "no" }), json!({ "do": "reject", "reason": "no" })]);
    let sent = rig.message(rig.sink.ask("order")).group("customer-7").send().await;
    for count in 1..=2 {
        let buried = || async { rig.counts("jobs-dlq.fifo").await == (1, 0, 0) };
        crate::support::until("it is dead-lettered", buried).await;
        rig.emptied().await;
        assert_eq!(rig.sink.count("order"), count);
        let listed = dlq(&rig, &["ls", "--group-id", "customer-7", "--json"]).check(0, &[]).await.json();
        let replays = listed[0]["letter"]["replays"].as_u64().unwrap_or_default();
        assert_eq!(replays, count as u64 - 1, "the letter says how often it came back before");
        dlq(&rig, &["replay", "--all"]).check(0, &["1 replayed"]).await;
        rig.until_called("order", count + 1).await;
    }
    rig.emptied().await;
    let calls = rig.sink.calls("order");
    assert_eq!(calls.len(), 3, "SQS took each replay although the first send is not five minutes old");
    assert!(calls.iter().all(|call| call.report["key"] == calls[0].report["key"]), "{sent}: the key stays");
    rig.end().await;
}

#[tokio::test]
async fn a_fifo_groups_letters_keep_their_order() {
    let rig = setup().queue("jobs.fifo", |_| {}).without_host().await;
    allow_redrive(&rig, 1000).await;
    let dead = rig.queue("jobs-dlq.fifo").await;
    for n in 0..30 {
        let queue = if n == 15 { "gone.fifo" } else { "jobs.fifo" };
        let mut letter = letter(&format!("k{n:02}"), n, json!({ "queue": queue }));
        letter.group = Some(["a", "b", "b"][n % 3].into());
        letter.deduplication_id = Some(n.to_string());
        dead.send(&[letter]).await.remove(0).unwrap();
    }
    // Of `b` a listing sees the first ten; so does a replay of those that match, and goes on behind
    // what it replays.
    dlq(&rig, &["ls"]).check(0, &["10 more letters stand behind"]).await;
    let said = ["`gone.fifo` cannot be opened", "one before it in its group stays", "25 replayed", "5 left"];
    dlq(&rig, &["replay", "--all"]).check(1, &said).await;
    let queue = rig.queue("jobs.fifo").await;
    let (mut a, mut b) = (Vec::new(), Vec::new());
    while a.len() + b.len() < 25 {
        for delivery in queue.receive(10, Duration::ZERO, Duration::from_secs(60)).await.unwrap() {
            let number: usize = std::str::from_utf8(&delivery.body).unwrap().parse().unwrap();
            let group = if delivery.group.as_deref() == Some("a") { &mut a } else { &mut b };
            group.push(number);
            queue.delete(&[delivery.receipt]).await.remove(0).unwrap();
        }
    }
    assert_eq!(a, (0..15).step_by(3).collect::<Vec<_>>());
    assert_eq!(b, (0..30).filter(|n| n % 3 > 0).collect::<Vec<_>>());
    rig.end().await;
}

#[tokio::test]
async fn no_letter_overtakes_one_of_its_group_that_could_not_be_sent() {
    let rig = setup().queue("jobs.fifo", |_| {}).without_host().await;
    allow_redrive(&rig, 1000).await;
    let dead = rig.queue("jobs-dlq.fifo").await;
    for (n, group) in ["a", "a", "b", "a"].into_iter().enumerate() {
        let mut letter = letter(&format!("k{n}"), n, json!({ "queue": "jobs.fifo" }));
        letter.group = Some(group.into());
        letter.deduplication_id = Some(n.to_string());
        dead.send(&[letter]).await.remove(0).unwrap();
    }
    let refused = Effect::FailEntries { places: vec![0], code: "InternalError".into() };
    rig.sqs.faults().add(Fault::on("SendMessageBatch", refused).queue("jobs.fifo").times(1));
    dlq(&rig, &["replay", "--all"]).check(1, &["InternalError", "1 replayed", "3 left"]).await;
    dlq(&rig, &["replay", "--all"]).check(0, &["3 replayed", "0 left"]).await;
    let (queue, mut order) = (rig.queue("jobs.fifo").await, Vec::new());
    while order.len() < 4 {
        for delivery in queue.receive(10, Duration::ZERO, Duration::from_secs(60)).await.unwrap() {
            order.push(String::from_utf8(delivery.body.to_vec()).unwrap());
            queue.delete(&[delivery.receipt]).await.remove(0).unwrap();
        }
    }
    order.retain(|body| body != "2");
    assert_eq!(order, ["0", "1", "3"]);
    rig.end().await;
}

#[tokio::test]
async fn letters_of_one_mib_are_replayed_in_batches_that_sqs_takes() {
    let rig = still().await;
    let room = 1024 * 1024 - 4 * 1024;
    let letters: Vec<_> = (0..10).map(|n| letter(&format!("k{n}"), "x".repeat(room), json!({}))).collect();
    bury(&rig, &letters).await;
    let before = rig.sqs.faults().calls("SendMessageBatch");
    dlq(&rig, &["replay", "--all"]).check(0, &["10 replayed, 0 failed again, 0 left"]).await;
    assert_eq!(rig.sqs.faults().calls("SendMessageBatch") - before, 10);
    assert_eq!(keys_in_jobs(&rig).await.len(), 10);
    rig.end().await;
}

#[tokio::test]
async fn what_could_not_be_sent_stays_and_is_named() {
    let rig = still().await;
    let buried = bury(&rig, &[0, 1, 2, 3].map(|n| letter(&format!("k{n}"), n, json!({})))).await;
    let code = "InternalError".to_owned();
    let partly = Effect::FailEntries { places: vec![1, 3], code: code.clone() };
    rig.sqs.faults().add(Fault::on("SendMessageBatch", partly).queue("jobs").times(1));
    // And a delete that fails in part is tried again.
    let partly = Effect::FailEntries { places: vec![0], code };
    rig.sqs.faults().add(Fault::on("DeleteMessageBatch", partly).queue("jobs-dlq").times(1));
    let said = [&buried[1][..8], &buried[3][..8], "InternalError", "2 letters were not sent", "2 replayed", "2 left"];
    dlq(&rig, &["replay", "--all"]).check(1, &said).await;
    assert_eq!(rig.counts("jobs-dlq").await, (2, 0, 0));
    assert_eq!(keys_in_jobs(&rig).await, ["k0", "k2"]);
    dlq(&rig, &["replay", "--all"]).check(0, &["2 replayed, 0 failed again, 0 left"]).await;
    assert_eq!(keys_in_jobs(&rig).await, ["k1", "k3"]);

    bury(&rig, &[letter("k", "{}", json!({ "queue": "gone" }))]).await;
    dlq(&rig, &["replay", "--all"]).check(1, &["`gone` cannot be opened", "--to", "0 replayed"]).await;
    dlq(&rig, &["replay", "--all", "--to", "jobs"]).check(0, &["1 replayed"]).await;
    rig.end().await;
}

#[tokio::test]
async fn when_nothing_can_be_sent_the_replay_ends() {
    let rig = still().await;
    let letters: Vec<_> = (0..70).map(|n| letter(&format!("k{n}"), n, json!({ "queue": "gone" }))).collect();
    bury(&rig, &letters).await;
    let said = ["one letter after the other cannot be sent", "50 in all", "0 replayed, 0 failed again, 70 left"];
    dlq(&rig, &["replay", "--all"]).check(1, &said).await;
    assert_eq!(rig.counts("jobs-dlq").await, (70, 0, 0));
    rig.end().await;
}

#[tokio::test]
async fn a_letter_without_room_for_its_key_is_replayed_only_if_that_is_wanted() {
    let rig = still().await;
    let full = |body: &str| {
        let mut full = letter("k", body, json!({}));
        for n in full.attributes.len()..11 {
            full.attributes.insert(format!("a{n}"), AttributeValue::string("x"));
        }
        // Its envelope is where a host would put it: in the ledger. Nobody can be asked.
        full.attributes.remove("wasq");
        full
    };
    let id = bury(&rig, &[full("{}")]).await.remove(0);
    dlq(&rig, &["replay", &id]).check(1, &["no host can be asked", "0 replayed"]).await;
    dlq(&rig, &["replay", &id, "--again", "--new-key"]).check(1, &["wasq-again", "SQS takes 10"]).await;
    dlq(&rig, &["replay", &id, "--new-key"]).check(0, &["1 replayed"]).await;
    rig.end().await;
}

#[tokio::test]
async fn ctrl_c_ends_a_replay_between_batches_and_puts_all_back() {
    let rig = still().await;
    let letters: Vec<_> = (0..40).map(|n| letter(&format!("k{n}"), n, json!({}))).collect();
    bury(&rig, &letters).await;
    let before = rig.sqs.faults().calls("SendMessageBatch");
    let running = dlq(&rig, &["replay", "--all", "--rate", "1/s"]).spawn();
    rig.sqs.faults().calls_reach("SendMessageBatch", before + 1).await;
    running.signal("INT").await;
    running.line("The same command goes on").await;
    running.line("failed again").await;
    assert_eq!(running.ends_within(Duration::from_secs(10)).await, Some(1));
    let (sent, left) = (rig.counts("jobs").await.0, rig.counts("jobs-dlq").await);
    assert!(sent >= 1 && left == (40 - sent, 0, 0), "{sent} sent, and {left:?} in the DLQ");
    rig.end().await;
}

#[tokio::test]
async fn a_message_that_failed_several_plugins_is_sent_once() {
    let plugin = |name| Plugin::probe(name).manifest("[retry]\nmax_attempts = 1\n");
    let mut rig = Setup::new().plugin(plugin("one")).plugin(plugin("two")).plugin(plugin("three")).without_host().await;
    allow_redrive(&rig, 1000).await;
    rig.start_host().await;
    let calls = |rig: &Rig| ["one", "two", "three"].map(|name| rig.sink.count(name));
    for name in ["one", "two"] {
        rig.sink.answers(name, [1, 2].map(|_| json!({ "do": "reject", "reason": "not yet" })));
    }
    rig.send(rig.sink.ask("{plugin}")).await;
    dead(&rig, 2).await;
    dlq(&rig, &["replay", "--all"]).check(0, &["2 replayed as 1 messages"]).await;
    dead(&rig, 2).await;
    assert_eq!(calls(&rig), [2, 2, 1], "the third was done");
    // With --again all of them run once more: sent for each letter, they would run twice.
    dlq(&rig, &["replay", "--all", "--again"]).check(0, &["2 replayed as 1 messages"]).await;
    rig.until_called("three", 2).await;
    dead(&rig, 0).await;
    assert_eq!(calls(&rig), [3, 3, 2]);
    rig.end().await;
}

#[tokio::test]
async fn again_runs_what_is_done() {
    let rig = rig().await;
    rig.message(rig.sink.ask("order")).key("k").send().await;
    rig.until_exits("done", 1).await;
    rig.emptied().await;
    let buried = || async { bury(&rig, &[letter("k", rig.sink.ask("order"), json!({}))]).await };
    buried().await;
    dlq(&rig, &["replay", "--all"]).check(0, &["1 replayed"]).await;
    rig.emptied().await;
    assert_eq!((rig.sink.count("order"), rig.duplicates()), (1, 1), "a replay does nothing twice");
    let id = buried().await.remove(0);
    dlq(&rig, &["replay", &id, "--again"]).check(0, &["1 replayed"]).await;
    rig.until_called("order", 2).await;
    rig.emptied().await;
    let again = &rig.sink.calls("order")[1].report;
    assert_eq!((&again["attempt"], &again["attributes"]["wasq-again"]), (&json!(1), &json!(id)));
    rig.end().await;
}
