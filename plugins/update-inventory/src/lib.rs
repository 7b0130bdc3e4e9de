//! Takes an order's items out of stock in three systems.

use serde::{Deserialize, Serialize};
use wasq_sdk::{Context, Failure, tracing};

/// The systems that count stock: each is a step of its own, and has its address in the variable
/// `{name}_api`.
const SYSTEMS: [&str; 3] = ["warehouse", "storefront", "marketplace"];

/// What each system is told: the order's own fields, less those that it has no business with.
#[derive(Debug, Deserialize, Serialize)]
pub struct Reservation {
    order_id: String,
    items: Vec<Item>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Item {
    sku: String,
    quantity: u32,
}

/// Reserves the items in one system after the other. When one fails, the next attempt begins with
/// that one.
#[wasq_sdk::handler]
pub fn order_completed(order: Reservation, cx: &Context) -> Result<(), Failure> {
    for system in SYSTEMS {
        cx.once(system, || reserve(system, &order, cx))?;
    }
    tracing::info!(order_id = order.order_id, "items reserved");
    Ok(())
}

fn reserve(system: &str, order: &Reservation, cx: &Context) -> Result<(), Failure> {
    let api = cx.variable(&format!("{system}_api"))?;
    cx.http().post(api).idempotency_key_for(system).json(order).send()?.error_for_status()?;
    Ok(())
}
