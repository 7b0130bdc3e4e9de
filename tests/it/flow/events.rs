//! What AWS's services and producers of events send: once for each event, records apart, and what a
//! service says about itself never as work.

use serde_json::{Value, json};
use wasq::config::{Envelope, QueueConfig};
use wasq_queues::Broker;

use crate::support::brokers::on_each_broker;
use crate::support::{Plugin, Setup, dlq};

on_each_broker!(the_plugin_whose_pattern_is_the_most_specific_gets_a_type,);

fn auto(queue: &mut QueueConfig) {
    queue.envelope = Envelope::Auto;
}

fn splitting(queue: &mut QueueConfig) {
    auto(queue);
    queue.split = true;
}

fn cloudevent(id: &str, order: &Value) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/shop", "type": "probe", "data": order })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_under_two_message_ids_runs_once() {
    let rig = Setup::probe().queue("jobs", auto).start().await;
    let events: [(&str, &dyn Fn(Value) -> Value); 3] = [
        ("bus", &|order| json!({ "id": "e-1", "detail-type": "probe", "source": "shop", "detail": order })),
        ("cloud", &|order| cloudevent("c-1", &order)),
        ("topic", &|order| {
            json!({ "Type": "Notification", "MessageId": "n-1", "TopicArn": "arn:t", "Message": order.to_string(),
                "MessageAttributes": { "type": { "Type": "String", "Value": "probe" } } })
        }),
    ];
    for (name, event) in events {
        let body = event(rig.sink.ask(name));
        for _ in 0..2 {
            rig.message(&body).untyped().send().await;
        }
    }
    rig.emptied().await;
    for (name, _) in events {
        assert_eq!(rig.sink.count(name), 1, "{name}");
    }
    assert_eq!((rig.duplicates(), rig.counts("jobs-dlq").await), (3, (0, 0, 0)));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn digits_reach_the_handler_as_they_were_sent_and_the_envelope_says_the_rest() {
    let rig = Setup::probe().queue("jobs", auto).start().await;
    let url = rig.sink.url("work");
    let detail = format!(r#"{{"n":12345678901234567890123, "do":"ask","url":"{url}","price":100.10}}"#);
    let event =
        format!(r#"{{"id":"e-1","detail-type":"probe","source":"shop","region":"eu-west-1","detail":{detail}}}"#);
    rig.message(event).untyped().send().await;
    rig.emptied().await;
    let report = &rig.sink.calls("work")[0].report;
    assert_eq!(report["body"], detail);
    assert_eq!(report["attributes"]["eventbridge-source"], "shop");
    assert_eq!(report["attributes"]["eventbridge-region"], "eu-west-1");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_record_of_a_batch_is_settled_by_itself_and_the_message_with_the_last() {
    for queue in ["jobs", "jobs.fifo"] {
        let rig = Setup::probe().queue(queue, splitting).start().await;
        rig.sink.answers("again", [json!({ "do": "retry", "reason": "once" })]);
        let reject = |reason: &str| json!({ "do": "reject", "reason": reason });
        let events = json!([
            cloudevent("1", &rig.sink.ask("fine")),
            cloudevent("2", &rig.sink.ask("again")),
            cloudevent("3", &reject("first")),
            cloudevent("4", &reject("second")),
        ]);
        let post = rig.message(&events).untyped();
        let id = if queue == "jobs" { post.send().await } else { post.group("g").send().await };
        let mut dead = rig.letters(2).await;
        rig.emptied().await;

        assert_eq!((rig.sink.count("fine"), rig.sink.count("again")), (1, 2), "{queue}");
        dead.sort_by(|a, b| a.letter.reason.cmp(&b.letter.reason));
        for (dead, (reason, event)) in dead.iter().zip([("first", &events[2]), ("second", &events[3])]) {
            assert_eq!((dead.letter.reason.as_str(), dead.letter.message_id.0.as_str()), (reason, id.as_str()));
            assert_eq!(dead.delivery.body, event.to_string(), "the letter is its record alone");
        }
        assert_eq!(rig.counts(&dlq(queue)).await, (0, 0, 0), "{queue}: one letter for each");
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_says_about_itself_is_counted_and_deleted_and_nobodys_work() {
    let rig = Setup::new().plugin(Plugin::probe("all").types(&["*"])).queue("jobs", auto).start().await;
    let test = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "in", "RequestId": "r" });
    let topic = "arn:aws:sns:eu-west-1:123456789012:orders";
    let about =
        |kind: &str| json!({ "Type": kind, "MessageId": kind, "TopicArn": topic, "Token": "t", "Message": "You have" });
    rig.message(&test).untyped().send().await;
    rig.message(json!({ "Type": "Notification", "TopicArn": topic, "Message": test.to_string() }))
        .untyped()
        .send()
        .await;
    rig.message(about("UnsubscribeConfirmation")).untyped().send().await;
    rig.emptied().await;
    assert_eq!((rig.exits("notice"), rig.runs()), (3, 0));
    assert_eq!(rig.counts("jobs-dlq").await, (0, 0, 0));
    // Nobody has said that the topic is wanted: somebody has to look at it.
    rig.message(about("SubscriptionConfirmation")).untyped().send().await;
    let dead = rig.letter().await;
    assert_eq!(dead.letter.class, "invalid");
    assert!(dead.letter.reason.contains(topic) && dead.letter.reason.contains("confirm_subscriptions"), "{dead:?}");
    assert_eq!(rig.runs(), 0);
    rig.end().await;
}

async fn the_plugin_whose_pattern_is_the_most_specific_gets_a_type(broker: Broker) {
    let setup = Setup::new()
        .on(broker)
        .plugin(Plugin::probe("put").types(&["s3:ObjectCreated:Put"]))
        .plugin(Plugin::probe("created").types(&["s3:ObjectCreated:*", "s3:ObjectCreated:*"]))
        .plugin(Plugin::probe("index").types(&["s3:ObjectCreated:*"]))
        .plugin(Plugin::probe("rest").types(&["*"]));
    let rig = setup.start().await;
    for kind in ["s3:ObjectCreated:Put", "s3:ObjectCreated:Copy", "order"] {
        rig.message(rig.sink.ask("{plugin}")).kind(kind).send().await;
    }
    rig.emptied().await;
    let counts = ["put", "created", "index", "rest"].map(|plugin| rig.sink.count(plugin));
    assert_eq!(counts, [1, 1, 1, 1]);
    rig.end().await;
}
