//! The webhook that the partner gets, and what becomes of its answers.

use std::time::Duration;

use notify_partner::order_completed;
use serde_json::{Value, json};
use wasq_sdk::test::{self, Reply};
use wasq_sdk::{Context, Failure, Outcome};

const WEBHOOK: &str = "https://partner.example/webhooks/orders";

fn context(secret: &str, reply: Reply) -> Context {
    Context::test()
        .manifest(include_str!("../plugin.toml"))
        .variable("partner_secret", secret)
        .key("k1")
        .json(&json!({
            "order_id": "A-1001",
            "customer": {"email": "ada@example.com", "name": "Ada"},
            "items": [{"sku": "MUG-BLUE", "quantity": 2, "unit_price_cents": 1299}],
            "total_cents": 2598,
            "currency": "EUR",
            "placed_at": "2026-01-02T03:04:05Z",
        }))
        .reply("POST", WEBHOOK, reply)
        .build()
}

#[test]
fn the_webhook_is_signed_and_names_no_customer() {
    let cx = context("s3cret", Reply::status(200));

    assert_eq!(test::run(order_completed, &cx), Ok(Outcome::done()));

    let request = &cx.recorded().requests()[0];
    assert_eq!(
        request.json::<Value>(),
        json!({
            "event": "order_completed",
            "order_id": "A-1001",
            "items": [{"sku": "MUG-BLUE", "quantity": 2, "unit_price_cents": 1299}],
            "total_cents": 2598,
            "currency": "EUR",
            "placed_at": "2026-01-02T03:04:05Z",
        })
    );
    // From `openssl dgst -sha256 -hmac s3cret` over the body.
    let expect = "sha256=04b20f484c4310f7068e80b9ac2524cd1ca06322f3279f9761960a40fd288221";
    assert_eq!(request.header("X-Signature"), Some(expect));
    assert_eq!(request.header("Idempotency-Key"), Some("k1"));
}

#[test]
fn a_partner_that_is_down_is_unavailable() {
    let cx = context("s3cret", Reply::status(503).header("Retry-After", "120"));
    let expect = Failure::unavailable("partner.example", format!("POST {WEBHOOK}: answered 503"));
    assert_eq!(test::run(order_completed, &cx), Err(expect.after(Duration::from_secs(120))));
}

#[test]
fn nothing_is_signed_with_an_empty_secret() {
    let cx = context("", Reply::status(200));
    let failure = test::run(order_completed, &cx).unwrap_err();
    assert!(failure.reason().contains("`partner_secret` is empty"), "{failure:?}");
    assert_eq!(cx.recorded().requests(), []);
}
