//! Mails a customer the receipt for an order.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use wasq_sdk::{Context, Failure, tracing};

/// An order that was paid for.
#[derive(Debug, Deserialize)]
pub struct OrderCompleted {
    order_id: String,
    customer: Customer,
    items: Vec<Item>,
    total_cents: u64,
    currency: String,
}

#[derive(Debug, Deserialize)]
struct Customer {
    email: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Item {
    sku: String,
    quantity: u32,
    unit_price_cents: u64,
}

#[derive(Serialize)]
struct Mail<'a> {
    to: &'a str,
    from: &'a str,
    subject: String,
    text: String,
}

/// Sends one mail. The mail service keeps the key, so a repeated attempt sends no second one.
#[wasq_sdk::handler]
pub fn order_completed(order: OrderCompleted, cx: &Context) -> Result<(), Failure> {
    let mail = Mail {
        to: &order.customer.email,
        from: &cx.variable("from")?,
        subject: format!("Your order {}", order.order_id),
        text: text(&order),
    };
    let response = cx.http().post(cx.variable("mail_api")?).idempotency_key().json(&mail).send()?;
    if response.status() == 422 {
        // The service understood the request and refuses this address or text: it will refuse them
        // again.
        return Err(Failure::reject("the mail service refuses this mail (422)"));
    }
    response.error_for_status()?;
    tracing::info!(order_id = order.order_id, "receipt sent");
    Ok(())
}

fn text(order: &OrderCompleted) -> String {
    let mut text = format!("Hello {},\n\nthank you for your order {}.\n\n", order.customer.name, order.order_id);
    for item in &order.items {
        let price = u128::from(item.quantity) * u128::from(item.unit_price_cents);
        line(&mut text, &format!("{} x {}", item.quantity, item.sku), price, &order.currency);
    }
    line(&mut text, "Total", order.total_cents.into(), &order.currency);
    text
}

/// One line: what, and its price, to the right.
fn line(text: &mut String, what: &str, cents: u128, currency: &str) {
    writeln!(text, "{what:<30}{:>9}.{:02} {currency}", cents / 100, cents % 100).expect("a String takes any text");
}
