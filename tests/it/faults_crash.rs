//! kill -9 at each boundary of a delivery's way: the message finishes elsewhere, and completes
//! once.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use wasq::dlq::Letter;
use wasq::dlq::replayed_message::{ReplayOptions, replayed};
use wasq_core::message::Delivery;
use wasq_ledgers::Claim;
use wasq_local_sqs::{Effect, Fault};
use wasq_queues::Broker;
use wasq_tests::crash::proxy::Proxy;

use crate::support::brokers::on_each_broker_but_kafka;
use crate::support::servers::postgres;
use crate::support::{Plugin, Rig, Setup, hosts, until};

on_each_broker_but_kafka!(a_killed_hosts_messages_are_finished_by_another_host_on_the_same_ledger);

/// Each queue is a boundary of its own: its calls, or those to its DLQ, hang there.
const QUEUES: [&str; 8] = ["jobs", "done", "retry", "dead", "unrecorded", "mails-a", "mails-b", "mails-c"];

/// Messages in an outbox: that of "b" takes two calls.
fn mails(place: &str) -> usize {
    if place == "b" { 12 } else { 2 }
}

/// A message that was sent: what finds it in the ledger again.
struct Sent {
    plugin: &'static str,
    id: String,
    body: String,
}

fn failing(code: &str) -> Effect {
    Effect::FailAfter { code: code.into(), status: 500 }
}

/// The calls at which a host shall stand still.
fn order_faults(rig: &Rig) {
    let faults = rig.sqs.faults();
    let hang = |operation: &str, queue: &str| faults.add(Fault::on(operation, Effect::Hang).queue(queue).times(1));
    let passes = |queue: &str| {
        faults.add(Fault::on("SendMessageBatch", Effect::Delay(Duration::ZERO)).queue(queue).times(1));
    };
    // Sent, but no answer comes: the SDK tries again, and that call hangs.
    let unanswered = |queue: &str| {
        faults.add(Fault::on("SendMessageBatch", failing("InternalFailure")).queue(queue).times(1));
        hang("SendMessageBatch", queue);
    };
    hang("DeleteMessageBatch", "done");
    hang("ChangeMessageVisibilityBatch", "retry");
    hang("DeleteMessageBatch", "dead");
    unanswered("unrecorded-dlq");
    hang("SendMessageBatch", "mails-a");
    passes("mails-b");
    hang("SendMessageBatch", "mails-b");
    unanswered("mails-c");
}

fn reject() -> Value {
    json!({ "do": "reject", "reason": "not now" })
}

/// Sends one message for each boundary.
async fn send_all(rig: &Rig) -> Vec<Sent> {
    rig.sink.answers("retry", [json!({ "do": "retry", "reason": "once" })]);
    rig.sink.answers("dead", [reject()]);
    rig.sink.answers("unrecorded", [reject()]);
    let urls: Value = ["a", "b", "c"]
        .map(|step| (step.to_owned(), json!(rig.sink.url(&format!("step-{step}")))))
        .into_iter()
        .collect();
    let outbox = |place: &str| {
        json!({
            "do": "outbox", "queue": format!("mails-{place}"), "kind": "mail", "count": mails(place),
            "body": rig.sink.ask(&format!("mail-{place}")), "then": rig.sink.ask(&format!("outbox-{place}")),
        })
    };
    let orders = [
        ("jobs", "probe", rig.sink.ask("run")),
        ("jobs", "narrow", rig.sink.ask("narrow")),
        ("jobs", "probe", json!({ "do": "steps", "urls": urls, "then": rig.sink.ask("steps") })),
        ("jobs", "probe", outbox("a")),
        ("jobs", "probe", outbox("b")),
        ("jobs", "probe", outbox("c")),
        ("done", "probe", rig.sink.ask("done")),
        ("retry", "probe", rig.sink.ask("retry")),
        ("dead", "probe", rig.sink.ask("dead")),
        ("unrecorded", "probe", rig.sink.ask("unrecorded")),
    ];
    let mut sent = Vec::new();
    for (queue, plugin, order) in orders {
        let body = order.to_string();
        let id = rig.message(&body).queue(queue).kind(plugin).send().await;
        sent.push(Sent { plugin, id, body });
    }
    sent
}

/// Whether the ledger of a host that lives has a claim of the message. It is looked at in a copy.
async fn is_claimed(ledger: &Path, sent: &Sent) -> bool {
    let copy = tempfile::tempdir().unwrap();
    // The copy may be torn; then it is looked at again.
    match copy_dir(ledger, &copy) {
        Err(_) => false,
        Ok(()) => match hosts::claim(copy.path(), sent.plugin, sent.plugin, &sent.id, &sent.body).await {
            Claim::Fresh(fresh) => fresh.crashes == 1,
            other => panic!("{}: {other:?}", sent.body),
        },
    }
}

fn copy_dir(from: &Path, to: &TempDir) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.path().join(entry.file_name()))?;
    }
    Ok(())
}

/// All dead letters of a queue, as they are sent again.
async fn replay(rig: &Rig, queue: &str, count: usize) -> HashSet<Option<String>> {
    let dlq = rig.queue(&format!("{queue}-dlq")).await;
    let mut dead: Vec<Delivery> = Vec::new();
    while dead.len() < count {
        dead.extend(dlq.receive(10, Duration::from_secs(1), Duration::from_secs(60)).await.unwrap());
    }
    let mut keys = HashSet::new();
    for delivery in &dead {
        let letter: Letter = serde_json::from_str(delivery.attributes["wasq"].text().unwrap()).unwrap();
        let again = replayed(delivery, Some(&letter), &rig.rules().await, &ReplayOptions::default()).unwrap();
        rig.queue(queue).await.send(&[again]).await.remove(0).unwrap();
        dlq.delete(std::slice::from_ref(&delivery.receipt)).await.remove(0).unwrap();
        keys.insert(letter.key);
    }
    assert_eq!(rig.counts(&format!("{queue}-dlq")).await, (0, 0, 0), "{queue} has {count} dead letters");
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_boundary_a_message_finishes_elsewhere_and_completes_once() {
    let mut setup = Setup::probe()
        .plugin(Plugin::probe("narrow").types(&["narrow"]).manifest("max_concurrency = 1"))
        .plugin(Plugin::probe("mail").types(&["mail"]));
    for queue in QUEUES {
        setup = setup.queue(queue, |queue| queue.visibility = Duration::from_secs(10));
    }
    let rig = setup.without_host().await;
    order_faults(&rig);
    let holds = ["run", "narrow", "step-c"].map(|name| rig.sink.hold(name));
    let sent = send_all(&rig).await;
    let first = hosts::run(&rig, &hosts::local(&rig)).await;
    for name in ["run", "narrow", "step-c", "done", "retry", "dead", "unrecorded", "outbox-a", "outbox-b", "outbox-c"] {
        rig.until_called(name, 1).await;
    }
    // Its one permit is taken: it has been claimed, and does not run.
    let waiting = rig.message(rig.sink.ask("waiting")).queue("jobs").kind("narrow").send().await;
    let waiting = Sent { plugin: "narrow", id: waiting, body: rig.sink.ask("waiting").to_string() };
    until("the one that waits is claimed", || is_claimed_soon(&rig, &waiting)).await;
    until("all stand at their boundaries", || async { rig.sqs.faults().in_force() == 0 }).await;
    first.kill().await;
    drop(holds);

    let second = hosts::run(&rig, &hosts::local(&rig)).await;
    rig.emptied().await;
    let starts = |name: &str| rig.sink.count(name);
    assert_eq!(starts("run"), 2, "in the run");
    assert_eq!((starts("narrow"), starts("waiting")), (2, 1), "after the claim and before the run");
    assert_eq!(["step-a", "step-b", "step-c"].map(starts), [1, 1, 2], "between two steps: only the third is repeated");
    for (place, boundary) in [("a", "before the outbox is sent"), ("b", "between its sends"), ("c", "after its sends")]
    {
        assert_eq!(starts(&format!("outbox-{place}")), 1, "{boundary}: what succeeded is not run again");
        let ran = rig.sink.calls(&format!("mail-{place}"));
        let keys: HashSet<_> = ran.iter().map(|mail| mail.report["attributes"]["wasq-key"].to_string()).collect();
        assert_eq!((ran.len(), keys.len()), (mails(place), mails(place)), "{boundary}: each of them runs once");
    }
    assert_eq!(starts("done"), 1, "after the completion and before the delete");
    let attempts: Vec<_> = rig.sink.calls("retry").iter().map(|call| call.report["attempt"].clone()).collect();
    assert_eq!(attempts, [1, 2], "at the visibility of a retry");
    assert_eq!(starts("dead"), 1, "after the dead letter and before the delete: its twin is deleted without a run");
    assert_eq!(
        starts("unrecorded"),
        1,
        "after the dead letter and before its record: the verdict stands, only the letter is sent"
    );

    assert_eq!(replay(&rig, "dead", 1).await.len(), 1);
    assert_eq!(replay(&rig, "unrecorded", 2).await.len(), 1, "the twin has the same key");
    rig.emptied().await;
    assert_eq!((starts("dead"), starts("unrecorded")), (2, 2), "a replay runs it once");
    hosts::end(second).await;
    for sent in sent.iter().chain([&waiting]) {
        let claim = hosts::claim(&rig.ledger_dir(), sent.plugin, sent.plugin, &sent.id, &sent.body).await;
        assert!(matches!(claim, Claim::Done { .. } | Claim::DeadLettered), "{} is not recorded: {claim:?}", sent.body);
    }
    for queue in QUEUES {
        assert_eq!(rig.counts(&format!("{queue}-dlq")).await, (0, 0, 0), "{queue}");
    }
    rig.end().await;
}

async fn is_claimed_soon(rig: &Rig, sent: &Sent) -> bool {
    rig.counts("jobs").await.0 == 0 && is_claimed(&rig.ledger_dir(), sent).await
}

async fn a_killed_hosts_messages_are_finished_by_another_host_on_the_same_ledger(broker: Broker) {
    let rig = Setup::probe()
        .on(broker)
        .queue("jobs", |queue| queue.visibility = Duration::from_secs(10))
        .without_host()
        .await;
    let server = postgres();
    let schema = format!("killed_hosts_{broker}");
    let direct = hosts::postgres(server, server.port(), &schema);
    let proxy = Proxy::start(([127, 0, 0, 1], server.port()).into()).await.unwrap();
    let first = hosts::run(&rig, &hosts::postgres(server, proxy.addr().port(), &schema)).await;
    // It receives the message, and its claim does not come through.
    proxy.delay(Duration::from_secs(600), Duration::from_secs(600));
    rig.send(rig.sink.ask("unclaimed")).await;
    let has_received = || async {
        let (_, metrics) = hosts::admin(&first, "/metrics").await;
        metrics.lines().any(|line| line.starts_with("wasq_received_total") && line.ends_with(" 1"))
    };
    until("it has received it", has_received).await;
    first.kill().await;
    drop(proxy);
    let second = hosts::run(&rig, &direct).await;
    rig.emptied().await;
    let attempts = |name: &str| {
        rig.sink.calls(name).iter().map(|call| call.report["attempt"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(attempts("unclaimed"), [1], "what was not claimed was not begun");

    let hold = rig.sink.hold("running");
    rig.send(rig.sink.ask("running")).await;
    rig.until_called("running", 1).await;
    let third = hosts::run(&rig, &direct).await;
    second.kill().await;
    drop(hold);
    rig.emptied().await;
    assert_eq!(attempts("running"), [1, 2], "the host that lives has finished it");
    assert_eq!(hosts::exits(&third, "done").await, 1);
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    hosts::end(third).await;
    rig.end().await;
}
