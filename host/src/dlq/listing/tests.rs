use super::*;

fn row(id: &str, message: &str, class: &str, plugin: &str, reason: &str, failed_at: u64) -> Row {
    Row {
        id: MessageId(id.into()),
        message: (!message.is_empty()).then(|| Key::derive(&[message.as_bytes()])),
        group: GroupKey {
            kind: Some("t".into()),
            class: class.into(),
            fingerprint: crate::dlq::fingerprint::fingerprint(reason),
        },
        plugin: Some(plugin.into()),
        reason: reason.into(),
        attempts: Some(failed_at as u32),
        first_failed_at: UnixMs(failed_at),
        failed_at: UnixMs(failed_at),
    }
}

#[test]
fn a_message_that_several_plugins_rejected_is_listed_once_with_its_plugins() {
    let mut all = ByMessage::default();
    all.extend([
        row("1", "m", "reject", "a", "no order 1", 5),
        row("2", "n", "reject", "a", "no order 2", 6),
        row("3", "m", "reject", "b", "no order 1", 7),
        row("4", "m", "timeout", "c", "too slow", 3),
        row("5", "", "moved-by-sqs", "", "received too often", 1),
        row("6", "", "moved-by-sqs", "", "received too often", 1),
    ]);
    let [m, n, ..] = all.messages() else { panic!() };
    assert_eq!((all.messages().len(), m.count(), n.count()), (4, 3, 1));
    assert_eq!(
        (m.shown().id.0.as_str(), m.plugins(), m.classes()),
        ("1", vec!["a", "b", "c"], vec!["reject", "timeout"])
    );
    assert_eq!((m.attempts(), m.failed_at(), n.reason().as_str()), (Some(7), UnixMs(7), "no order 2"));
    assert_eq!(m.reason(), "a: no order 1; c: too slow");
    assert!(all.knows(&row("7", "n", "reject", "z", "", 1)) && !all.knows(&row("8", "", "reject", "z", "", 1)));
}

#[test]
fn letters_are_grouped_by_cause_and_a_group_shows_its_variants() {
    let mut groups = Groups::default();
    groups.extend([row("1", "m", "trap", "p", "no field `a`", 5), row("2", "n", "trap", "p", "no field `b`", 5)]);
    groups
        .extend((0..9).map(|n| row(&n.to_string(), &n.to_string(), "retry", "p", &format!("order {}", n % 7), 10 + n)));
    groups
        .extend((0..9).map(|n| row(&n.to_string(), &n.to_string(), "retry", "q", &format!("order {}", n % 7), 10 + n)));
    let groups = groups.largest_first();
    assert_eq!(groups.len(), 3, "two missing fields are two causes");
    let orders = &groups[0];
    assert_eq!((orders.letters, orders.messages(), orders.plugins.len()), (18, 9, 2));
    assert_eq!((orders.first_failed_at, orders.last_failed_at), (UnixMs(10), UnixMs(18)));
    assert_eq!((orders.variants.len(), orders.variants[0].clone()), (VARIANTS_MAX, ("order 0".to_owned(), 4)));
    assert_eq!((orders.reason(), orders.others()), ("order 0", 4));
}
