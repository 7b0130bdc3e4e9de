//! Plugins whose completions alone are recorded: `idempotency.mode = "completion"`.

use serde_json::{Value, json};
use wasq_ledgers::local::LocalLedger;
use wasq_queues::Broker;

use crate::support::brokers::on_each_broker;
use crate::support::{Faulty, Plugin, Rig, Setup, Trouble, until};

on_each_broker!(
    what_is_done_does_not_run_again_and_no_claim_was_made,
    failures_are_counted_by_receives_and_the_dead_letter_is_recognised_and_replayed,
    an_outbox_is_recorded_under_a_claim_and_sent_once,
);

fn completion_alone(lines: &str) -> Setup {
    let lines = format!("[idempotency]\nmode = 'completion'\n[retry]\ninitial_interval = '0s'\n{lines}");
    Setup::new()
        .plugin(Plugin::probe("probe").manifest(&lines))
        .plugin(Plugin::probe("mail").types(&["mail"]))
        .queue("jobs", |_| {})
        .queue("mails", |_| {})
}

fn outbox(rig: &Rig, count: usize) -> Value {
    json!({
        "do": "outbox", "queue": "mails", "kind": "mail", "count": count, "body": rig.sink.ask("mail"),
        "then": { "do": "done" },
    })
}

async fn what_is_done_does_not_run_again_and_no_claim_was_made(broker: Broker) {
    let mut rig = completion_alone("").on(broker).without_host().await;
    let ledger = Faulty::new(LocalLedger::open(&rig.ledger_dir()).unwrap(), Trouble::None);
    rig.start_on(ledger.clone()).await;
    let order = rig.sink.ask("work");
    rig.message(&order).key("k").send().await;
    rig.emptied().await;
    assert_eq!((ledger.claims(), rig.sink.count("work")), (0, 1));

    rig.message(&order).key("k").send().await;
    until("the duplicate is seen", || async { rig.duplicates() == 1 }).await;
    rig.message(rig.sink.ask("other")).key("k").send().await;
    let dead = rig.letter().await;
    assert_eq!((dead.letter.class.as_str(), rig.sink.count("work"), rig.sink.count("other")), ("conflict", 1, 0));
    rig.emptied().await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_deliveries_that_overlap_may_both_run_and_both_are_settled() {
    let rig = completion_alone("").start().await;
    let order = rig.sink.ask("work");
    let hold = rig.sink.hold("work");
    rig.message(&order).key("k").send().await;
    rig.message(&order).key("k").send().await;
    rig.until_called("work", 2).await;
    drop(hold);
    rig.emptied().await;
    assert_eq!((rig.exits("done"), rig.counts("jobs-dlq").await), (2, (0, 0, 0)));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_that_cannot_be_recorded_is_not_acknowledged() {
    let mut rig = completion_alone("").without_host().await;
    let ledger = Faulty::new(LocalLedger::open(&rig.ledger_dir()).unwrap(), Trouble::DownAfterClaim);
    rig.start_on(ledger.clone()).await;
    rig.send(rig.sink.ask("work")).await;
    rig.until_called("work", 1).await;
    until("it is put back", || async { rig.ready().await.0 == 503 }).await;
    assert_eq!(rig.exits("done"), 0, "nothing is settled");
    ledger.set(Trouble::None);
    rig.emptied().await;
    rig.end().await;
}

async fn an_outbox_is_recorded_under_a_claim_and_sent_once(broker: Broker) {
    let mut rig = completion_alone("").on(broker).without_host().await;
    let ledger = Faulty::new(LocalLedger::open(&rig.ledger_dir()).unwrap(), Trouble::None);
    rig.start_on(ledger.clone()).await;
    let order = outbox(&rig, 2);
    rig.message(&order).key("k").send().await;
    rig.emptied().await;
    // One for the outbox, and one for each of the mails.
    assert_eq!((ledger.claims(), rig.sink.count("mail")), (3, 2));
    rig.message(&order).key("k").send().await;
    until("the duplicate is seen", || async { rig.duplicates() == 1 }).await;
    rig.emptied().await;
    assert_eq!(rig.sink.count("mail"), 2);
    rig.end().await;
}

async fn failures_are_counted_by_receives_and_the_dead_letter_is_recognised_and_replayed(broker: Broker) {
    let rig = completion_alone("max_attempts = 3").on(broker).start().await;
    let retry = json!({ "do": "retry", "reason": "not now" });
    rig.sink.answers("work", [retry.clone(), retry.clone(), retry]);
    let order = rig.sink.ask("work");
    rig.message(&order).key("k").send().await;
    let dead = rig.letter().await;
    let attempts: Vec<_> = rig.sink.calls("work").iter().map(|call| call.report["attempt"].as_u64().unwrap()).collect();
    assert_eq!((attempts, dead.letter.attempts, dead.letter.class.as_str()), (vec![1, 2, 3], 3, "retry"));
    // Its key is known now, so that the next message with it is claimed.
    rig.message(&order).key("k").send().await;
    rig.emptied().await;
    assert_eq!((rig.sink.count("work"), rig.exits("done")), (4, 1));
    assert_eq!(rig.sink.calls("work")[3].report["attempt"], 1);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_fails_and_names_the_mode() {
    let rig = completion_alone("max_attempts = 1").start().await;
    rig.send(json!({ "do": "steps", "urls": { "step": rig.sink.url("step") }, "then": { "do": "done" } })).await;
    let dead = rig.letter().await;
    assert!(dead.letter.reason.contains("idempotency.mode = \"completion\""), "{}", dead.letter.reason);
    assert_eq!(rig.sink.count("step"), 0, "what a step would keep is not done");
    rig.end().await;
}
