//! A receipt is read back with another library than the one that wrote it.

use lopdf::Document;
use make_receipt::order::{Body, Order};
use make_receipt::pdf::render;

#[test]
fn a_receipt_shows_the_order_its_lines_and_the_total() {
    let order = order(&[("blue-mug", 2, 1299), ("Crème brûlée set", 1, 4550)], 7148);
    let pages = texts(&render(&order));
    assert_eq!(pages.len(), 1);
    let lines = ["Order A-1001", "Placed at 2026-01-02T03:04:05Z", "Zoë Müller", "zoe@example.com"];
    check(&pages[0], &lines);
    check(&pages[0], &["blue-mug", "2", "12.99", "25.98", "Crème brûlée set", "1", "45.50", "45.50"]);
    check(&pages[0], &["Total (EUR)", "71.48", "Order A-1001, page 1 of 1"]);
    assert!(!pages[0].iter().any(|line| line.starts_with("Shipping")), "nothing but items makes this total");
}

#[test]
fn a_total_beside_the_items_says_what_lies_between() {
    let pages = texts(&render(&order(&[("mug", 1, 1000)], 1490)));
    check(&pages[0], &["Items", "10.00", "Shipping, taxes and discounts", "4.90", "Total (EUR)", "14.90"]);
}

#[test]
fn a_long_list_goes_on_over_pages_and_loses_no_line() {
    let skus: Vec<String> = (0..500).map(|n| format!("sku-{n:03}")).collect();
    let items: Vec<(&str, u32, i64)> = skus.iter().map(|sku| (sku.as_str(), 1, 100)).collect();
    let pages = texts(&render(&order(&items, 50_000)));
    assert!(pages.len() > 5, "{} pages", pages.len());
    let listed: Vec<&String> = pages.iter().flatten().filter(|line| line.starts_with("sku-")).collect();
    assert_eq!(listed, skus.iter().collect::<Vec<_>>());
    for (index, page) in pages.iter().enumerate() {
        let last = format!("Order A-1001, page {} of {}", index + 1, pages.len());
        check(page, &["Item", "Quantity", "Unit price", "Amount (EUR)", &last]);
    }
    check(&pages[pages.len() - 1], &["Total (EUR)", "500.00"]);
}

#[test]
fn the_same_order_gives_the_same_bytes() {
    let order = order(&[("mug", 3, 250)], 750);
    assert_eq!(render(&order), render(&order));
}

/// Asserts that `expect` stands among the lines, in this order.
fn check(lines: &[String], expect: &[&str]) {
    let found = expect
        .iter()
        .try_fold(0, |from, want| lines[from..].iter().position(|line| line == want).map(|at| from + at + 1));
    assert!(found.is_some(), "{expect:?} is not in {lines:?}");
}

/// Each page's lines of text, in drawing order.
fn texts(pdf: &[u8]) -> Vec<Vec<String>> {
    let document = Document::load_mem(pdf).expect("a PDF that another library reads");
    document
        .get_pages()
        .keys()
        .map(|page| {
            let text = document.extract_text(&[*page]).expect("text in a known encoding");
            text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
        })
        .collect()
}

fn order(items: &[(&str, u32, i64)], total_cents: i64) -> Order {
    let items: Vec<_> = items
        .iter()
        .map(|(sku, quantity, price)| serde_json::json!({"sku": sku, "quantity": quantity, "unit_price_cents": price}))
        .collect();
    let body = serde_json::json!({
        "order_id": "A-1001", "customer": {"email": "zoe@example.com", "name": "Zoë Müller"}, "items": items,
        "total_cents": total_cents, "currency": "EUR", "placed_at": "2026-01-02T03:04:05Z",
    });
    let body: Body = serde_json::from_value(body).expect("a body");
    Order::try_from(body).expect("an order")
}
