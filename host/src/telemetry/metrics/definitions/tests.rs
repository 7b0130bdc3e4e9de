use std::collections::BTreeSet;

use super::*;

#[test]
fn names_follow_the_conventions_of_prometheus() {
    let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), ALL.len(), "a name is taken twice");
    for metric in ALL {
        let name = metric.name;
        assert!(name.starts_with("wasq_") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
        let unit = name.trim_end_matches("_total");
        assert_eq!(unit.ends_with("_seconds"), metric.unit == Unit::Seconds, "{name}");
        assert_eq!(unit.ends_with("_bytes"), metric.unit == Unit::Bytes, "{name}");
        assert!(metric.help.ends_with('.') && !metric.help.contains('\n'), "{name}");
        if let Kind::Histogram(bounds) = metric.kind {
            assert!(bounds.is_sorted_by(|a, b| a < b), "{name}");
        }
    }
}

#[test]
fn a_collector_makes_the_same_names_again() {
    let check = |metric: &Metric, expect: &str| assert_eq!(metric.otel_name(), expect);
    check(&EXITS, "wasq.exits");
    check(&LAG, "wasq.lag");
    check(&GUEST_MEMORY, "wasq.guest_memory");
    check(&EGRESS_BYTES, "wasq.egress");
    check(&IN_HAND, "wasq.in_hand");
    check(&RUN_DURATION, "messaging.process.duration");
}
