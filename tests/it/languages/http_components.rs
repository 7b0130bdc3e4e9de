//! Components that know nothing of wasq, of two toolchains: each message is a request.

use std::time::Duration;

use serde_json::{Value, json};
use wasq::exit::Exit;
use wasq_core::message::{AttributeData, AttributeValue, Attributes};

use super::components::from_javascript;
use super::runner::{Runner, SENT_AT};
use crate::support::Sink;

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_answers_requests_is_a_handler() {
    let sink = Sink::start().await;
    let component = std::fs::read(wasq_tests::guest("http")).unwrap();
    let runner = Runner::new("http-rust", &component, &sink, "");
    let binary = AttributeValue { data_type: "Binary".into(), value: AttributeData::Binary(vec![0, 255].into()) };
    let attributes = [("tenant", AttributeValue::string("ü\n%")), ("binary", binary)];
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let body = json!({ "n": 1, "headers": { "content-type": "application/json; charset=utf-8" } });
    let ran = runner.run(body.to_string(), attributes, 2).await;
    let echo = ran.result.expect("an answer of JSON is the result");
    assert_eq!((&echo["path"], &echo["body"]), (&json!("/http-rust"), &body));
    let headers = [
        ("content-type", json!("application/json")),
        ("idempotency-key", json!(ran.key.to_hex())),
        ("wasq-attempt", json!("2")),
        ("wasq-message-id", json!("id-1")),
        ("wasq-sent-at-ms", json!(SENT_AT.0.to_string())),
        ("wasq-type", json!("http-rust")),
        ("wasq-attribute-tenant", json!("%C3%BC%0A%25")),
        ("wasq-attribute-binary", json!("AP8=")),
    ];
    for (name, value) in headers {
        assert_eq!(echo["headers"][name], value, "{name}: {echo}");
    }
    check_statuses(&runner).await;
    let exit = async |order: Value| runner.run(order.to_string(), Attributes::new(), 1).await.report.exit;
    // Text is no result, however long it is.
    assert_eq!(exit(json!({ "bytes": 3_000_000 })).await, Exit::Done { result: None });
    let long = exit(json!({ "bytes": 5_000, "headers": { "content-type": "application/json" } })).await;
    assert!(matches!(&long, Exit::Retry { reason, .. } if reason.contains("limits.result_bytes")), "{long:?}");
    let silent = exit(json!({ "status": 0 })).await;
    assert!(
        matches!(&silent, Exit::Retry { reason, .. } | Exit::Trap { reason } if reason.contains("answer") || reason.contains("unreachable")),
        "{silent:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_a_javascript_toolchain_is_a_handler_too() {
    let sink = Sink::start().await;
    let runner = Runner::new("http-js", &from_javascript("fetch-event"), &sink, "");
    let ran = runner.run(json!({ "n": 1 }).to_string(), Attributes::new(), 1).await;
    assert_eq!(
        ran.result,
        Some(json!({ "path": "/http-js", "attempt": "1", "body": { "n": 1 } })),
        "{:?}",
        ran.report.exit
    );
    check_statuses(&runner).await;
}

async fn check_statuses(runner: &Runner) {
    for (status, class) in [
        (200, "done"),
        (204, "done"),
        (400, "retry"),
        (404, "retry"),
        (422, "reject"),
        (429, "unavailable"),
        (500, "retry"),
        (503, "unavailable"),
    ] {
        let order = json!({ "status": status, "headers": { "retry-after": "7" } });
        // 204 has no body.
        let order = if status == 204 { json!({ "status": 204, "bytes": 0 }) } else { order };
        let exit = runner.run(order.to_string(), Attributes::new(), 1).await.report.exit;
        assert_eq!(exit.class(), class, "{status}: {exit:?}");
        if let Exit::Unavailable { dependency, after, .. } = &exit {
            assert_eq!(
                (dependency.as_str(), *after),
                (runner.plugin.manifest.name.as_str(), Some(Duration::from_secs(7)))
            );
        }
        if class == "retry" || class == "reject" {
            assert!(exit.reason().starts_with(&format!("answered {status}")), "{}", exit.reason());
        }
    }
}
