use super::*;

fn workload(bytes: usize, duplicates: u32) -> Workload {
    Workload { bytes, sleep_ms: 0, types: vec!["a".into(), "b".into()], duplicates, body: None }
}

#[test]
fn an_order_has_the_size_that_was_asked_for_and_can_be_read() {
    for bytes in [100, 199, 200, 500, 262_144] {
        let body = workload(bytes, 0).main(7, 0).body;
        assert_eq!(body.len(), bytes);
        assert_eq!(serde_json::from_slice::<Order>(&body).unwrap().order_id, "o-00000007");
    }
}

#[test]
fn so_many_of_a_hundred_are_twins_of_the_warm_up() {
    for percent in [0, 1, 33, 50, 100] {
        let workload = workload(100, percent);
        let key = |message: Outgoing| message.attributes.get(KEY_ATTRIBUTE).cloned();
        let warm: Vec<_> =
            (0..10).map(|number| (key(workload.warm_up(number)), workload.warm_up(number).body)).collect();
        let twins = (0..300)
            .map(|number| workload.main(number, 10))
            .filter(|message| warm.contains(&(key(message.clone()), message.body.clone())));
        assert_eq!(twins.count(), 3 * percent as usize, "{percent}");
    }
}
