use super::*;

fn demand() -> Demand {
    Demand::new(3, 20, 2, 0, "http://127.0.0.1:1").expect("a demand")
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
        at: wasq_core::clock::now(),
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
    assert_eq!(after.check(&perfect(&before)).expect_err("no effects of the corrected order").len(), 8);
}

#[test]
fn calls_of_the_partner_are_counted_by_the_second() {
    let began = wasq_core::clock::now();
    let calls = |apart_ms: u64| -> Vec<Effect> {
        let call = |n| Effect {
            at: began + Duration::from_millis(n * apart_ms),
            ..effect("/partner/webhooks/orders", "1", 503)
        };
        (0..100).map(call).collect()
    };
    let limit = "20/s".parse().expect("it is a rate");
    assert_eq!(partner_calls(&calls(50), limit), Ok(20));
    let error = partner_calls(&calls(25), limit).expect_err("40 in a second");
    assert!(error.contains("40 in one second") && error.contains("20/s"), "{error}");
    assert_eq!(partner_calls(&[], limit), Ok(0));
}
