//! The cases. Each is an order to the handler, and what the host is told.

use std::time::Duration;

use serde_json::{Value, json};
use wasq::exit::Exit;
use wasq_core::message::{AttributeData, AttributeValue, Attributes};

use super::components::conformance;
use super::runner::{CLOSED, Ran, Runner, SENT_AT};
use crate::support::{Answer, Sink};

/// What is wanted of a case: the exit's class, and what its result or reason is.
enum Want {
    /// Done, without a result.
    Done,
    /// Done, with this result.
    Result(Value),
    /// Another class, with these parts in its reason.
    Class(&'static str, &'static [&'static str]),
}

use Want::{Class, Done, Result as Gives};

/// Cases that need only an order.
fn cases(sink: &Sink) -> Vec<(&'static str, Value, Want)> {
    let value = json!({ "text": "übergroß 🦀 \u{1F469}\u{200D}\u{1F680}", "list": [1, 2.5, -3, null, true], "nested": { "a": {} } });
    let typed = |name: Value, quantity: Value| json!({ "do": "typed", "typed": { "name": name, "items": [{ "sku": "a", "quantity": 2 }, { "sku": "b", "quantity": quantity }] } });
    let denied = "http://127.0.0.1:9/";
    vec![
        ("nothing is done", json!({ "do": "done" }), Done),
        ("a result is kept", json!({ "do": "result", "value": value }), Gives(value)),
        ("a result of text", json!({ "do": "result", "value": "ü" }), Gives(json!("ü"))),
        (
            "a result over the limit",
            json!({ "do": "result", "value": "x".repeat(5_000) }),
            Class("bad-result", &["limits.result_bytes"]),
        ),
        ("a discard", json!({ "do": "discard", "reason": "not worth it" }), Class("discard", &["not worth it"])),
        ("a retry", json!({ "do": "retry", "reason": "läter", "after_ms": null }), Class("retry", &["läter"])),
        (
            "an unavailable dependency",
            json!({ "do": "unavailable", "dependency": "mail", "reason": "down", "after_ms": null }),
            Class("unavailable", &["mail", "down"]),
        ),
        ("a reject", json!({ "do": "reject", "reason": "never" }), Class("reject", &["never"])),
        (
            "an error is a retry that says it",
            json!({ "do": "error", "text": "the disk is on fire" }),
            Class("retry", &["the disk is on fire"]),
        ),
        (
            "an error's text is capped",
            json!({ "do": "error", "text": "x".repeat(100_000) }),
            Class("retry", &["xxxx", "…"]),
        ),
        ("a body that fits its type", typed(json!("n"), json!(3)), Gives(json!({ "name": "n", "sum": 5 }))),
        (
            "a misfit names the field",
            typed(json!("n"), json!("3")),
            Class("reject", &["body: field `typed.items[1].quantity`"]),
        ),
        ("a fraction is no integer", typed(json!("n"), json!(1.5)), Class("reject", &["typed.items[1].quantity"])),
        ("a misfit at the top", typed(json!(7), json!(3)), Class("reject", &["body: field `typed.name`"])),
        ("null is no string", typed(Value::Null, json!(3)), Class("reject", &["body: field `typed.name`"])),
        (
            "a step that throws",
            json!({ "do": "once-error", "name": "s", "text": "boom" }),
            Class("retry", &["step `s`: ", "boom"]),
        ),
        (
            "a step that rejects",
            json!({ "do": "once-reject", "name": "s", "reason": "no" }),
            Class("reject", &["step `s`: no"]),
        ),
        (
            "a step's name has a limit",
            json!({ "do": "once-error", "name": "s".repeat(300), "text": "x" }),
            Class("reject", &["256 bytes"]),
        ),
        (
            "a queue that was not granted",
            json!({ "do": "send", "queue": "others", "kind": "k", "body": 1 }),
            Class("retry", &["outbox, `k` to queue `others`", "not granted"]),
        ),
        (
            "an attribute that SQS refuses",
            json!({ "do": "send", "queue": "self", "kind": "k", "body": 1, "attributes": { "a b": "v" } }),
            Class("reject", &["outbox, `k` to queue `self`"]),
        ),
        ("a wait without timers", json!({ "do": "wait", "name": "w" }), Class("reject", &["wait `w`", "cannot wait"])),
        ("a variable", json!({ "do": "variable", "name": "known" }), Gives(json!("yes"))),
        (
            "a variable that is not set",
            json!({ "do": "variable", "name": "unknown" }),
            Class("retry", &["variable `unknown` is not set"]),
        ),
        (
            "no connection",
            json!({ "do": "get", "url": format!("http://{CLOSED}/x?secret=1") }),
            Class("unavailable", &["127.0.0.1", "GET http://127.0.0.1:1/x", "no connection: refused"]),
        ),
        (
            "a host that was not granted",
            json!({ "do": "get", "url": denied }),
            Class("retry", &["GET http://127.0.0.1:9/", "allowed_outbound_hosts"]),
        ),
        ("a URL that is none", json!({ "do": "get", "url": "mailto:ada" }), Class("retry", &["GET request", "URL"])),
        ("a log line", json!({ "do": "log", "text": "a line\nof two" }), Done),
        ("an answer of 500", json!({ "do": "get", "url": sink.url("broken") }), Class("retry", &["answered 500"])),
        (
            "an answer of 503",
            json!({ "do": "get", "url": sink.url("down") }),
            Class("unavailable", &["127.0.0.1", "answered 503"]),
        ),
        (
            "an answer of 429",
            json!({ "do": "get", "url": sink.url("busy") }),
            Class("unavailable", &["127.0.0.1", "answered 429"]),
        ),
        (
            "an answer that is no JSON type",
            json!({ "do": "get", "url": sink.url("fine") }),
            Gives(json!({ "fine": "ü" })),
        ),
    ]
}

/// Cases whose body is no order.
const BODIES: [(&[u8], &str); 4] =
    [(b"{\"do\":", "not JSON"), (b"", "not JSON"), (b"{\"do\":\"\xff\"}", ""), (b"\"\\ud800", "not JSON")];

async fn check_language(language: &str) {
    let sink = Sink::start().await;
    let runner = Runner::new(&format!("conformance-{language}"), &conformance(language), &sink, "");
    let mut wrong = Vec::new();
    for (case, order, want) in cases(&sink) {
        for (name, status) in [("broken", 500), ("down", 503), ("busy", 429)] {
            if order["url"] == sink.url(name) {
                sink.answers(name, [Answer::status(status).retry_after_s(7)]);
            }
        }
        if order["url"] == sink.url("fine") {
            sink.answers("fine", [json!({ "fine": "ü" })]);
        }
        let ran = runner.run(order.to_string(), Attributes::new(), 1).await;
        if let Err(got) = fits(&ran, &want) {
            wrong.push(format!("{case}: {got}"));
        }
    }
    for (body, part) in BODIES {
        let ran = runner.run(body, Attributes::new(), 1).await;
        let (class, reason) = (ran.report.exit.class(), ran.report.exit.reason());
        if class != "reject" || !reason.starts_with("body: ") || !reason.contains(part) {
            wrong.push(format!("{}: {class}: {reason}", String::from_utf8_lossy(body)));
        }
    }
    assert!(wrong.is_empty(), "{language}:\n{}", wrong.join("\n"));
    check_calls(&runner, &sink).await;
    check_delays(&runner).await;
    check_outbox(&runner).await;
}

fn fits(ran: &Ran, want: &Want) -> Result<(), String> {
    let (class, reason) = (ran.report.exit.class(), ran.report.exit.reason());
    let good = match want {
        Done => ran.report.exit == Exit::Done { result: None },
        Gives(value) => ran.result.as_ref() == Some(value),
        Class(wanted, parts) => class == *wanted && parts.iter().all(|part| reason.contains(part)),
    };
    if good { Ok(()) } else { Err(format!("{class}: {reason}: {:?}", ran.result)) }
}

/// Steps, keys and headers, as the other side sees them; and what a handler knows of its delivery.
async fn check_calls(runner: &Runner, sink: &Sink) {
    sink.answers("pay", [json!({ "id": "ch_1" }), json!({ "id": "ch_2" })]);
    let order = json!({ "do": "once", "name": "charge", "url": sink.url("pay") });
    let ran = runner.run(order.to_string(), Attributes::new(), 2).await;
    assert_eq!(ran.result, Some(json!({ "id": "ch_1" })), "the second attempt has the first one's value");
    let calls = sink.calls("pay");
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].headers["idempotency-key"], format!("{}:charge", ran.key.to_hex()));
    assert_eq!(calls[0].headers["content-type"], "application/json");

    // What a float cannot hold stays as it was sent, and so does the order of keys.
    let body = r#"{"do":"echo-body","n":12345678901234567890123,"b":1.10,"a":"\u00fc"}"#;
    let ran = runner.run(body, Attributes::new(), 1).await;
    assert_eq!(ran.result, Some(json!({ "text": body })));

    let ran = runner.run(json!({ "do": "delivery" }).to_string(), Attributes::new(), 2).await;
    let name = &runner.plugin.manifest.name;
    let expect = json!({ "attempt": 2, "key": ran.key.to_hex(), "sent_at_ms": SENT_AT.0, "timely": true, "id": "id-1", "kind": name });
    assert_eq!(ran.result, Some(expect));

    let number =
        AttributeValue { data_type: "Number.int".into(), value: AttributeData::Text("12345678901234567890".into()) };
    let binary = AttributeValue { data_type: "Binary".into(), value: AttributeData::Binary(vec![0, 255].into()) };
    let attributes = [("text", AttributeValue::string("ü")), ("number", number), ("binary", binary)];
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let ran = runner.run(json!({ "do": "attributes" }).to_string(), attributes, 1).await;
    assert_eq!(ran.result, Some(json!({ "text": "ü", "number": "12345678901234567890", "binary": [0, 255] })));
}

/// Delays that a handler names.
async fn check_delays(runner: &Runner) {
    let run = async |order: Value| runner.run(order.to_string(), Attributes::new(), 1).await.report.exit;
    let ms = Duration::from_millis;
    let exit = run(json!({ "do": "snooze", "ms": 1_500 })).await;
    assert_eq!(exit, Exit::Snooze { delay: ms(1_500) });
    let exit = run(json!({ "do": "retry", "reason": "r", "after_ms": 2_500 })).await;
    assert_eq!(exit, Exit::Retry { reason: "r".into(), after: Some(ms(2_500)) });
    let exit = run(json!({ "do": "unavailable", "dependency": "d", "reason": "r", "after_ms": 3_500 })).await;
    assert_eq!(exit, Exit::Unavailable { dependency: "d".into(), reason: "r".into(), after: Some(ms(3_500)) });
    // A year, in milliseconds, is more than 32 bits have.
    let year_ms = 365 * 24 * 3_600 * 1_000;
    assert_eq!(run(json!({ "do": "snooze", "ms": year_ms })).await, Exit::Snooze { delay: ms(year_ms) });
}

/// What is sent, and as what.
async fn check_outbox(runner: &Runner) {
    let order = json!({
        "do": "send", "queue": "self", "kind": "receipt", "body": { "ü": [1] }, "delay_ms": 1_500, "group": "g",
        "attributes": { "text": "v", "number": 7 },
    });
    let ran = runner.run(order.to_string(), Attributes::new(), 1).await;
    assert_eq!(ran.report.exit, Exit::Done { result: None });
    let [sent] = ran.report.outbox.as_slice() else { panic!("{:?}", ran.report.outbox) };
    assert_eq!(
        (sent.queue.as_str(), sent.kind.as_str(), sent.delay_s, sent.group.as_deref()),
        ("", "receipt", 2, Some("g"))
    );
    assert_eq!(serde_json::from_slice::<Value>(&sent.body).unwrap(), json!({ "ü": [1] }));
    let attribute = |name: &str| sent.attributes.get(name).map(|value| (value.data_type.as_str(), value.value.clone()));
    assert_eq!(attribute("text"), Some(("String", AttributeData::Text("v".into()))));
    assert_eq!(attribute("number"), Some(("Number", AttributeData::Text("7".into()))));

    let order = json!({ "do": "group", "name": "g", "members": [1, 2], "follow": 3 });
    let ran = runner.run(order.to_string(), Attributes::new(), 1).await;
    let parts: Vec<_> = ran.report.outbox.iter().map(|sent| (sent.kind.as_str(), json!(sent.part))).collect();
    let group = format!("{}/g", runner.plugin.manifest.name);
    let member = json!({ "group": group, "role": "member" });
    assert_eq!(
        parts,
        [
            ("member", member.clone()),
            ("member", member),
            ("follow", json!({ "group": group, "role": { "then": "cancel" } }))
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_in_rust_conforms() {
    check_language("rust").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_in_typescript_conforms() {
    check_language("typescript").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_in_python_conforms() {
    check_language("python").await;
}
