//! The order that a receipt is made of, checked before it is used.

use serde::Deserialize;

/// Most items that one receipt lists, on about 90 pages.
pub const MAX_ITEMS: usize = 4_000;
/// Longest order id, in bytes. It is part of the receipt's file name.
pub const MAX_ORDER_ID_BYTES: usize = 128;

/// A completed order as it stands in the message.
#[derive(Debug, Clone, Deserialize)]
pub struct Body {
    pub order_id: String,
    pub customer: Customer,
    pub items: Vec<Line>,
    /// What was paid. It may differ from the sum of the items, by shipping or a discount.
    pub total_cents: i64,
    /// An ISO 4217 code.
    pub currency: String,
    /// When the order was placed, as the shop wrote it.
    pub placed_at: String,
}

/// Who the receipt is for.
#[derive(Debug, Clone, Deserialize)]
pub struct Customer {
    pub email: String,
    pub name: String,
}

/// One line of an order.
#[derive(Debug, Clone, Deserialize)]
pub struct Line {
    pub sku: String,
    pub quantity: u32,
    /// Below zero for a refund or a voucher.
    pub unit_price_cents: i64,
}

/// An order that a receipt can be made of: its id is safe as a file name, there is something to
/// bill, and all amounts are there. Made of a [`Body`] only.
#[derive(Debug, Clone)]
pub struct Order {
    pub(crate) order_id: String,
    pub(crate) customer: Customer,
    pub(crate) items: Vec<Item>,
    pub(crate) items_cents: i64,
    /// The total less the items.
    pub(crate) other_cents: i64,
    pub(crate) total_cents: i64,
    pub(crate) currency: String,
    pub(crate) placed_at: String,
}

/// A line and what it comes to.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) line: Line,
    pub(crate) amount_cents: i64,
}

impl Order {
    /// The order's id, which needs no escaping in a URL's path.
    pub fn id(&self) -> &str {
        &self.order_id
    }
}

impl TryFrom<Body> for Order {
    /// What is wrong with the order.
    type Error = String;

    fn try_from(body: Body) -> Result<Self, String> {
        let Body { order_id, customer, items, total_cents, currency, placed_at } = body;
        if !is_file_name(&order_id) {
            return Err(format!(
                "order_id must be 1 to {MAX_ORDER_ID_BYTES} letters, digits, '-', '_' or '.', and start with a letter or a digit"
            ));
        }
        if items.is_empty() || items.len() > MAX_ITEMS {
            return Err(format!("order {order_id} has {} items; a receipt lists 1 to {MAX_ITEMS}", items.len()));
        }
        if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(format!("the currency of order {order_id} is not a code of three capital letters"));
        }
        let (items, items_cents, other_cents) = add_up(items, total_cents)
            .ok_or_else(|| format!("the amounts of order {order_id} are too large to add up"))?;
        Ok(Order { order_id, customer, items, items_cents, other_cents, total_cents, currency, placed_at })
    }
}

/// The items with their amounts, their sum, and what is left to the total; `None` when one of these
/// overflows.
fn add_up(lines: Vec<Line>, total_cents: i64) -> Option<(Vec<Item>, i64, i64)> {
    let mut sum_cents = 0_i64;
    let mut items = Vec::with_capacity(lines.len());
    for line in lines {
        let amount_cents = line.unit_price_cents.checked_mul(i64::from(line.quantity))?;
        sum_cents = sum_cents.checked_add(amount_cents)?;
        items.push(Item { line, amount_cents });
    }
    Some((items, sum_cents, total_cents.checked_sub(sum_cents)?))
}

/// Whether `id` can stand in a URL's path as it is: nothing to escape, no `..`, no `/`.
fn is_file_name(id: &str) -> bool {
    id.len() <= MAX_ORDER_ID_BYTES
        && id.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: serde_json::Value, expect: Result<(), &str>) {
        let read: Body = serde_json::from_value(body.clone()).expect("a body");
        match (Order::try_from(read), expect) {
            (Ok(_), Ok(())) => {}
            (Err(error), Err(part)) => assert!(error.contains(part), "{body}: {error}"),
            (order, _) => panic!("{body}: expected {expect:?}, got {order:?}"),
        }
    }

    fn body(order_id: &str, items: serde_json::Value, total_cents: i64) -> serde_json::Value {
        serde_json::json!({
            "order_id": order_id, "customer": {"email": "z@example.com", "name": "Zoë Müller"}, "items": items,
            "total_cents": total_cents, "currency": "EUR", "placed_at": "2026-01-02T03:04:05Z",
        })
    }

    #[test]
    fn an_order_is_checked_before_it_is_used() {
        let items = serde_json::json!([{"sku": "mug", "quantity": 2, "unit_price_cents": 1299}]);
        check(body("A-1001", items.clone(), 2598), Ok(()));
        check(body("A-1001", serde_json::json!([]), 0), Err("has 0 items"));
        check(body("../../etc/passwd", items.clone(), 2598), Err("order_id must be"));
        check(body("", items.clone(), 2598), Err("order_id must be"));
        check(body(&"a".repeat(129), items.clone(), 2598), Err("order_id must be"));
        check(body("A-1001", items, i64::MIN), Err("too large"));
        let huge = serde_json::json!([{"sku": "mug", "quantity": 3, "unit_price_cents": i64::MAX}]);
        check(body("A-1001", huge, 1), Err("too large"));
    }
}
