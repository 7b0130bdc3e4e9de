use super::*;

fn demand(seed: u64) -> Demand {
    Demand::new(seed, 200, 2, 0, "http://127.0.0.1:1").expect("a demand")
}

#[test]
fn the_seed_decides_everything() {
    assert_eq!(demand(7).messages, demand(7).messages);
    assert_ne!(demand(7).messages, demand(8).messages);
}

#[test]
fn each_order_is_sent_once_or_twice_and_no_two_are_alike() {
    let demand = demand(7);
    assert_eq!((demand.twice.len(), demand.messages.len()), (10, 200 + 10 + 1 + 2));
    for order in &demand.orders {
        let message = message_of(order).expect("a message");
        let sent = demand.messages.iter().filter(|sent| **sent == message).count();
        assert_eq!(sent, 1 + usize::from(demand.twice.contains(&order.order_id)), "{}", order.order_id);
        let sum: u64 = order.items.iter().map(|item| u64::from(item.quantity) * item.unit_price_cents).sum();
        assert_eq!(sum, order.total_cents);
    }
    let ids: BTreeSet<&String> = demand.orders.iter().map(|order| &order.order_id).collect();
    let times: BTreeSet<&String> = demand.orders.iter().map(|order| &order.placed_at).collect();
    assert_eq!((ids.len(), times.len()), (200, 200));
    assert_eq!(demand.orders[0].placed_at, "2026-01-02T03:04:05Z");
}

#[test]
fn the_poison_lacks_what_handlers_need_and_the_mended_order_has_it() {
    let demand = demand(7);
    let poison: serde_json::Value = serde_json::from_str(&demand.poison.body).expect("JSON");
    assert!(poison.get("order_id").is_none() && poison["total_cents"].is_string());
    assert_eq!(poison["id"], demand.poison.corrected.order_id);
    assert!(demand.orders.iter().all(|order| order.order_id != demand.poison.corrected.order_id));
    assert_eq!(demand.messages.iter().filter(|sent| sent.body == demand.poison.body).count(), 1);
}

#[test]
fn a_demand_of_nothing_still_has_its_poison() {
    let demand = Demand::new(1, 0, 1, 0, "http://127.0.0.1:1").expect("a demand");
    assert_eq!(demand.messages.len(), 2);
    assert!(Demand::new(1, MAX_ORDERS + 1, 0, 0, "").is_err());
}

#[test]
fn order_ids_are_found_in_text() {
    for (text, expect) in [
        ("Your order A-1001", Some("A-1001")),
        ("A-1, SKA-1002 and A-100345.", Some("A-100345")),
        ("Ä-A-1", None),
        ("", None),
    ] {
        assert_eq!(order_id_in(text), expect, "{text}");
    }
}
