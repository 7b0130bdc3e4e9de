//! Which event becomes of which message.

use serde_json::{Value, json};
use track_analytics::track;
use wasq_sdk::test::{self, Reply};
use wasq_sdk::{Context, Failure, Outcome};

fn context(kind: &str, body: &Value) -> Context {
    Context::test()
        .manifest(include_str!("../plugin.toml"))
        .key("k1")
        .kind(kind)
        .json(body)
        .reply("POST", "https://analytics.example/events", Reply::status(202))
        .build()
}

#[track_caller]
fn check(kind: &str, body: Value, expect: Value) {
    let cx = context(kind, &body);
    assert_eq!(test::run(track, &cx), Ok(Outcome::done()));
    assert_eq!(cx.recorded().requests()[0].json::<Value>(), expect);
}

#[test]
fn an_order_is_an_event_without_the_customer() {
    check(
        "order_completed",
        json!({
            "order_id": "A-1001",
            "customer": {"email": "ada@example.com", "name": "Ada"},
            "items": [{"sku": "MUG-BLUE", "quantity": 2, "unit_price_cents": 1299}, {"sku": "CAP", "quantity": 1}],
            "total_cents": 3503,
            "currency": "EUR",
            "placed_at": "2026-01-02T03:04:05Z",
        }),
        json!({
            "id": "k1",
            "event": "order_completed",
            "at": "2026-01-02T03:04:05Z",
            "properties": {"total_cents": 3503, "currency": "EUR", "items": 3},
        }),
    );
}

#[test]
fn a_page_view_is_an_event() {
    check(
        "page_viewed",
        json!({"path": "/mugs", "viewed_at": "2026-01-02T03:04:05Z"}),
        json!({
            "id": "k1",
            "event": "page_viewed",
            "at": "2026-01-02T03:04:05Z",
            "properties": {"path": "/mugs", "referrer": null},
        }),
    );
}

#[test]
fn other_types_are_rejected() {
    let cx = context("order_cancelled", &json!({}));
    let expect = Failure::reject("there is no event for messages of type `order_cancelled`");
    assert_eq!(test::run(track, &cx), Err(expect));
}
