use super::{
    super::tests::{definition, service_on_full_disk},
    *,
};

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

#[tokio::test]
async fn a_queue_stays_its_regions_if_it_cannot_be_stored_as_every_regions() {
    let dir = tempfile::tempdir().unwrap();
    let service = service_on_full_disk(dir.path());
    let queue = Arc::new(Queue::new(definition(1, "q", Some("eu-west-1"))));
    service.queues_mut().insert(queue.clone());
    let error = service.create_everywhere("q").await.unwrap_err();
    assert_eq!(error.code, Code::InternalFailure, "{error}");
    assert_eq!(queue.home().map(|home| home.region.as_str()), Some("eu-west-1"));
    assert_eq!(queue.state().definition.home.as_ref(), queue.home());
}
