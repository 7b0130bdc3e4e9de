//! Messages that nobody can handle: each is dead-lettered or held, none is lost, and the host goes
//! on.

use std::time::Duration;

use serde_json::json;
use wasq::config::Envelope;
use wasq_core::message::AttributeValue;
use wasq_queues::{Broker, Outgoing, QueueError};
use wasq_tests::brokers::visibility_min_s;

use crate::cli::binary::wasq;
use crate::support::brokers::on_each_broker;
use crate::support::{Plugin, Setup, hosts, until};

on_each_broker!(
    unreadable_bodies_are_dead_lettered,
    bodies_that_do_not_fit_their_handler_are_dead_lettered,
    empty_bodies_and_bad_utf8_in_an_envelope_are_dead_lettered,
    a_type_that_nobody_handles_is_held_and_not_deleted,
    a_type_that_nobody_handles_is_dead_lettered_after_unroutable_after,
    the_same_key_with_another_body_is_a_conflict_and_dead_lettered,
    a_key_over_the_limit_is_dead_lettered,
    keys_that_look_alike_when_joined_are_different_keys,
    a_message_older_than_its_max_age_is_dead_lettered_or_discarded_as_declared,
    empty_bodies_and_bytes_that_are_no_text_are_dead_lettered,
    a_message_of_100_megabytes_is_refused_when_it_is_sent,
);

/// A body that each broker takes, with a short attribute beside it.
fn largest(broker: Broker) -> usize {
    match broker {
        Broker::Sqs | Broker::RabbitMq | Broker::Redis => 1024 * 1024 - 15,
        // A million, with the headers.
        Broker::Kafka => 999_000,
    }
}

async fn unreadable_bodies_are_dead_lettered(broker: Broker) {
    let rig = Setup::probe().on(broker).start().await;
    let cases = [
        (" ".to_owned(), "no JSON"),
        ("{".to_owned(), "no JSON"),
        ("[".repeat(100_000), "no JSON"),
        (r#"{"a":"#.repeat(100_000), "no JSON"),
        (r#"{"do":"done"}"#.to_owned(), "no type: none in attribute:type, envelope, /type"),
        (r#"{"type":7}"#.to_owned(), "no type: none in attribute:type, envelope, /type"),
        ("x".repeat(largest(broker)), "no JSON"),
    ];
    for (body, reason) in &cases {
        let id = rig.message(body).untyped().send().await;
        let dead = rig.letter().await;
        assert_eq!(dead.letter.class, "invalid");
        assert!(dead.letter.reason.contains(reason), "{reason}: {}", dead.letter.reason);
        assert!(dead.letter.reason.len() < 1_000);
        assert_eq!((dead.letter.message_id.0, &dead.delivery.body[..]), (id, body.as_bytes()));
    }
    rig.send(json!({ "do": "done" })).await;
    rig.emptied().await;
    assert_eq!((rig.runs(), rig.exits("done")), (1, 1));
    rig.end().await;
}

async fn bodies_that_do_not_fit_their_handler_are_dead_lettered(broker: Broker) {
    let rig = Setup::probe().on(broker).start().await;
    for body in [" ", "{", r#"{"do":"fly"}"#, &"[".repeat(100_000), &"x".repeat(largest(broker))] {
        rig.message(body).send().await;
        let dead = rig.letter().await;
        assert_eq!(dead.letter.class, "reject", "{}", dead.letter.reason);
        assert_eq!(dead.delivery.body, body.as_bytes());
    }
    rig.emptied().await;
    rig.end().await;
}

async fn empty_bodies_and_bytes_that_are_no_text_are_dead_lettered(broker: Broker) {
    let rig = Setup::probe().on(broker).start().await;
    for body in [&b""[..], b"\xff\xfe\x00"] {
        let kind = [("type".to_owned(), AttributeValue::string("probe"))];
        let message = Outgoing {
            body: body.to_vec().into(),
            attributes: kind.into(),
            delay_s: 0,
            group: None,
            deduplication_id: None,
        };
        let sent = rig.queue("jobs").await.send(&[message]).await.remove(0);
        if broker == Broker::Sqs {
            assert!(sent.is_err(), "SQS takes only text: {sent:?}");
            continue;
        }
        sent.unwrap();
        let dead = rig.letter().await;
        assert_eq!((dead.letter.class.as_str(), &dead.delivery.body[..]), ("reject", body), "{}", dead.letter.reason);
    }
    rig.emptied().await;
    assert_eq!(rig.exits("done"), 0);
    rig.end().await;
}

/// SQS takes no body that is empty or not UTF-8, but an envelope can hold one.
async fn empty_bodies_and_bad_utf8_in_an_envelope_are_dead_lettered(broker: Broker) {
    let rig = Setup::probe().on(broker).queue("jobs", |queue| queue.envelope = Envelope::Cloudevents).start().await;
    let all = [r#""data_base64":"/////w==""#, r#""data_base64":"""#, r#""data":null"#, r#""data_base64":"?""#];
    for (id, data) in all.into_iter().enumerate() {
        let body = format!(r#"{{"specversion":"1.0","id":"{id}","source":"s","type":"probe",{data}}}"#);
        rig.message(&body).untyped().send().await;
        let dead = rig.letter().await;
        assert!(["reject", "invalid"].contains(&dead.letter.class.as_str()), "{data}: {}", dead.letter.class);
        assert_eq!(dead.delivery.body, body.as_bytes());
    }
    rig.emptied().await;
    rig.end().await;
}

async fn a_message_of_100_megabytes_is_refused_when_it_is_sent(broker: Broker) {
    let rig = Setup::probe().on(broker).without_host().await;
    let queue = rig.queue("jobs").await;
    let message = |body: Vec<u8>| Outgoing {
        body: body.into(),
        attributes: [("type".to_owned(), AttributeValue::string("probe"))].into(),
        delay_s: 0,
        group: None,
        deduplication_id: None,
    };
    let refused = queue.send(&[message(vec![b' '; 100_000_000])]).await.remove(0).unwrap_err();
    assert!(matches!(refused, QueueError::Permanent { .. }), "{refused}");
    queue.send(&[message(b"small".to_vec())]).await.remove(0).unwrap();
    assert_eq!(rig.left("jobs").await, 1, "{refused}");
    rig.end().await;
}

async fn a_type_that_nobody_handles_is_held_and_not_deleted(broker: Broker) {
    let visibility = Duration::from_secs(visibility_min_s(broker));
    let rig = Setup::probe().on(broker).queue("jobs", move |queue| queue.visibility = visibility).start().await;
    for kind in ["order_forgotten", "../../etc", "probe ", "Probe"] {
        rig.message("x").kind(kind).send().await;
    }
    rig.until_exits("unroutable", 4).await;
    if broker == Broker::Sqs {
        // Longer than the visibility of two seconds: they were hidden for a minute.
        let polls = rig.sqs.faults().calls("ReceiveMessage");
        rig.sqs.faults().calls_reach("ReceiveMessage", polls + 4).await;
        assert_eq!(rig.counts("jobs").await, (0, 4, 0));
        assert_eq!(rig.sqs.faults().calls("DeleteMessageBatch"), 0);
    }
    // Where a queue cannot hide them for so long, they are in the ledger.
    let timers = rig.services().ledger.timers(&rig.config.scope).expect("it keeps timers");
    let held = || async { rig.left("jobs").await + timers.list(10, None).await.unwrap().timers.len() };
    until("all four are held", || async { held().await == 4 }).await;
    assert_eq!((rig.left("jobs-dlq").await, rig.runs()), (0, 0));
    drop(timers);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_nobody_handles_is_warned_of_once_with_what_to_do() {
    let rig = Setup::probe().without_host().await;
    let config = crate::cli::config_file(
        &rig,
        "admin = { listen = '127.0.0.1:0' }",
        "[queues.jobs]\ndlq = 'jobs-dlq'\nwait = '1s'",
    );
    let host = wasq(["run", "--config", config.to_str().unwrap()]).spawn();
    for _ in 0..3 {
        rig.message(json!({ "do": "done" })).kind("order_completd").send().await;
    }
    hosts::until_exits(&host, "unroutable", 3).await;
    let line = host.line("no plugin handles this type").await;
    for part in ["WARN", "order_completd", "jobs", "1day after they were sent", "`types`"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert_eq!(host.shown().matches("no plugin handles this type").count(), 1);
    host.signal("TERM").await;
    assert_eq!(host.ends_within(Duration::from_secs(25)).await, Some(0));
    rig.end().await;
}

async fn a_type_that_nobody_handles_is_dead_lettered_after_unroutable_after(broker: Broker) {
    let setup = Setup::probe().on(broker).queue("jobs", |queue| queue.unroutable_after = Duration::from_millis(1));
    let mut rig = setup.without_host().await;
    rig.message("x").kind("../../etc").send().await;
    let sent = wasq_core::clock::unix_ms();
    until("it is old enough", || async { wasq_core::clock::unix_ms().0 > sent.0 + 1 }).await;
    rig.start_host().await;
    let dead = rig.letter().await;
    rig.emptied().await;
    assert_eq!(dead.letter.class, "unroutable");
    assert_eq!(dead.letter.kind.as_deref(), Some("../../etc"));
    assert!(dead.letter.reason.contains("../../etc"));
    rig.end().await;
}

async fn the_same_key_with_another_body_is_a_conflict_and_dead_lettered(broker: Broker) {
    let rig = Setup::probe().on(broker).start().await;
    rig.message(json!({ "do": "done" })).key("k").send().await;
    rig.emptied().await;
    let other = json!({ "do": "done", "note": "another" }).to_string();
    rig.message(&other).key("k").send().await;
    let dead = rig.letter().await;
    rig.emptied().await;
    assert_eq!((dead.letter.class.as_str(), &dead.delivery.body[..]), ("conflict", other.as_bytes()));
    assert_eq!(rig.runs(), 1);
    rig.end().await;
}

async fn a_key_over_the_limit_is_dead_lettered(broker: Broker) {
    let rig = Setup::probe().on(broker).start().await;
    let in_body = json!({ "do": "done", "idempotency_key": "k".repeat(900_000) });
    rig.message(&in_body).send().await;
    let dead = rig.letter().await;
    assert_eq!(dead.letter.class, "oversized-key");
    assert!(
        dead.letter.reason.contains("900000 bytes") && dead.letter.reason.contains("1024"),
        "{}",
        dead.letter.reason
    );
    assert_eq!(dead.delivery.body, in_body.to_string().as_bytes());
    rig.message(json!({ "do": "done" })).key(&"k".repeat(1_025)).send().await;
    assert_eq!(rig.letter().await.letter.class, "oversized-key");
    rig.message(json!({ "do": "done" })).key(&"k".repeat(1_024)).send().await;
    rig.emptied().await;
    assert_eq!(rig.exits("done"), 1);
    rig.end().await;
}

async fn keys_that_look_alike_when_joined_are_different_keys(broker: Broker) {
    let template = Plugin::probe("template").types(&["t"]).manifest("[idempotency]\nkey = '{/a}|{/b}'");
    let own = Plugin::probe("own").types(&["x|y", "x"]);
    let rig = Setup::new().on(broker).plugin(template).plugin(own).start().await;
    for (a, b) in [("ab|c", "d"), ("ab", "c|d")] {
        let mut order = rig.sink.ask("template");
        (order["a"], order["b"]) = (json!(a), json!(b));
        rig.message(order).kind("t").send().await;
    }
    for (kind, key) in [("x|y", "z"), ("x", "y|z")] {
        rig.message(rig.sink.ask("own")).kind(kind).key(key).send().await;
    }
    rig.emptied().await;
    assert_eq!((rig.sink.count("template"), rig.sink.count("own")), (2, 2));
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    rig.end().await;
}

async fn a_message_older_than_its_max_age_is_dead_lettered_or_discarded_as_declared(broker: Broker) {
    let setup = Setup::new()
        .on(broker)
        .plugin(Plugin::probe("keep").types(&["keep"]).manifest("max_age = '1ms'"))
        .plugin(Plugin::probe("drop").types(&["drop"]).manifest("max_age = '1ms'\non_expired = 'discard'"))
        .plugin(Plugin::probe("fresh").types(&["fresh"]).manifest("max_age = '1h'"));
    let mut rig = setup.without_host().await;
    for kind in ["keep", "drop", "fresh"] {
        rig.message(json!({ "do": "done" })).kind(kind).send().await;
    }
    let sent = wasq_core::clock::unix_ms();
    until("they are old enough", || async { wasq_core::clock::unix_ms().0 > sent.0 + 2 }).await;
    rig.start_host().await;
    let dead = rig.letter().await;
    rig.emptied().await;
    assert_eq!((dead.letter.class.as_str(), dead.letter.plugin.as_deref()), ("expired", Some("keep")));
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    assert_eq!((rig.exits("expired"), rig.exits("done"), rig.runs()), (2, 1, 1));
    rig.end().await;
}
