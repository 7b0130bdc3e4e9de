use super::*;

#[test]
fn a_message_that_several_plugins_reject_is_one_outcome_with_its_plugins() {
    let outcome = |id: &str, plugin: &str, attempt, reason: &str| RecentOutcome {
        at: UnixMs(1),
        message_id: MessageId(id.into()),
        kind: "t".into(),
        plugin: plugin.into(),
        attempt,
        class: "reject",
        settlement: "dead-letter",
        reason: reason.into(),
    };
    let merged = by_message([
        outcome("1", "a", 1, "no"),
        outcome("2", "a", 1, "no"),
        outcome("1", "b", 1, "no"),
        outcome("1", "c", 1, "never"),
        outcome("1", "a", 2, "no"),
    ]);
    let seen: Vec<_> = merged.iter().map(|m| (m.outcome.message_id.0.as_str(), m.plugins.join("+"))).collect();
    assert_eq!(seen, [("1", "a+b+c".to_owned()), ("2", "a".to_owned()), ("1", "a".to_owned())]);
    assert_eq!(merged[0].outcome.reason, "no; never");
    let json = serde_json::to_value(&merged[0]).unwrap();
    assert_eq!((&json["plugin"], &json["plugins"][2]), (&"a".into(), &"c".into()));
}

#[test]
fn failures_are_always_kept_and_the_rest_while_somebody_looks() {
    let recent = Recent::default();
    let end = |ms: u64, is_failure: bool| {
        let outcome = |at| RecentOutcome {
            at,
            message_id: MessageId(ms.to_string()),
            kind: "t".into(),
            plugin: "p".into(),
            attempt: 1,
            class: "done",
            settlement: "delete",
            reason: String::new(),
        };
        recent.ended(is_failure, || UnixMs(ms), outcome);
    };
    end(1, false);
    end(2, true);
    assert!(recent.watch(UnixMs(3)).is_empty());
    end(4, false);
    end(5, true);
    let ids = |all: Vec<RecentOutcome>| all.into_iter().map(|outcome| outcome.message_id.0).collect::<Vec<_>>();
    assert_eq!(
        (ids(recent.watch(UnixMs(6))), ids(recent.failures())),
        (vec!["5".into(), "4".into()], vec!["5".into(), "2".into()])
    );
    end(60_006, false);
    (0..KEPT_MAX as u64 + 5).for_each(|ms| end(70_000 + ms, true));
    assert_eq!(ids(recent.watch(UnixMs(80_000))), ["5", "4"], "nobody looked");
    assert_eq!(recent.failures().len(), KEPT_MAX);
}
