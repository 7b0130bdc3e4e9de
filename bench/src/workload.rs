//! The messages that are sent, and what is done with each: the native twin of the handler in
//! `bench/handler`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use wasq::exit::Exit;
use wasq::flow::decode::{KEY_ATTRIBUTE, TYPE_ATTRIBUTE};
use wasq::sandbox::Job;
use wasq_core::message::AttributeValue;
use wasq_queues::Outgoing;

/// An order of this many bytes has room for several items.
const SEVERAL_ITEMS_BYTES: usize = 200;

/// What is sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Workload {
    /// The size of a body, at least.
    pub bytes: usize,
    /// How long its handler sleeps.
    pub sleep_ms: u64,
    /// The messages take turns with these types.
    pub types: Vec<String>,
    /// Of a hundred messages so many are done already: the same in key and body as one of the
    /// warm-up.
    pub duplicates: u32,
    /// In place of orders.
    pub body: Option<String>,
}

impl Workload {
    /// The message of this number in the warm-up.
    pub fn warm_up(&self, number: u64) -> Outgoing {
        self.message(number)
    }

    /// The message of this number after a warm-up of `warm_up` messages.
    pub fn main(&self, number: u64, warm_up: u64) -> Outgoing {
        let percent = u64::from(self.duplicates);
        let is_duplicate = warm_up > 0 && (number + 1) * percent / 100 > number * percent / 100;
        self.message(if is_duplicate { number % warm_up } else { warm_up + number })
    }

    fn message(&self, number: u64) -> Outgoing {
        let kind = &self.types[(number % self.types.len() as u64) as usize];
        let mut attributes: wasq_core::message::Attributes =
            [(TYPE_ATTRIBUTE.to_owned(), AttributeValue::string(kind))].into();
        if self.duplicates > 0 {
            attributes.insert(KEY_ATTRIBUTE.into(), AttributeValue::string(format!("order-{number}")));
        }
        let body = self.body.clone().unwrap_or_else(|| self.order(number));
        Outgoing { body: body.into(), attributes, delay_s: 0, group: None, deduplication_id: None }
    }

    fn order(&self, number: u64) -> String {
        let items = if self.bytes < SEVERAL_ITEMS_BYTES { 1 } else { 3 };
        let items: Vec<_> = (0..items).map(|item| json!({ "quantity": item + 1, "cents": 1_299 })).collect();
        let mut order = json!({ "order_id": format!("o-{number:08}"), "items": items, "note": "" });
        if self.sleep_ms > 0 {
            order["sleep_ms"] = self.sleep_ms.into();
        }
        let missing = self.bytes.saturating_sub(order.to_string().len());
        order["note"] = "x".repeat(missing).into();
        order.to_string()
    }
}

#[derive(Deserialize)]
struct Order {
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

impl Order {
    fn log(&self, message_id: &str) {
        let total_cents: u64 = self.items.iter().map(|item| item.quantity.saturating_mul(item.cents)).sum();
        tracing::info!(target: "guest", message_id, self.order_id, total_cents, "order");
    }
}

/// Does what the handler does, in a consumer of its own.
///
/// # Errors
/// When the body is no order.
pub async fn handle(body: &str, message_id: &str) -> serde_json::Result<()> {
    let order: Order = serde_json::from_str(body)?;
    if order.sleep_ms > 0 {
        tokio::time::sleep(Duration::from_millis(order.sleep_ms)).await;
    }
    order.log(message_id);
    Ok(())
}

/// Does what the handler does, in the host and in its place.
pub fn handle_job(job: &Job) -> Exit {
    match serde_json::from_slice::<Order>(&job.message.body) {
        Ok(order) => order.log(&job.message_id.0),
        Err(error) => return Exit::Reject { reason: error.to_string() },
    }
    Exit::Done { result: None }
}

#[cfg(test)]
mod tests;
