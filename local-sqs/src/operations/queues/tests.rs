use super::*;

#[test]
fn queue_names_are_checked() {
    for (name, ok) in [
        ("orders", true),
        ("Orders_1-x.fifo", true),
        (".fifo", false),
        ("a.b", false),
        ("", false),
        ("a/b", false),
        (&"x".repeat(80), true),
        (&"x".repeat(81), false),
    ] {
        assert_eq!(check_name(name).is_ok(), ok, "{name}");
    }
}

#[test]
fn pages_follow_each_other_without_gap_or_overlap() {
    let names: Vec<String> = ["c", "a", "e", "b", "d"].map(str::to_owned).to_vec();
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
