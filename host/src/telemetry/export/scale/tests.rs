use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn reports(hosts: usize, in_hand: usize, departures_per_s: f64, limited_by: &[&str]) -> Vec<HostReport> {
    let limited_by = limited_by.iter().map(|name| (*name).to_owned()).collect();
    let queue = QueueReport { in_hand, concurrency: 10, departures_per_s, limited_by };
    vec![HostReport { at_ms: 0, queues: [("jobs".to_owned(), queue)].into() }; hosts]
}

fn depth(visible: u64, in_flight: u64, growth_per_s: f64) -> BTreeMap<String, Depth> {
    let depth = Depth { visible: Some(visible), in_flight: Some(in_flight), growth_per_s: Some(growth_per_s) };
    [("jobs".to_owned(), depth)].into()
}

fn wanted(reports: &[HostReport], depths: &BTreeMap<String, Depth>) -> usize {
    Scale::of(reports, depths, MINUTE).hosts_wanted
}

#[test]
fn hosts_that_are_busy_with_a_backlog_want_as_many_as_work_it_off_in_time() {
    // Each does 10 a second. 40 come, and 600 are to be gone in a minute.
    assert_eq!(wanted(&reports(4, 10, 10.0, &[]), &depth(600, 40, 0.0)), 5);
    assert_eq!(wanted(&reports(4, 10, 10.0, &[]), &depth(600, 40, 20.0)), 7);
    assert_eq!(wanted(&reports(4, 10, 10.0, &[]), &depth(60_000, 40, 20.0)), 8, "twice as many at a time");
    assert_eq!(wanted(&reports(4, 10, 0.0, &[]), &depth(10, 40, 0.0)), 5, "nothing has ended yet");
    assert_eq!(wanted(&reports(4, 10, 10.0, &[]), &depth(0, 40, 0.0)), 4, "nothing waits");
}

#[test]
fn hosts_that_a_limit_holds_back_want_no_more() {
    for limit in ["rate:partner", "pool:db", "breaker:mail", "pause:type:receipt"] {
        let held = reports(4, 10, 5.0, &[limit]);
        assert_eq!(wanted(&held, &depth(60_000, 40, 100.0)), 4, "{limit}");
        let scale = Scale::of(&held, &depth(60_000, 40, 100.0), MINUTE);
        assert_eq!(scale.queues[0].limited_by.iter().collect::<Vec<_>>(), [limit]);
    }
    assert_eq!(wanted(&reports(10, 2, 5.0, &["rate:partner"]), &depth(60_000, 40, 100.0)), 3, "fewer would do");
}

#[test]
fn hosts_that_have_little_to_do_want_fewer_and_never_none() {
    assert_eq!(wanted(&reports(10, 7, 5.0, &[]), &depth(0, 70, 0.0)), 10);
    assert_eq!(wanted(&reports(10, 3, 5.0, &[]), &depth(0, 30, 0.0)), 5);
    assert_eq!(wanted(&reports(10, 0, 0.0, &[]), &depth(0, 0, 0.0)), 1);
    assert_eq!(wanted(&[], &BTreeMap::new()), 1);
}

#[test]
fn of_several_queues_the_one_that_needs_most_counts() {
    let mut all = reports(4, 10, 10.0, &[]);
    for report in &mut all {
        let idle = QueueReport { in_hand: 0, concurrency: 10, ..QueueReport::default() };
        report.queues.insert("idle".into(), idle);
    }
    let scale = Scale::of(&all, &depth(600, 40, 0.0), MINUTE);
    assert_eq!(
        scale.queues.iter().map(|queue| (queue.name.as_str(), queue.hosts_wanted)).collect::<Vec<_>>(),
        [("idle", 1), ("jobs", 5)]
    );
    assert_eq!((scale.hosts, scale.hosts_wanted), (4, 5));
}

#[test]
fn arrivals_and_the_time_to_the_end_are_of_what_goes_and_how_it_grows() {
    let of = |growth| Scale::of(&reports(2, 10, 10.0, &[]), &depth(100, 20, growth), MINUTE).queues.remove(0);
    assert_eq!((of(5.0).arrivals_per_s, of(5.0).seconds_to_empty), (Some(25.0), None));
    assert_eq!((of(-4.0).arrivals_per_s, of(-4.0).seconds_to_empty), (Some(16.0), Some(30.0)));
    assert_eq!(of(-90.0).arrivals_per_s, Some(0.0), "counts are approximate");
}

#[test]
fn a_speed_is_of_the_last_minute() {
    let (mut reads, now) = (Reads::default(), clock::now());
    assert_eq!(reads.per_second(), None);
    for second in 0..=120_u64 {
        reads.add(now + Duration::from_secs(second), second.saturating_sub(60) as f64);
    }
    assert_eq!(reads.per_second(), Some(1.0));
}
