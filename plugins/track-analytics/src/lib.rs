//! Reports what happens in the shop to the analytics service, without saying who did it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wasq_sdk::{Context, Failure};

#[derive(Deserialize)]
struct OrderCompleted {
    items: Vec<Item>,
    total_cents: u64,
    currency: String,
    placed_at: String,
}

#[derive(Deserialize)]
struct Item {
    quantity: u64,
}

#[derive(Deserialize)]
struct PageViewed {
    path: String,
    #[serde(default)]
    referrer: Option<String>,
    viewed_at: String,
}

#[derive(Serialize)]
struct Event<'a> {
    /// The service counts an id once.
    id: &'a str,
    event: &'a str,
    at: String,
    properties: Value,
}

/// Sends one event, made from a message of either type.
#[wasq_sdk::handler]
pub fn track(cx: &Context) -> Result<(), Failure> {
    let message = cx.message();
    let (at, properties) = match message.kind() {
        "order_completed" => of_order(message.json()?),
        "page_viewed" => of_page(message.json()?),
        other => return Err(Failure::reject(format!("there is no event for messages of type `{other}`"))),
    };
    let event = Event { id: cx.idempotency_key(), event: message.kind(), at, properties };
    cx.http().post(cx.variable("analytics_api")?).idempotency_key().json(&event).send()?.error_for_status()?;
    Ok(())
}

fn of_order(order: OrderCompleted) -> (String, Value) {
    let quantity = order.items.iter().fold(0, |sum: u64, item| sum.saturating_add(item.quantity));
    (order.placed_at, json!({"total_cents": order.total_cents, "currency": order.currency, "items": quantity}))
}

fn of_page(page: PageViewed) -> (String, Value) {
    (page.viewed_at, json!({"path": page.path, "referrer": page.referrer}))
}
