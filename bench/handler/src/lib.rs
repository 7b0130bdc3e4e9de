//! What `wasq-bench` has a handler do: read an order and log one line. Its native twin is in
//! `bench/src/workload.rs`.

use std::time::Duration;

use serde::Deserialize;
use wasq_sdk::{Context, Failure, tracing};

/// What a shop sells at once.
#[derive(Deserialize)]
pub struct Order {
    order_id: String,
    items: Vec<Item>,
    #[serde(default)]
    sleep_ms: u64,
}

#[derive(Deserialize)]
struct Item {
    quantity: u64,
    cents: u64,
}

/// Logs what an order comes to.
#[wasq_sdk::handler]
pub fn order(order: Order, _cx: &Context) -> Result<(), Failure> {
    if order.sleep_ms > 0 {
        std::thread::sleep(Duration::from_millis(order.sleep_ms));
    }
    let total_cents: u64 = order.items.iter().map(|item| item.quantity.saturating_mul(item.cents)).sum();
    tracing::info!(order.order_id, total_cents, "order");
    Ok(())
}
