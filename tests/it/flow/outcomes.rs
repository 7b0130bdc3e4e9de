//! What a handler says, and what becomes of its message.

use std::time::Duration;

use serde_json::{Value, json};
use wasq::dlq::replayed_message::{ReplayOptions, replayed};
use wasq_local_sqs::{Effect, Fault};
use wasq_queues::Broker;

use crate::support::brokers::on_each_broker;
use crate::support::{Answer, Plugin, Setup, until};

on_each_broker!(
    a_failed_attempt_is_repeated_after_the_backoff,
    a_discarded_message_is_deleted_and_not_run_again,
    a_snooze_counts_no_attempt,
    an_unavailable_dependency_counts_no_attempt_and_its_breaker_opens_and_closes,
    a_503_with_retry_after_is_an_unavailable_dependency,
    after_is_honoured,
    finished_steps_are_not_repeated,
    the_outbox_is_sent_when_the_handler_has_succeeded_and_its_consumer_runs_once,
    an_outbox_that_always_sends_again_ends_at_its_depth,
);

async fn a_failed_attempt_is_repeated_after_the_backoff(broker: Broker) {
    let probe = Plugin::probe("probe").manifest("[retry]\ninitial_interval = '2s'\nbackoff_coefficient = 1.0");
    let rig = Setup::new().on(broker).plugin(probe).start().await;
    rig.sink
        .answers("work", [json!({ "do": "retry", "reason": "not now" }), json!({ "do": "panic", "message": "oh" })]);
    rig.send(rig.sink.ask("work")).await;
    rig.emptied().await;

    let calls = rig.sink.calls("work");
    let attempts: Vec<_> = calls.iter().map(|call| call.report["attempt"].as_u64().unwrap()).collect();
    assert_eq!(attempts, [1, 2, 3]);
    for pair in calls.windows(2) {
        let waited = pair[1].at - pair[0].at;
        // A draw from [1 s, 2 s], rounded up to whole seconds.
        assert!(waited > Duration::from_millis(1_000), "{waited:?}");
    }
    assert_eq!((rig.exits("retry"), rig.exits("trap"), rig.exits("done")), (1, 1, 1));
    rig.end().await;
}

async fn a_discarded_message_is_deleted_and_not_run_again(broker: Broker) {
    let rig = Setup::probe().on(broker).start().await;
    let order = json!({ "do": "discard", "reason": "nobody wants it" });
    rig.message(&order).key("k").send().await;
    rig.message(&order).key("k").send().await;
    rig.emptied().await;
    assert_eq!((rig.runs(), rig.exits("discard"), rig.duplicates()), (1, 1, 1));
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    rig.end().await;
}

async fn a_snooze_counts_no_attempt(broker: Broker) {
    let probe = Plugin::probe("probe").manifest("[retry]\nmax_attempts = 1");
    let rig = Setup::new().on(broker).plugin(probe).start().await;
    rig.sink.answers("work", vec![json!({ "do": "snooze", "ms": 0 }); 3]);
    rig.send(rig.sink.ask("work")).await;
    rig.emptied().await;
    let calls = rig.sink.calls("work");
    assert_eq!(calls.len(), 4);
    assert!(calls.iter().all(|call| call.report["attempt"] == 1));
    assert_eq!((rig.exits("snooze"), rig.exits("done")), (3, 1));
    rig.end().await;
}

async fn an_unavailable_dependency_counts_no_attempt_and_its_breaker_opens_and_closes(broker: Broker) {
    let probe = Plugin::probe("probe").manifest("[retry]\nmax_attempts = 1");
    let setup = Setup::new().on(broker).plugin(probe).config(|config| {
        config.limits.breaker_failures = 2;
        config.limits.breaker_probe = Duration::from_secs(1);
    });
    let rig = setup.start().await;
    let down = json!({ "do": "unavailable", "dependency": "bank" });
    // The third attempt stands at a gate until the breaker has been looked at.
    rig.sink.answers("work", [down.clone(), down, rig.sink.ask("gate")]);
    let gate = rig.sink.hold("gate");
    rig.send(rig.sink.ask("work")).await;
    rig.until_exits("unavailable", 2).await;
    let breakers = rig.admin("/status").await["breakers"].clone();
    assert_eq!((&breakers[0]["dependency"], &breakers[0]["open"]), (&json!("bank"), &json!(true)), "{breakers}");
    drop(gate);
    rig.emptied().await;

    assert_eq!(rig.admin("/status").await["breakers"], json!([]), "a success closes it");
    let calls = rig.sink.calls("work");
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().all(|call| call.report["attempt"] == 1));
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_breaker_keeps_other_messages_from_running() {
    let setup = Setup::probe().config(|config| {
        config.limits.breaker_failures = 1;
        config.limits.breaker_probe = Duration::from_secs(2);
    });
    let rig = setup.start().await;
    rig.send(json!({ "do": "unavailable", "dependency": "bank", "after_ms": 3_600_000 })).await;
    rig.until_exits("unavailable", 1).await;
    rig.send(json!({ "do": "done" })).await;
    rig.until_exits("breaker-open", 1).await;
    assert_eq!(rig.runs(), 1);
    assert_eq!(rig.counts("jobs").await, (0, 2, 0));
    rig.end().await;
}

async fn a_503_with_retry_after_is_an_unavailable_dependency(broker: Broker) {
    let probe = Plugin::probe("probe").manifest("[retry]\nmax_attempts = 1");
    let rig = Setup::new().on(broker).plugin(probe).start().await;
    rig.sink.answers("api", [Answer::status(503).retry_after_s(1)]);
    rig.send(json!({ "do": "http", "url": rig.sink.url("api") })).await;
    rig.emptied().await;
    let calls = rig.sink.calls("api");
    assert_eq!(calls.len(), 2);
    assert!(calls[1].at - calls[0].at > Duration::from_millis(900));
    assert_eq!((rig.exits("unavailable"), rig.exits("done")), (1, 1));
    rig.end().await;
}

async fn after_is_honoured(broker: Broker) {
    let rig = Setup::probe().on(broker).start().await;
    rig.sink.answers("work", [json!({ "do": "retry", "reason": "later", "after_ms": 2000 })]);
    rig.send(rig.sink.ask("work")).await;
    rig.emptied().await;
    let calls = rig.sink.calls("work");
    let waited = calls[1].at - calls[0].at;
    assert!(waited > Duration::from_millis(1_900), "{waited:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_after_is_parked_and_an_endless_outage_is_looked_at_again() {
    let rig = Setup::probe().queue("jobs", |queue| queue.visibility = Duration::from_secs(2)).start().await;
    for order in [
        json!({ "do": "retry", "reason": "never", "after_ms": u64::MAX }),
        json!({ "do": "snooze", "ms": u64::MAX }),
        json!({ "do": "unavailable", "dependency": "d", "after_ms": u64::MAX }),
    ] {
        rig.send(order).await;
    }
    for class in ["retry", "snooze", "unavailable"] {
        rig.until_exits(class, 1).await;
    }
    // Had SQS refused the visibility, it would come again after two seconds.
    let polls = rig.sqs.faults().calls("ReceiveMessage");
    rig.sqs.faults().calls_reach("ReceiveMessage", polls + 4).await;
    assert_eq!(rig.runs(), 3);
    let timers = rig.services().ledger.timers(&rig.config.scope).expect("it keeps timers");
    let parked = timers.counts().await.expect("it answers").all;
    assert_eq!((parked, rig.counts("jobs").await), (3, (0, 0, 0)), "an outage of 12 h, with jitter, is parked, too");
    rig.end().await;
}

async fn finished_steps_are_not_repeated(broker: Broker) {
    let rig = Setup::probe().on(broker).start().await;
    let urls = json!({ "charge": rig.sink.url("charge"), "mail": rig.sink.url("mail") });
    rig.sink.answers("mail", [Answer::status(500)]);
    rig.sink.answers("then", [json!({ "do": "panic", "message": "after both" })]);
    rig.send(json!({ "do": "steps", "urls": urls, "then": rig.sink.ask("then") })).await;
    rig.emptied().await;

    assert_eq!(rig.sink.count("charge"), 1, "finished in the first attempt");
    assert_eq!(rig.sink.count("mail"), 2, "failed in the first attempt");
    assert_eq!(rig.sink.count("then"), 2);
    assert_eq!(rig.sink.calls("then")[1].report["attempt"], 3);
    rig.end().await;
}

async fn the_outbox_is_sent_when_the_handler_has_succeeded_and_its_consumer_runs_once(broker: Broker) {
    let setup = Setup::new()
        .on(broker)
        .plugin(Plugin::probe("first"))
        .plugin(Plugin::probe("second").types(&["follow-up"]))
        .queue("jobs", |_| {})
        .queue("mails", |_| {});
    let rig = setup.start().await;
    rig.sink.answers("then", [json!({ "do": "retry", "reason": "after the outbox" })]);
    let order = json!({
        "do": "outbox", "queue": "mails", "kind": "follow-up", "body": rig.sink.ask("mail"), "count": 2,
        "then": rig.sink.ask("then"),
    });
    rig.message(&order).key("k").send().await;
    rig.emptied().await;
    // The same again is a duplicate: it sends nothing.
    rig.message(&order).key("k").send().await;
    until("the duplicate is seen", || async { rig.duplicates() == 1 }).await;
    rig.emptied().await;

    assert_eq!(rig.sink.count("then"), 2);
    let mails = rig.sink.calls("mail");
    assert_eq!(mails.len(), 2, "each of the two once");
    assert_ne!(mails[0].report["key"], mails[1].report["key"]);
    for mail in &mails {
        assert_eq!(mail.report["kind"], "follow-up");
        assert_eq!(mail.report["attributes"]["wasq-key"].as_str().unwrap().len(), 64);
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_that_cannot_be_sent_is_a_failed_attempt_that_says_why() {
    let probe = Plugin::probe("probe").manifest("[retry]\nmax_attempts = 1");
    let rig = Setup::new().plugin(probe).queue("jobs", |_| {}).queue("mails", |_| {}).start().await;
    let denied = Effect::FailBefore { code: "AccessDeniedException".into(), status: 403 };
    rig.sqs.faults().add(Fault::on("SendMessageBatch", denied).queue("mails"));
    rig.send(outbox("mails", None)).await;
    let dead = rig.letter().await;
    assert_eq!(dead.letter.class, "outbox");
    assert!(dead.letter.reason.contains("cannot send to mails: AccessDenied"), "{}", dead.letter.reason);
    rig.end().await;
}

/// An order for one message to a queue.
fn outbox(queue: &str, group: Option<&str>) -> Value {
    json!({
        "do": "outbox", "queue": queue, "kind": "x", "body": {}, "count": 1, "group": group, "then": { "do": "done" },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_the_config_does_not_have_is_an_error_when_it_is_sent_to() {
    let rig = Setup::new().plugin(Plugin::probe("probe").manifest("[retry]\nmax_attempts = 1")).start().await;
    rig.send(outbox("nowhere", None)).await;
    let dead = rig.letter().await;
    assert_eq!(dead.letter.class, "retry", "the handler saw it, and nothing was recorded");
    for part in ["[queues.nowhere]", "[outlets.nowhere]"] {
        assert!(dead.letter.reason.contains(part), "{}", dead.letter.reason);
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_queue_would_refuse_is_refused_when_it_is_sent_and_nothing_is_recorded() {
    let rig = Setup::probe().start().await;
    rig.sink.answers("work", [outbox("self", Some("two words"))]);
    rig.send(rig.sink.ask("work")).await;
    let dead = rig.letter().await;
    assert_eq!(dead.letter.class, "reject");
    assert!(dead.letter.reason.contains("the group \"two words\""), "{}", dead.letter.reason);
    // With what was recorded in its way, its replay could not run.
    let again = replayed(&dead.delivery, Some(&dead.letter), &rig.rules().await, &ReplayOptions::default()).unwrap();
    rig.queue("jobs").await.send(&[again]).await.remove(0).unwrap();
    rig.emptied().await;
    assert_eq!((rig.sink.count("work"), rig.exits("done"), rig.exits("outbox")), (2, 1, 0));
    rig.end().await;
}

async fn an_outbox_that_always_sends_again_ends_at_its_depth(broker: Broker) {
    let rig = Setup::probe().on(broker).config(|config| config.limits.outbox_depth = 3).start().await;
    let again = json!({
        "do": "outbox", "queue": "self", "kind": "probe", "body": rig.sink.ask("again"), "count": 1,
        "then": { "do": "done" },
    });
    rig.sink.answers("again", vec![again; 10]);
    rig.send(rig.sink.ask("again")).await;
    let dead = rig.letter().await;
    rig.emptied().await;
    assert_eq!((rig.sink.count("again"), dead.letter.class.as_str()), (4, "outbox-depth"));
    assert!(dead.letter.reason.contains("limits.outbox_depth"), "{}", dead.letter.reason);
    assert_eq!(dead.delivery.attributes["wasq-depth"].text(), Some("4"));
    // Whoever replays it has decided that it goes on.
    let again = replayed(&dead.delivery, Some(&dead.letter), &rig.rules().await, &ReplayOptions::default()).unwrap();
    assert!(!again.attributes.contains_key("wasq-depth"));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_over_the_limit_is_a_failure() {
    let rig = Setup::new().plugin(Plugin::probe("probe").manifest("[retry]\nmax_attempts = 1")).start().await;
    rig.send(json!({ "do": "result", "bytes": 4096 })).await;
    rig.until_exits("done", 1).await;
    rig.send(json!({ "do": "result", "bytes": 4097 })).await;
    let dead = rig.letter().await;
    assert_eq!(dead.letter.class, "bad-result");
    rig.end().await;
}
