//! Renders a PDF receipt for a completed order and stores it under the order's id.

mod font;
pub mod order;
mod pages;
pub mod pdf;

use order::{Body, Order};
use wasq_sdk::{Context, Failure, handler};

/// Renders the receipt and stores it. A second attempt stores the same bytes under the same name.
#[handler]
pub fn make_receipt(body: Body, cx: &Context) -> Result<(), Failure> {
    let order = Order::try_from(body).map_err(Failure::reject)?;
    let url = format!("{}/{}.pdf", cx.variable("storage_url")?, order.id());
    cx.http()
        .put(url)
        .header("Content-Type", "application/pdf")
        .idempotency_key()
        .body(pdf::render(&order))
        .send()?
        .error_for_status()?;
    Ok(())
}
