//! What the mail service sees of an order, and what becomes of its answers.

use std::time::Duration;

use send_receipt::order_completed;
use serde_json::{Value, json};
use wasq_sdk::test::{self, Reply};
use wasq_sdk::{Context, Failure, Outcome};

const MAIL_API: &str = "https://api.mail.example/messages";

fn order() -> Value {
    json!({
        "order_id": "A-1001",
        "customer": {"email": "ada@example.com", "name": "Ada"},
        "items": [
            {"sku": "MUG-BLUE", "quantity": 2, "unit_price_cents": 1299},
            {"sku": "CAP", "quantity": 1, "unit_price_cents": 905},
        ],
        "total_cents": 3503,
        "currency": "EUR",
        "placed_at": "2026-01-02T03:04:05Z",
    })
}

fn context(body: &Value, reply: Reply) -> Context {
    let manifest = include_str!("../plugin.toml");
    Context::test().manifest(manifest).key("k1").json(body).reply("POST", MAIL_API, reply).build()
}

#[test]
fn an_order_is_one_mail_with_the_messages_key() {
    let cx = context(&order(), Reply::status(202));

    assert_eq!(test::run(order_completed, &cx), Ok(Outcome::done()));

    let requests = cx.recorded().requests();
    let [request] = &*requests else { panic!("not one request: {requests:?}") };
    assert_eq!(request.header("Idempotency-Key"), Some("k1"));
    let text = "Hello Ada,\n\
                \n\
                thank you for your order A-1001.\n\
                \n\
                2 x MUG-BLUE                         25.98 EUR\n\
                1 x CAP                               9.05 EUR\n\
                Total                                35.03 EUR\n";
    assert_eq!(
        request.json::<Value>(),
        json!({"to": "ada@example.com", "from": "shop@example.com", "subject": "Your order A-1001", "text": text})
    );
}

#[test]
fn the_mail_services_answer_decides() {
    fn check(reply: Reply, expect: Failure) {
        assert_eq!(test::run(order_completed, &context(&order(), reply)), Err(expect));
    }
    let reason = |fault: &str| format!("POST {MAIL_API}: {fault}");
    let host = "api.mail.example";
    check(Reply::status(422), Failure::reject("the mail service refuses this mail (422)"));
    check(Reply::status(500), Failure::retry(reason("answered 500")));
    check(
        Reply::status(503).header("Retry-After", "30"),
        Failure::unavailable(host, reason("answered 503")).after(Duration::from_secs(30)),
    );
    check(Reply::refused(), Failure::unavailable(host, reason("no connection: refused")));
}

#[test]
fn an_order_without_an_address_is_rejected_by_its_path() {
    let mut body = order();
    body["customer"]["email"] = json!(null);
    let failure = test::run(order_completed, &context(&body, Reply::status(202))).unwrap_err();
    assert!(matches!(failure, Failure::Reject { .. }), "{failure:?}");
    assert!(failure.reason().contains("field `customer.email`: invalid type: null"), "{failure:?}");
}
