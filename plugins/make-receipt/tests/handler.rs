//! The handler against a played host.

use make_receipt::make_receipt;
use serde_json::{Value, json};
use wasq_sdk::test::{self, Reply};
use wasq_sdk::{Context, Failure, Outcome};

const URL: &str = "https://storage.example/receipts/A-1001.pdf";

#[test]
fn the_receipt_is_stored_under_the_orders_id_with_the_messages_key() {
    let cx = context(&order(), Reply::status(201));
    assert_eq!(test::run(make_receipt, &cx), Ok(Outcome::done()));
    let [put] = &cx.recorded().requests()[..] else { panic!("one request, not {:?}", cx.recorded().requests()) };
    assert_eq!((put.method.as_str(), put.url.as_str()), ("PUT", URL));
    assert_eq!(put.header("content-type"), Some("application/pdf"));
    assert_eq!(put.header("idempotency-key"), Some(cx.idempotency_key()));
    assert!(put.body.starts_with(b"%PDF-"));
}

#[test]
fn an_order_that_does_not_fit_is_rejected_and_nothing_is_stored() {
    for (field, value, expect) in [
        ("total_cents", json!("25.98"), "field `total_cents`: invalid type: string"),
        ("items", Value::Null, "field `items`: invalid type: null"),
        ("items", json!([]), "has 0 items"),
        ("order_id", json!("../A-1001"), "order_id must be"),
    ] {
        let mut body = order();
        body[field] = value;
        let cx = context(&body, Reply::status(201));
        match test::run(make_receipt, &cx) {
            Err(Failure::Reject { reason }) => assert!(reason.contains(expect), "{reason}"),
            other => panic!("{field}: {other:?}"),
        }
        assert!(cx.recorded().requests().is_empty());
    }
}

#[test]
fn a_storage_that_is_down_is_told_from_one_that_errs() {
    let failed = |status| test::run(make_receipt, &context(&order(), Reply::status(status))).expect_err("a failure");
    assert!(matches!(failed(503), Failure::Unavailable { dependency, .. } if dependency == "storage.example"));
    assert!(matches!(failed(500), Failure::Retry { .. }));
}

fn context(body: &Value, reply: Reply) -> Context {
    Context::test().json(body).manifest(include_str!("../plugin.toml")).reply("PUT", URL, reply).build()
}

fn order() -> Value {
    json!({
        "order_id": "A-1001", "customer": {"email": "zoe@example.com", "name": "Zoë Müller"},
        "items": [{"sku": "blue-mug", "quantity": 2, "unit_price_cents": 1299}],
        "total_cents": 2598, "currency": "EUR", "placed_at": "2026-01-02T03:04:05Z",
    })
}
