use super::*;

const KEY_7: Key = Key([7; 32]);

fn item_read() -> ReadItem {
    let entry = Entry {
        state: State::Claimed,
        fence: Fence(u64::MAX),
        attempts: 3,
        crashes: 2,
        replays: 1,
        body: BodyDigest([9; 32]),
        message_id: MessageId("message".into()),
        dead: DeadIds::from_bytes((0..16).collect()).expect("two marks"),
        first_failed_at: Some(UnixMs(5)),
        removable_at: UnixMs(u64::MAX),
    };
    let lease = LeaseEnd { until: UnixMs(6_000), length: Duration::from_millis(500) };
    ReadItem { entry, lease, claim_id: vec![1; 16] }
}

fn item_of(found: &ReadItem) -> Item {
    let attributes = attributes(&found.entry, found.lease, &[1; 16]);
    attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Whatever two hosts know of the time, as long as it is true: no lease ends early for the other
/// one, nor more than the width of both bounds late.
#[test]
fn a_lease_ends_by_the_servers_clock() {
    const WIDTH_MS: u64 = 1_080;
    let knows = |true_ms: u64, early_ms: u64| {
        let earliest = true_ms - early_ms;
        Bounds::new(Duration::from_millis(earliest), Duration::from_millis(earliest + WIDTH_MS))
    };
    let (began, lease) = (1_000_000, Duration::from_secs(5));
    let ends = began + 5_000;
    for holder in 0..=WIDTH_MS {
        let end = LeaseEnd::of(lease, knows(began, holder));
        for taker in [0, 1, 500, WIDTH_MS - 1, WIDTH_MS] {
            let left = end.remaining(knows(ends - 1, taker));
            assert!(left.is_some_and(|left| left <= lease), "{holder} {taker}: {left:?}");
            assert_eq!(end.remaining(knows(ends + 2 * WIDTH_MS, taker)), None, "{holder} {taker}");
        }
    }
    assert_eq!(LeaseEnd::of(Duration::ZERO, knows(began, 0)).remaining(knows(began, WIDTH_MS)), None);
    let endless = LeaseEnd::of(Duration::MAX, knows(began, 0));
    assert!(endless.remaining(knows(began, 0)).is_some_and(|left| left > Duration::from_secs(u32::MAX.into())));
}

#[test]
fn what_is_written_is_read_back() {
    let mut found = item_read();
    assert_eq!(ReadItem::read(KEY_7, &item_of(&found)).expect("it reads"), found);
    found.entry.first_failed_at = None;
    assert_eq!(ReadItem::read(KEY_7, &item_of(&found)).expect("it reads"), found);
}

/// DynamoDB counts names and values (its developer guide, "Item sizes and formats"); a number has
/// at most a byte for two digits, and one more. A write unit is 1 KB.
#[test]
fn an_entry_without_steps_costs_one_write_unit() {
    let mut found = item_read();
    found.entry.dead = DeadIds::default();
    found.entry.message_id = MessageId("3f1d7c1e-9b1a-4f0e-8f57-0c9f2f3f6a10".into());
    let mut item = item_of(&found);
    item.extend(ItemKey::entry(KEY_7).to_item());
    let size = |value: &AttributeValue| match value {
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => digits.len().div_ceil(2) + 1,
        other => panic!("an entry has no {other:?}"),
    };
    let bytes: usize = item.iter().map(|(name, value)| name.len() + size(value)).sum();
    assert!(bytes < 512, "{bytes}");
}

#[test]
fn an_item_that_makes_no_sense_is_damaged_and_says_where() {
    let check = |name: &str, value: Option<AttributeValue>, expect: &str| {
        let mut item = item_of(&item_read());
        match value {
            Some(value) => item.insert(name.into(), value),
            None => item.remove(name),
        };
        let error = ReadItem::read(KEY_7, &item).expect_err("it is damaged").to_string();
        assert!(error.contains(&KEY_7.to_hex()) && error.contains(expect), "{error}");
    };
    check(FENCE, None, "`fence` is missing");
    check(FENCE, Some(text("1")), "`fence` is no whole number");
    check(FENCE, Some(AttributeValue::N("1.5".into())), "`fence` is no whole number");
    check(ATTEMPTS, Some(number(u64::MAX)), "`attempts` is too large");
    check(STATE, Some(text("asleep")), "state is `asleep`, which this version does not know: written by a newer wasq");
    check(STATE, Some(text(DONE)), "`discarded` is missing");
    check(BODY, Some(bytes(b"short")), "`body` has not 32 bytes");
    check(MESSAGE_ID, Some(number(1)), "`message_id` is no string");
}
