use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR_MS: u64 = WARN_EVERY.as_millis() as u64;

fn warned_at(unroutable: &Unroutable, queue: &str, kind: &str) -> UnixMs {
    unroutable.types.lock()[&(queue.to_owned(), kind.to_owned())].warned_at
}

#[test]
fn a_type_is_warned_of_once_an_hour_and_listed_until_it_has_a_plugin() {
    let unroutable = Unroutable::default();
    let met = |at| unroutable.met("jobs.fifo", "order_completd", Duration::from_secs(300), UnixMs(at));
    met(5);
    met(HOUR_MS);
    assert_eq!(warned_at(&unroutable, "jobs.fifo", "order_completd"), UnixMs(5));
    met(HOUR_MS + 5);
    assert_eq!(warned_at(&unroutable, "jobs.fifo", "order_completd"), UnixMs(HOUR_MS + 5));
    let listed = unroutable.listed(UnixMs(HOUR_MS + 6), |_| false);
    assert_eq!((listed.len(), listed[0].deliveries, listed[0].first_at), (1, 3, UnixMs(5)));
    assert!(listed[0].reason.contains("DLQ 5m after") && listed[0].reason.contains("groups"), "{listed:?}");
    assert!(unroutable.listed(UnixMs(HOUR_MS + 7), |kind| kind == "order_completd").is_empty());
    met(HOUR_MS + 8);
    assert!(unroutable.listed(UnixMs(30 * HOUR_MS), |_| false).is_empty(), "it has not come for a day");
}

#[test]
fn types_that_producers_make_up_use_up_neither_memory_nor_the_log() {
    let unroutable = Unroutable::default();
    for n in 0..3 * TYPES_MAX {
        unroutable.met("jobs", &format!("made-up-{n}"), DAY, UnixMs(7));
    }
    unroutable.met("jobs", &"x".repeat(10_000), DAY, UnixMs(8));
    let listed = unroutable.listed(UnixMs(9), |_| false);
    assert_eq!(listed.len(), TYPES_MAX + 1);
    assert!(listed.iter().any(|row| row.kind == OTHER && row.deliveries == 2 * TYPES_MAX as u64 + 1));
    assert_eq!(warned_at(&unroutable, "jobs", OTHER), UnixMs(7), "once for all of them");
    unroutable.met("jobs", "later", DAY, UnixMs(7 + HOUR_MS));
    assert!(unroutable.listed(UnixMs(8 + HOUR_MS), |_| false).iter().any(|row| row.kind == "later"));
}
