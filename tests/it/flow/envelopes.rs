//! Messages in the envelopes of SNS, EventBridge and CloudEvents.

use serde_json::{Value, json};
use wasq::config::Envelope;

use crate::support::Setup;

/// The envelope's id is the message's key: no two are the same.
fn id() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn sns(body: &Value) -> Value {
    json!({
        "Type": "Notification", "MessageId": id(), "TopicArn": "arn:aws:sns:eu-central-1:1:t", "Message": body.to_string(),
        "MessageAttributes": { "type": { "Type": "String", "Value": "probe" }, "from": { "Type": "String", "Value": "sns" } },
    })
}

fn eventbridge(body: &Value) -> Value {
    json!({ "version": "0", "id": id(), "detail-type": "probe", "source": "shop", "detail": body })
}

fn cloudevent(body: &Value) -> Value {
    json!({ "specversion": "1.0", "id": id(), "type": "probe", "source": "/shop", "data": body })
}

/// Puts a message into its envelope.
type Wrap<'a> = &'a dyn Fn(&Value) -> Value;

#[tokio::test(flavor = "multi_thread")]
async fn enveloped_messages_reach_their_handler_unwrapped() {
    let of = |envelope| move |queue: &mut wasq::config::QueueConfig| queue.envelope = envelope;
    let setup = Setup::probe()
        .queue("sns", of(Envelope::Sns))
        .queue("events", of(Envelope::Eventbridge))
        .queue("cloud", of(Envelope::Cloudevents))
        .queue("auto", of(Envelope::Auto));
    let rig = setup.start().await;
    let plain = |body: &Value| {
        let mut typed = body.clone();
        typed["type"] = json!("probe");
        typed
    };
    let cases: [(&str, &str, Wrap); 7] = [
        ("a", "sns", &sns),
        ("b", "events", &eventbridge),
        ("c", "cloud", &cloudevent),
        ("d", "auto", &sns),
        ("e", "auto", &eventbridge),
        ("f", "auto", &cloudevent),
        ("g", "auto", &plain),
    ];
    for (name, queue, wrap) in cases {
        rig.message(wrap(&rig.sink.ask(name))).queue(queue).untyped().send().await;
    }
    rig.emptied().await;

    for (name, queue, _) in cases {
        let calls = rig.sink.calls(name);
        assert_eq!(calls.len(), 1, "{name} on {queue}");
        let body: Value = serde_json::from_str(calls[0].report["body"].as_str().unwrap()).unwrap();
        assert_eq!(body["url"], rig.sink.url(name), "the inner body");
        assert_eq!(calls[0].report["kind"], "probe");
    }
    assert_eq!(rig.sink.calls("a")[0].report["attributes"]["from"], "sns");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_its_envelope_is_dead_lettered() {
    let rig = Setup::probe().queue("jobs", |queue| queue.envelope = Envelope::Sns).start().await;
    rig.message(json!({ "do": "done" })).send().await;
    let dead = rig.letter().await;
    assert_eq!(dead.letter.class, "invalid");
    assert!(dead.letter.reason.contains("`/Message` is missing"), "{}", dead.letter.reason);
    rig.end().await;
}
