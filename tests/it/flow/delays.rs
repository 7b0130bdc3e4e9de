//! What waits in the ledger for its time: what a producer or a handler wants later, and what has to
//! wait for longer than its queue can have it wait.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use wasq::config::{KafkaConfig, QueueConfig};
use wasq::timers::deliver_at::DELIVER_AT_ATTRIBUTE;
use wasq_core::clock;
use wasq_ledgers::timers::{Listed, Timers, Update, When};
use wasq_queues::Broker;
use wasq_queues::kafka::KafkaOrder;

use crate::cli::binary::wasq;
use crate::support::brokers::on_each_broker;
use crate::support::{Rig, Setup, until};

on_each_broker!(
    what_its_producer_wants_later_is_parked_until_then,
    a_time_that_is_none_is_a_dead_letter_that_says_so,
    a_wait_beyond_what_sqs_can_hide_is_parked_with_key_attempts_and_steps,
    what_waits_outlasts_its_host,
);

const HOURS_13_MS: u64 = 13 * 60 * 60 * 1_000;
const DAYS_3_S: u64 = 3 * 24 * 60 * 60;

fn timers(rig: &Rig) -> Arc<dyn Timers> {
    rig.services().ledger.timers(&rig.config.scope).expect("it keeps timers")
}

async fn waiting(rig: &Rig) -> Vec<Listed> {
    timers(rig).list(100, None).await.expect("the ledger answers").timers
}

/// The timers, once there are so many.
async fn until_waiting(rig: &Rig, count: usize) -> Vec<Listed> {
    until("they wait", || async { waiting(rig).await.len() == count }).await;
    waiting(rig).await
}

/// As if the time of all timers had come.
async fn time_comes(rig: &Rig) {
    let timers = timers(rig);
    for listed in waiting(rig).await {
        let fence = timers.get(&listed.id).await.expect("the ledger answers").and_then(|timer| timer.fence);
        let update = Update { id: listed.id, fence: fence.expect("it waits"), due: When::NOW, message: None };
        timers.update_batch(vec![update]).await.remove(0).expect("it is changed");
    }
}

/// A moment so many seconds from now, in seconds since 1970.
fn in_s(seconds: u64) -> u64 {
    clock::unix_ms().0 / 1_000 + seconds
}

fn is_about(listed: &Listed, wait_s: u64) -> bool {
    listed.due.0.abs_diff(in_s(wait_s) * 1_000) < 60_000
}

async fn what_its_producer_wants_later_is_parked_until_then(broker: Broker) {
    let rig = Setup::probe().on(broker).start().await;
    let at = in_s(DAYS_3_S);
    let id = rig.message(rig.sink.ask("work")).attribute(DELIVER_AT_ATTRIBUTE, &at.to_string()).send().await;
    let parked = until_waiting(&rig, 1).await.remove(0);
    assert_eq!((parked.id.0, parked.due.0, parked.queue.as_str()), (format!("parked/jobs/{id}"), at * 1_000, "jobs"));
    rig.emptied().await;
    assert_eq!((rig.runs(), rig.exits("not-due")), (0, 1));
    time_comes(&rig).await;
    rig.until_called("work", 1).await;
    rig.emptied().await;
    let report = &rig.sink.calls("work")[0].report;
    assert_eq!(report["id"], id, "it is the message that it was");
    assert_eq!(report["attempt"], 1);
    let attributes = report["attributes"].as_object().expect("they are an object");
    assert_eq!(attributes.keys().collect::<Vec<_>>(), ["type"], "the host's own are not the handler's");
    until("its timer has gone", || async { waiting(&rig).await.is_empty() }).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wanted_soon_is_hidden_and_what_was_wanted_before_runs_now() {
    let rig = Setup::probe().start().await;
    rig.message(rig.sink.ask("soon")).attribute(DELIVER_AT_ATTRIBUTE, &in_s(2).to_string()).send().await;
    rig.message(rig.sink.ask("passed")).attribute(DELIVER_AT_ATTRIBUTE, "2001-02-03T04:05:06Z").send().await;
    rig.until_called("passed", 1).await;
    rig.until_called("soon", 1).await;
    rig.emptied().await;
    assert_eq!((rig.exits("not-due"), rig.exits("done")), (1, 2));
    assert_eq!(waiting(&rig).await, []);
    rig.end().await;
}

async fn a_time_that_is_none_is_a_dead_letter_that_says_so(broker: Broker) {
    let rig = Setup::probe().on(broker).start().await;
    rig.message(rig.sink.ask("work")).attribute(DELIVER_AT_ATTRIBUTE, "tomorrow").send().await;
    let dead = rig.letter().await;
    assert_eq!(dead.letter.class, "invalid");
    assert!(dead.letter.reason.contains(DELIVER_AT_ATTRIBUTE), "{}", dead.letter.reason);
    rig.end().await;
}

async fn a_wait_beyond_what_sqs_can_hide_is_parked_with_key_attempts_and_steps(broker: Broker) {
    // In order, a topic keeps it in its place.
    let without_order = |queue: &mut QueueConfig| {
        queue.kafka = queue.kafka.take().map(|kafka| KafkaConfig { order: KafkaOrder::None, ..kafka });
    };
    let rig = Setup::probe().on(broker).queue("jobs", without_order).start().await;
    let later = |how: &str| json!({ "do": how, "ms": HOURS_13_MS, "after_ms": HOURS_13_MS, "reason": "not today" });
    rig.sink.answers("work", [later("snooze"), later("retry")]);
    let urls = json!({ "charge": rig.sink.url("charge") });
    let id = rig.send(json!({ "do": "steps", "urls": urls, "then": rig.sink.ask("work") })).await;
    for calls in 1..=2 {
        let parked = until_waiting(&rig, 1).await.remove(0);
        assert!(is_about(&parked, HOURS_13_MS / 1_000), "{parked:?}");
        rig.emptied().await;
        time_comes(&rig).await;
        rig.until_called("work", calls + 1).await;
    }
    rig.emptied().await;
    let calls: Vec<Value> = rig.sink.calls("work").into_iter().map(|call| call.report).collect();
    for call in &calls {
        assert_eq!((&call["id"], &call["key"], &call["sent_at"]), (&json!(id), &calls[0]["key"], &calls[0]["sent_at"]));
    }
    let attempts: Vec<_> = calls.iter().map(|call| call["attempt"].as_u64().expect("a number")).collect();
    assert_eq!(attempts, [1, 1, 2], "a snooze does not count, and a retry does");
    assert_eq!(rig.sink.count("charge"), 1, "its steps stay");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_outlive_its_queues_retention_is_parked() {
    let mut rig = Setup::probe().without_host().await;
    rig.set("jobs", QueueAttributeName::MessageRetentionPeriod, "60").await;
    rig.start_host().await;
    rig.sink.answers("work", [json!({ "do": "snooze", "ms": 56_000 })]);
    rig.send(rig.sink.ask("work")).await;
    let parked = until_waiting(&rig, 1).await.remove(0);
    assert!(is_about(&parked, 56), "{parked:?}");
    rig.emptied().await;
    time_comes(&rig).await;
    rig.until_called("work", 2).await;
    rig.emptied().await;
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_room_to_be_parked_is_hidden() {
    let rig = Setup::probe().start().await;
    let mut message = rig.message(json!({ "do": "snooze", "ms": HOURS_13_MS }));
    for n in 1..10 {
        message = message.attribute(&format!("a{n}"), "full");
    }
    message.send().await;
    rig.until_exits("snooze", 1).await;
    until("it is hidden", || async { rig.counts("jobs").await == (0, 1, 0) }).await;
    assert_eq!(waiting(&rig).await, []);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wanted_later_holds_up_nobody_in_its_group() {
    let rig = Setup::probe().queue("jobs.fifo", |_| {}).start().await;
    let at = in_s(DAYS_3_S).to_string();
    let message = |name: &str| rig.message(rig.sink.ask(name)).group("a");
    message("later").attribute(DELIVER_AT_ATTRIBUTE, &at).send().await;
    message("now").send().await;
    rig.until_called("now", 1).await;
    assert_eq!(rig.sink.count("later"), 0);
    until_waiting(&rig, 1).await;
    time_comes(&rig).await;
    rig.until_called("later", 1).await;
    rig.emptied().await;
    rig.end().await;
}

/// Puts a message to `queue` into the outbox, to be sent later.
fn later(rig: &Rig, queue: &str, wait: Value) -> Value {
    let body = rig.sink.ask("late");
    let mut order = json!({ "do": "outbox", "queue": queue, "kind": "probe", "body": body, "count": 1,
                            "then": rig.sink.ask("work") });
    order.as_object_mut().unwrap().extend(wait.as_object().unwrap().clone());
    order
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_delays_for_any_time() {
    let rig = Setup::probe().queue("jobs", |_| {}).queue("other.fifo", |_| {}).start().await;
    let waits = [json!({ "delay_s": DAYS_3_S }), json!({ "at_s": in_s(DAYS_3_S) })];
    for (n, (queue, wait)) in ["self", "other.fifo"].into_iter().zip(waits).enumerate() {
        rig.send(later(&rig, queue, wait)).await;
        rig.until_called("work", n + 1).await;
        rig.emptied().await;
        let set = until_waiting(&rig, 1).await.remove(0);
        assert!(is_about(&set, DAYS_3_S) && set.id.0.starts_with("outbox/"), "{set:?}");
        assert_eq!(set.queue, if queue == "self" { "jobs" } else { queue });
        assert_eq!(rig.sink.count("late"), n);
        time_comes(&rig).await;
        rig.until_called("late", n + 1).await;
        until("its timer has gone", || async { waiting(&rig).await.is_empty() }).await;
    }
    let late = rig.sink.calls("late");
    assert_ne!(late[0].report["key"], late[1].report["key"]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_delay_is_the_queues_own_and_a_time_that_has_passed_is_now() {
    let rig = Setup::probe().start().await;
    rig.send(later(&rig, "self", json!({ "delay_s": 600 }))).await;
    until("it is delayed", || async { rig.counts("jobs").await == (0, 0, 1) }).await;
    rig.send(later(&rig, "self", json!({ "at_s": 1_000 }))).await;
    rig.until_called("late", 1).await;
    assert_eq!(waiting(&rig).await, []);
    rig.end().await;
}

async fn what_waits_outlasts_its_host(broker: Broker) {
    let mut rig = Setup::probe().on(broker).start().await;
    rig.message(rig.sink.ask("work")).attribute(DELIVER_AT_ATTRIBUTE, &in_s(DAYS_3_S).to_string()).send().await;
    until_waiting(&rig, 1).await;
    rig.stop_host().await;
    rig.start_host().await;
    time_comes(&rig).await;
    rig.until_called("work", 1).await;
    rig.emptied().await;
    rig.end().await;
}

/// What a queue refuses, or a config has no longer, waits until somebody mends that.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_stays_in_the_ledger() {
    let mut rig = Setup::probe().queue("jobs", |_| {}).queue("gone", |_| {}).start().await;
    rig.send(later(&rig, "gone", json!({ "delay_s": DAYS_3_S }))).await;
    until_waiting(&rig, 1).await;
    rig.stop_host().await;
    let gone = rig.config.queues.remove("gone").expect("it was there");
    rig.start_host().await;
    time_comes(&rig).await;
    let failures = || rig.services().timers.as_ref().map_or(0, |timers| timers.meters.failures.get());
    until("a send has failed", || async { failures() > 0 }).await;
    assert_eq!(waiting(&rig).await.len(), 1);
    rig.stop_host().await;
    rig.config.queues.insert("gone".into(), gone);
    rig.start_host().await;
    rig.until_called("late", 1).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_parked_and_then_moved_by_sqs_is_replayed_under_its_key() {
    let rig = Setup::probe().start().await;
    rig.sink.answers("work", [json!({ "do": "snooze", "ms": HOURS_13_MS })]);
    rig.send(rig.sink.ask("work")).await;
    until_waiting(&rig, 1).await;
    let dlq = rig.queue("jobs-dlq").await;
    let message = wasq::timers::decode(&timers(&rig).get(&waiting(&rig).await[0].id).await.unwrap().unwrap().message);
    dlq.send(&[message.expect("the host stored it").message]).await.remove(0).expect("it is sent");
    let held = dlq.receive(1, Duration::from_secs(1), Duration::from_secs(30)).await.unwrap().remove(0);
    let how = wasq::dlq::replayed_message::ReplayOptions::default();
    let again = wasq::dlq::replayed_message::replayed(&held, None, &rig.rules().await, &how).expect("it can be");
    rig.queue("jobs").await.send(&[again]).await.remove(0).expect("it is sent");
    rig.until_called("work", 2).await;
    let calls = rig.sink.calls("work");
    assert_eq!(calls[0].report["key"], calls[1].report["key"]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_listed_page_by_page_and_can_be_cancelled() {
    let rig = Setup::probe().start().await;
    let at = in_s(DAYS_3_S);
    let mut ids = Vec::new();
    for n in 0..3 {
        let message = rig.message(rig.sink.ask("work")).attribute(DELIVER_AT_ATTRIBUTE, &(at + n).to_string());
        ids.push(message.send().await);
    }
    until_waiting(&rig, 3).await;
    let admin = rig.admin_addr().unwrap().to_string();
    let listed = async |more: &[&str]| {
        let ran = wasq([&["timers", "--json", "--admin", &admin], more].concat()).check(0, &[]).await;
        serde_json::from_str::<Value>(&ran.out).unwrap()
    };
    let first = listed(&["--limit", "2"]).await;
    let next = first["next"].as_str().expect("there is more");
    let rest = listed(&["--after", next]).await;
    let of = |list: &Value| -> Vec<String> {
        list["timers"].as_array().unwrap().iter().map(|timer| timer["id"].as_str().unwrap().to_owned()).collect()
    };
    let expect: Vec<_> = ids.iter().map(|id| format!("parked/jobs/{id}")).collect();
    assert_eq!([of(&first), of(&rest)].concat(), expect);
    assert_eq!((&rest["next"], &first["all"], &first["overdue"]), (&Value::Null, &json!(3), &json!(0)));
    wasq(["timers", "--admin", &admin]).check(0, &["parked/jobs/", "3 timers, 0 of them overdue"]).await;
    wasq(["timers", "cancel", &expect[0], "--admin", &admin]).check(1, &["--yes"]).await;
    wasq(["timers", "cancel", &expect[0], "--yes", "--admin", &admin]).check(0, &["cancelled"]).await;
    wasq(["timers", "cancel", &expect[0], "--yes", "--admin", &admin]).check(1, &["no timer"]).await;
    assert_eq!(waiting(&rig).await.len(), 2);
    rig.end().await;
}
