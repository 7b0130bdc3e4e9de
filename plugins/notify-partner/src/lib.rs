//! Tells a partner of an order, in a webhook that the partner can check.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use wasq_sdk::{Context, Failure, tracing};

/// What the partner is told: the order's own fields, less the customer.
#[derive(Debug, Deserialize, Serialize)]
pub struct Order {
    order_id: String,
    items: Vec<Item>,
    total_cents: u64,
    currency: String,
    placed_at: String,
}

#[derive(Debug, Deserialize, Serialize)]
struct Item {
    sku: String,
    quantity: u32,
    unit_price_cents: u64,
}

#[derive(Serialize)]
struct Webhook<'a> {
    event: &'a str,
    #[serde(flatten)]
    order: &'a Order,
}

/// Posts one signed webhook. While the partner answers 503, nothing counts against the order.
#[wasq_sdk::handler]
pub fn order_completed(order: Order, cx: &Context) -> Result<(), Failure> {
    let secret = cx.variable("partner_secret")?;
    if secret.is_empty() {
        return Err(Failure::retry("variable `partner_secret` is empty: set it to the secret agreed with the partner"));
    }
    // The signature is of these very bytes, so they are made once.
    let body = serde_json::to_vec(&Webhook { event: "order_completed", order: &order })?;
    let response = cx
        .http()
        .post(cx.variable("partner_webhook")?)
        .header("Content-Type", "application/json")
        .header("X-Signature", format!("sha256={}", signature(&secret, &body)?))
        .idempotency_key()
        .body(body)
        .send()?
        .error_for_status()?;
    tracing::info!(order_id = order.order_id, status = response.status(), "partner notified");
    Ok(())
}

/// HMAC-SHA256 (RFC 2104) of the body, in hexadecimal.
fn signature(secret: &str, body: &[u8]) -> Result<String, Failure> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
    mac.update(body);
    Ok(mac.finalize().into_bytes().iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes any text");
        hex
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second test case of RFC 4231.
    #[test]
    fn the_signature_is_the_standards() {
        let expect = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature("Jefe", b"what do ya want for nothing?").as_deref(), Ok(expect));
    }
}
