use super::*;

#[test]
fn what_equals_a_bound_is_under_it_and_what_is_over_the_last_is_kept() {
    let histogram = Histogram::of_seconds(&[0.5, 1.0, 2.0, 3_600.0]);
    for ms in [0, 500, 501, 1_000, 100_000_000] {
        histogram.observe(Duration::from_millis(ms));
    }
    let read = histogram.read();
    assert_eq!(read.counts[..3], [2, 2, 0]);
    assert_eq!((read.counts.last(), read.count()), (Some(&1), 5));
    assert!((read.sum - 100_002.001).abs() < 1e-6, "{}", read.sum);

    let histogram = Histogram::of_bytes(&[131_072.0, 262_144.0]);
    histogram.observe_bytes(131_072);
    assert_eq!((histogram.read().counts[0], histogram.read().sum), (1, 131_072.0));
}

#[test]
fn a_gauge_is_nothing_until_it_is_set() {
    let gauge = Gauge::default();
    assert_eq!(gauge.get(), None);
    gauge.set(0.0);
    assert_eq!(gauge.get(), Some(0.0));
    gauge.clear();
    assert_eq!(gauge.get(), None);
}
