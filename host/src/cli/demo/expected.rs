//! What the outside world must have seen when all is done, and how what it saw differs.

use std::collections::BTreeMap;
use std::fmt;

use super::orders::{Demand, Order};
use super::sink::Effect;

/// The effects that must be there, each by its path and what it is about, and no others.
#[derive(Debug, Clone)]
pub struct Expected {
    once: BTreeMap<(String, String), usize>,
}

/// An effect that was not seen as often as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The path that was called, or should have been.
    pub path: String,
    /// The order's or the image's id; of an analytics event, the order's time.
    pub id: String,
    pub expected: usize,
    pub seen: usize,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mismatch { path, id, expected, seen } = self;
        write!(f, "{path} for {id}: {seen} instead of {expected}")
    }
}

impl Expected {
    /// For each order, however often it was sent: one mail, one PDF, one reservation in each of three inventories, one
    /// webhook, one event, one audit entry. For each image, one thumbnail of each size. The order that does not fit has
    /// these only if it was mended and replayed.
    pub fn of(demand: &Demand, is_poison_replayed: bool) -> Self {
        let mended = is_poison_replayed.then_some(&demand.poison.mended);
        let orders = demand.orders.iter().chain(mended).flat_map(of_order);
        let thumbnails = demand.images.iter().flat_map(|image| {
            let path = |size| format!("/storage/thumbnails/{}/{size}.jpg", image.image_id);
            image.sizes.iter().map(move |size| (path(size), image.image_id.clone()))
        });
        Expected { once: orders.chain(thumbnails).map(|effect| (effect, 1)).collect() }
    }

    /// How many effects there must be in all.
    pub fn total(&self) -> usize {
        self.once.values().sum()
    }

    /// Compares with what the sink saw. Reads and calls that the sink refused do not count.
    ///
    /// # Errors
    ///
    /// Each effect that is missing, or there too often, or not expected at all.
    pub fn check(&self, effects: &[Effect]) -> Result<(), Vec<Mismatch>> {
        let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
        for effect in effects.iter().filter(|effect| effect.is_done()) {
            let id = effect.id.clone().unwrap_or_else(|| "nobody".to_owned());
            *seen.entry((effect.path.clone(), id)).or_default() += 1;
        }
        let missing = self.once.iter().map(|(effect, expected)| (effect, *expected, seen.get(effect).copied()));
        let others = seen.iter().filter(|(effect, _)| !self.once.contains_key(*effect));
        let mismatches: Vec<Mismatch> = missing
            .chain(others.map(|(effect, count)| (effect, 0, Some(*count))))
            .map(|((path, id), expected, seen)| (path, id, expected, seen.unwrap_or(0)))
            .filter(|(_, _, expected, seen)| expected != seen)
            .map(|(path, id, expected, seen)| Mismatch { path: path.clone(), id: id.clone(), expected, seen })
            .collect();
        if mismatches.is_empty() { Ok(()) } else { Err(mismatches) }
    }
}

fn of_order(order: &Order) -> [(String, String); 8] {
    let id = &order.order_id;
    let about = |path: &str, id: &str| (path.to_owned(), id.to_owned());
    [
        about("/mail/messages", id),
        about(&format!("/storage/receipts/{id}.pdf"), id),
        about("/inventory/warehouse/reservations", id),
        about("/inventory/storefront/reservations", id),
        about("/inventory/marketplace/reservations", id),
        about("/partner/webhooks/orders", id),
        about("/analytics/events", &order.placed_at),
        about("/audit/entries", id),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand() -> Demand {
        Demand::new(3, 20, 2, "http://127.0.0.1:1").expect("a demand")
    }

    /// What the sink sees when all goes well.
    fn perfect(expected: &Expected) -> Vec<Effect> {
        expected.once.keys().map(|(path, id)| effect(path, id, 201)).collect()
    }

    fn effect(path: &str, id: &str, status: u16) -> Effect {
        Effect {
            method: "POST".to_owned(),
            path: path.to_owned(),
            idempotency_key: None,
            id: Some(id.to_owned()),
            body_bytes: 0,
            body_blake3: String::new(),
            status,
        }
    }

    /// Changes a perfect record, and asserts what is found.
    fn check(change: impl FnOnce(&mut Vec<Effect>), expect: &[&str]) {
        let expected = Expected::of(&demand(), true);
        let mut effects = perfect(&expected);
        change(&mut effects);
        let found = expected.check(&effects).err().unwrap_or_default();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn every_order_has_eight_effects_and_every_image_two() {
        assert_eq!(Expected::of(&demand(), false).total(), 20 * 8 + 2 * 2);
        assert_eq!(Expected::of(&demand(), true).total(), 21 * 8 + 2 * 2);
    }

    #[test]
    fn a_perfect_record_has_no_mismatch_and_refused_calls_and_reads_do_not_count() {
        check(|_| {}, &[]);
        check(
            |effects| {
                effects.push(effect("/partner/webhooks/orders", "A-1001", 503));
                effects.push(effect("/audit/entries", "A-1001", 409));
                effects.push(effect("/audit/entries", "A-1001", 200));
                effects.push(effect("/images/img-1.png", "img-1", 200));
            },
            &[],
        );
    }

    #[test]
    fn each_planted_mismatch_is_found() {
        check(
            |effects| effects.push(effect("/mail/messages", "A-1003", 201)),
            &["/mail/messages for A-1003: 2 instead of 1"],
        );
        check(
            |effects| effects.retain(|effect| effect.path != "/storage/receipts/A-1004.pdf"),
            &["/storage/receipts/A-1004.pdf for A-1004: 0 instead of 1"],
        );
        check(
            |effects| effects.retain(|effect| effect.path != "/storage/thumbnails/img-2/256.jpg"),
            &["/storage/thumbnails/img-2/256.jpg for img-2: 0 instead of 1"],
        );
        check(
            |effects| effects.push(effect("/analytics/events", "2026-01-02T03:04:05Z", 201)),
            &["/analytics/events for 2026-01-02T03:04:05Z: 2 instead of 1"],
        );
        check(
            |effects| effects.push(effect("/inventory/warehouse/reservations", "A-9999", 201)),
            &["/inventory/warehouse/reservations for A-9999: 1 instead of 0"],
        );
    }

    #[test]
    fn a_poison_that_had_effects_before_its_replay_is_found() {
        let before = Expected::of(&demand(), false);
        let after = Expected::of(&demand(), true);
        assert_eq!(before.check(&perfect(&after)).expect_err("effects of the poison").len(), 8);
        assert_eq!(after.check(&perfect(&before)).expect_err("no effects of the mended order").len(), 8);
    }
}
