use super::*;

#[test]
fn queue_names_are_checked() {
    for (name, fifo, ok) in [
        ("orders", false, true),
        ("orders", true, false),
        ("Orders_1-x.fifo", true, true),
        ("Orders_1-x.fifo", false, false),
        (".fifo", true, false),
        ("a.b", false, false),
        ("", false, false),
        ("a/b", false, false),
        (&"x".repeat(80), false, true),
        (&"x".repeat(81), false, false),
        (&format!("{}.fifo", "x".repeat(76)), true, false),
    ] {
        assert_eq!(check_name(name, fifo).is_ok(), ok, "{name}");
    }
}

#[test]
fn pages_follow_each_other_without_gap_or_overlap() {
    let names = BTreeSet::from(["c", "a", "e", "b", "d"].map(str::to_owned));
    let (mut token, mut seen) = (None, Vec::new());
    loop {
        let (some, next) = page(names.clone(), Some(2), token).unwrap();
        seen.extend(some);
        token = next;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    assert_eq!(page(names, None, None).unwrap().1, None);
}
