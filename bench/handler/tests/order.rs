//! The handler as the function that it is.

use bench_handler::order;
use serde_json::{from_value, json};
use wasq_sdk::Context;

#[test]
fn an_order_is_read_and_logged() {
    let read = from_value(json!({
        "order_id": "o-7",
        "items": [{ "quantity": 2, "cents": 1_299 }, { "quantity": 1, "cents": 1 }],
        "note": "",
    }));
    let cx = Context::test().build();
    assert_eq!(order(read.unwrap(), &cx), Ok(()));
    let logged = format!("{:?}", cx.recorded().log());
    assert!(logged.contains("o-7") && logged.contains("2599"), "{logged}");
}
