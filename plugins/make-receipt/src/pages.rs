//! Where everything on a receipt stands. Pure layout: no PDF here.

use crate::font;
use crate::order::Order;

/// A4, in points of 1/72 inch.
pub const PAGE_WIDTH: f32 = 595.0;
pub const PAGE_HEIGHT: f32 = 842.0;

/// One page's marks, in the order in which they are drawn.
pub type Page = Vec<Mark>;

/// What is drawn; places are in points from the bottom left.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// A line of text that starts at `x` on the baseline `y`.
    Text { x: f32, y: f32, size: f32, bold: bool, encoded: Vec<u8> },
    /// A thin line from margin to margin.
    Rule { y: f32 },
}

/// Lays an order out on as many pages as it takes.
pub fn lay_out(order: &Order) -> Vec<Page> {
    let mut sheet = Sheet::new();
    heading(&mut sheet, order);
    columns(&mut sheet, order);
    for item in &order.items {
        if sheet.is_full_for(1) {
            sheet.turn();
            columns(&mut sheet, order);
        }
        sheet.left(LEFT, &item.line.sku, BODY, false, QUANTITY_RIGHT - LEFT - 60.0);
        sheet.right(QUANTITY_RIGHT, &item.line.quantity.to_string(), BODY, false);
        sheet.right(PRICE_RIGHT, &money(item.line.unit_price_cents), BODY, false);
        sheet.right(RIGHT, &money(item.amount_cents), BODY, false);
        sheet.down(LINE);
    }
    totals(&mut sheet, order);
    sheet.number(&order.order_id)
}

/// Hundredths as people write them: `1234.50`, `-0.05`.
pub fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{}.{:02}", cents / 100, cents % 100)
}

const MARGIN: f32 = 56.0;
pub const LEFT: f32 = MARGIN;
pub const RIGHT: f32 = PAGE_WIDTH - MARGIN;
const PRICE_RIGHT: f32 = RIGHT - 110.0;
const QUANTITY_RIGHT: f32 = PRICE_RIGHT - 110.0;
const TOP: f32 = PAGE_HEIGHT - MARGIN - 20.0;
/// Below this baseline stands only the page number.
const BOTTOM: f32 = MARGIN + 24.0;
const LINE: f32 = 14.0;
const TITLE: f32 = 20.0;
const BODY: f32 = 10.0;
const SMALL: f32 = 8.0;

fn heading(sheet: &mut Sheet, order: &Order) {
    let full = RIGHT - LEFT;
    sheet.left(LEFT, "Receipt", TITLE, true, full);
    sheet.down(2.0 * LINE);
    sheet.left(LEFT, &format!("Order {}", order.order_id), BODY, true, full);
    sheet.down(LINE);
    sheet.left(LEFT, &format!("Placed at {}", order.placed_at), BODY, false, full);
    sheet.down(2.0 * LINE);
    sheet.left(LEFT, &order.customer.name, BODY, false, full);
    sheet.down(LINE);
    sheet.left(LEFT, &order.customer.email, BODY, false, full);
    sheet.down(2.0 * LINE);
}

fn columns(sheet: &mut Sheet, order: &Order) {
    sheet.left(LEFT, "Item", BODY, false, 100.0);
    sheet.right(QUANTITY_RIGHT, "Quantity", BODY, false);
    sheet.right(PRICE_RIGHT, "Unit price", BODY, false);
    sheet.right(RIGHT, &format!("Amount ({})", order.currency), BODY, false);
    sheet.rule();
    sheet.down(LINE + 4.0);
}

/// The total, and what leads from the items to it where the two differ.
fn totals(sheet: &mut Sheet, order: &Order) {
    if sheet.is_full_for(4) {
        sheet.turn();
    } else {
        sheet.up(LINE - 4.0);
        sheet.rule();
        sheet.down(LINE + 4.0);
    }
    if order.other_cents != 0 {
        for (label, cents) in [("Items", order.items_cents), ("Shipping, taxes and discounts", order.other_cents)] {
            sheet.left(LEFT, label, BODY, false, PRICE_RIGHT - LEFT);
            sheet.right(RIGHT, &money(cents), BODY, false);
            sheet.down(LINE);
        }
    }
    sheet.left(LEFT, &format!("Total ({})", order.currency), BODY, true, PRICE_RIGHT - LEFT);
    sheet.right(RIGHT, &money(order.total_cents), BODY, true);
}

/// The pages so far and the place of the next line.
struct Sheet {
    pages: Vec<Page>,
    page: Page,
    y: f32,
}

impl Sheet {
    fn new() -> Self {
        Sheet { pages: Vec::new(), page: Page::new(), y: TOP }
    }

    fn left(&mut self, x: f32, text: &str, size: f32, bold: bool, max_width: f32) {
        let encoded = font::encode_within(text, size, max_width);
        self.page.push(Mark::Text { x, y: self.y, size, bold, encoded });
    }

    fn right(&mut self, right: f32, text: &str, size: f32, bold: bool) {
        let encoded = font::encode(text);
        let x = right - font::width(&encoded, size);
        self.page.push(Mark::Text { x, y: self.y, size, bold, encoded });
    }

    fn rule(&mut self) {
        self.page.push(Mark::Rule { y: self.y - 4.0 });
    }

    fn down(&mut self, by: f32) {
        self.y -= by;
    }

    fn up(&mut self, by: f32) {
        self.y += by;
    }

    fn is_full_for(&self, lines: u8) -> bool {
        self.y - LINE * f32::from(lines - 1) < BOTTOM
    }

    fn turn(&mut self) {
        self.pages.push(std::mem::take(&mut self.page));
        self.y = TOP;
    }

    /// Ends the last page and writes on each which of how many it is.
    fn number(mut self, order_id: &str) -> Vec<Page> {
        self.turn();
        let count = self.pages.len();
        for (index, page) in self.pages.iter_mut().enumerate() {
            let encoded = font::encode(&format!("Order {order_id}, page {} of {count}", index + 1));
            page.push(Mark::Text { x: LEFT, y: MARGIN, size: SMALL, bold: false, encoded });
        }
        self.pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_page_number_stands_below_the_bottom() {
        for count in 1..120 {
            let items = vec![serde_json::json!({"sku": "mug", "quantity": 1, "unit_price_cents": 100}); count];
            let body: crate::order::Body = serde_json::from_value(serde_json::json!({
                "order_id": "A-1001", "customer": {"email": "z@example.com", "name": "Zoë"}, "items": items,
                "total_cents": 1, "currency": "EUR", "placed_at": "2026-01-02T03:04:05Z",
            }))
            .expect("a body");
            let pages = lay_out(&Order::try_from(body).expect("an order"));
            for mark in pages.iter().flatten() {
                let (Mark::Text { y, .. } | Mark::Rule { y }) = mark;
                assert!(*y == MARGIN || (BOTTOM - 4.0..=TOP).contains(y), "{count} items: {mark:?}");
            }
            let titles = pages.iter().flatten().filter(|mark| matches!(mark, Mark::Text { bold: true, .. })).count();
            assert_eq!(titles, 4, "title, order, total and its amount, once each, with {count} items");
        }
    }

    #[test]
    fn money_keeps_its_sign_and_both_digits() {
        let cases =
            [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (123_450, "1234.50"), (i64::MIN, "-92233720368547758.08")];
        for (cents, expect) in cases {
            assert_eq!(money(cents), expect);
        }
    }
}
