//! Three systems, each told once.

use serde_json::{Value, json};
use update_inventory::order_completed;
use wasq_sdk::test::{self, Builder, Reply};
use wasq_sdk::{Context, Failure, Outcome};

const WAREHOUSE: &str = "https://warehouse.example/reservations";
const STOREFRONT: &str = "https://storefront.example/reservations";
const MARKETPLACE: &str = "https://marketplace.example/reservations";

fn context() -> Builder {
    Context::test().manifest(include_str!("../plugin.toml")).key("k1").json(&json!({
        "order_id": "A-1001",
        "customer": {"email": "ada@example.com", "name": "Ada"},
        "items": [{"sku": "MUG-BLUE", "quantity": 2, "unit_price_cents": 1299}],
        "total_cents": 2598,
    }))
}

fn urls(cx: &Context) -> Vec<String> {
    cx.recorded().requests().into_iter().map(|request| request.url).collect()
}

#[test]
fn each_system_is_told_under_a_key_of_its_own() {
    let cx = context()
        .reply("POST", WAREHOUSE, Reply::status(201))
        .reply("POST", STOREFRONT, Reply::status(200))
        .reply("POST", MARKETPLACE, Reply::status(204))
        .build();

    assert_eq!(test::run(order_completed, &cx), Ok(Outcome::done()));

    assert_eq!(urls(&cx), [WAREHOUSE, STOREFRONT, MARKETPLACE]);
    let requests = cx.recorded().requests();
    let keys: Vec<_> = requests.iter().map(|request| request.header("Idempotency-Key")).collect();
    assert_eq!(keys, [Some("k1:warehouse"), Some("k1:storefront"), Some("k1:marketplace")]);
    for request in requests {
        let expect = json!({"order_id": "A-1001", "items": [{"sku": "MUG-BLUE", "quantity": 2}]});
        assert_eq!(request.json::<Value>(), expect);
    }
}

#[test]
fn the_next_attempt_begins_with_the_system_that_failed() {
    let cx = context()
        .reply("POST", WAREHOUSE, Reply::status(201))
        .reply("POST", STOREFRONT, Reply::status(500))
        .reply("POST", STOREFRONT, Reply::status(201))
        .reply("POST", MARKETPLACE, Reply::status(201))
        .build();

    let reason = format!("step `storefront`: POST {STOREFRONT}: answered 500");
    assert_eq!(test::run(order_completed, &cx), Err(Failure::retry(reason)));
    assert_eq!(cx.recorded().steps(), ["warehouse"]);

    assert_eq!(test::run(order_completed, &cx), Ok(Outcome::done()));
    assert_eq!(urls(&cx), [WAREHOUSE, STOREFRONT, STOREFRONT, MARKETPLACE]);
    assert_eq!(cx.recorded().steps(), ["marketplace", "storefront", "warehouse"]);
}

#[test]
fn what_earlier_attempts_finished_is_not_done_again() {
    let cx =
        context().step("warehouse", &()).step("storefront", &()).reply("POST", MARKETPLACE, Reply::refused()).build();

    let reason = format!("step `marketplace`: POST {MARKETPLACE}: no connection: refused");
    assert_eq!(test::run(order_completed, &cx), Err(Failure::unavailable("marketplace.example", reason)));
    assert_eq!(urls(&cx), [MARKETPLACE]);
}
