//! The same checkout done inline, for comparison: what a customer waits for when the request itself
//! makes every call.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use serde_json::json;
use wasq_core::clock;

use super::client::Client;
use super::orders::Order;
use super::table::Percentiles;

/// The size of the receipt that is stored, in bytes: about that of the PDFs that the plugin
/// make-receipt writes for the demo's orders.
pub const RECEIPT_BYTES: usize = 2_000;

/// Does each of these orders' checkouts inline, one order after the other, and gives how long they
/// took. The server at `sink_url` should be a sink of its own, so that these calls are not taken
/// for the plugins'.
///
/// # Errors
///
/// When a call fails: inline there is nobody to try again. When there is no order.
pub async fn sample(sink_url: &str, orders: &[Order]) -> anyhow::Result<Percentiles> {
    let client = Client::new(sink_url);
    let mut took = Vec::with_capacity(orders.len());
    for order in orders {
        took.push(checkout(&client, order).await?);
    }
    Percentiles::of(took).context("the inline checkout needs at least one order")
}

/// Makes the calls that the plugins make for an order, one after the other, as a request handler
/// would.
async fn checkout(client: &Client, order: &Order) -> anyhow::Result<Duration> {
    let started = clock::now();
    let id = &order.order_id;
    let mail = json!({
        "to": order.customer.email, "from": "shop@example.com", "subject": format!("Your order {id}"),
        "text": format!("Hello {},\n\nthank you for your order {id}.\n", order.customer.name),
    });
    post(client, "/mail/messages", &format!("receipt:{id}"), mail).await?;
    let path = format!("/storage/receipts/{id}.pdf");
    let answer = client.send("PUT", &path, "application/pdf", &format!("pdf:{id}"), receipt()).await?;
    ensure_done(&path, answer.0)?;
    for system in ["warehouse", "storefront", "marketplace"] {
        let reservation = json!({"order_id": id, "items": order.items});
        post(client, &format!("/inventory/{system}/reservations"), &format!("{system}:{id}"), reservation).await?;
    }
    let webhook = json!({
        "event": "order_completed", "order_id": id, "items": order.items, "total_cents": order.total_cents,
        "currency": order.currency, "placed_at": order.placed_at,
    });
    post(client, "/partner/webhooks/orders", &format!("partner:{id}"), webhook).await?;
    let event = json!({
        "id": order.placed_at, "event": "order_completed", "at": order.placed_at,
        "properties": {"total_cents": order.total_cents, "currency": order.currency, "items": order.items.len()},
    });
    post(client, "/analytics/events", &format!("event:{id}"), event).await?;
    audit(client, order).await?;
    Ok(clock::now() - started)
}

/// Reads the head of the audit log and appends to it. Nobody else writes to this one.
async fn audit(client: &Client, order: &Order) -> anyhow::Result<()> {
    let (status, head) = client.get("/audit/head").await?;
    anyhow::ensure!(status == 200, "GET /audit/head answered {status}");
    let head: serde_json::Value = serde_json::from_slice(&head).context("read the audit log's head")?;
    let sequence = head["sequence"].as_u64().context("the audit log's head has no sequence")?;
    let previous = head["hash"].as_str().context("the audit log's head has no hash")?;
    let entry = json!({
        "currency": order.currency, "items": order.items, "order_id": order.order_id, "placed_at": order.placed_at,
        "total_cents": order.total_cents,
    });
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous.as_bytes()).update(entry.to_string().as_bytes());
    let hash = hasher.finalize().to_string();
    let append = json!({"sequence": sequence + 1, "previous": previous, "entry": entry, "hash": hash});
    post(client, "/audit/entries", &format!("audit:{}", order.order_id), append).await
}

async fn post(client: &Client, path: &str, key: &str, body: serde_json::Value) -> anyhow::Result<()> {
    let (status, _) = client.post(path, key, body.to_string()).await?;
    ensure_done(path, status)
}

fn ensure_done(path: &str, status: u16) -> anyhow::Result<()> {
    anyhow::ensure!(status == 201, "{path} answered {status}");
    Ok(())
}

/// As many bytes as a receipt has. Rendering takes under a millisecond, so leaving it out favours
/// the inline checkout by next to nothing.
fn receipt() -> Bytes {
    let mut bytes = b"%PDF-1.7\n".to_vec();
    bytes.resize(RECEIPT_BYTES, b' ');
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::super::expected::Expected;
    use super::super::orders::Demand;
    use super::super::sink::Sink;
    use super::*;

    #[tokio::test]
    async fn an_inline_checkout_has_the_same_effects_as_the_plugins() {
        let sink = Sink::start().await.expect("a sink");
        let demand = Demand::new(5, 5, 0, 0, &sink.url()).expect("a demand");
        let percentiles = sample(&sink.url(), &demand.orders).await.expect("every call is answered");
        assert!(percentiles.p50 <= percentiles.p99 && !percentiles.p50.is_zero());
        assert_eq!(Expected::of(&demand, false).check(&sink.effects()), Ok(()));
        assert_eq!(sink.verify_audit(), Ok(5));
    }

    #[tokio::test]
    async fn one_service_that_is_down_fails_the_inline_checkout() {
        let sink = Sink::start().await.expect("a sink");
        sink.fail("/partner", 503, None, None);
        let demand = Demand::new(5, 1, 0, 0, &sink.url()).expect("a demand");
        let error = sample(&sink.url(), &demand.orders).await.expect_err("nobody tries again");
        assert_eq!(error.to_string(), "/partner/webhooks/orders answered 503");
    }
}
