use super::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn percentiles_are_by_the_nearest_rank() {
    let check = |count: u64, expect: Option<(u64, u64)>| {
        let found = Percentiles::of((1..=count).rev().map(ms).collect());
        assert_eq!(found, expect.map(|(p50, p99)| Percentiles { p50: ms(p50), p99: ms(p99) }), "{count}");
    };
    check(0, None);
    check(1, Some((1, 1)));
    check(2, Some((1, 2)));
    check(100, Some((50, 99)));
    check(1000, Some((500, 990)));
}

#[test]
fn times_are_short() {
    for (duration, expect) in [
        (Duration::from_micros(840), "0.8 ms"),
        (ms(42), "42 ms"),
        (ms(999), "999 ms"),
        (ms(1240), "1.24 s"),
        (ms(75_000), "75.00 s"),
    ] {
        assert_eq!(time(duration), expect);
    }
}

#[test]
fn the_table_shows_each_row_and_the_comparison() {
    let row = |plugin: &str, retried, latency| Row {
        kind: "order_completed".to_owned(),
        plugin: plugin.to_owned(),
        sent: 211,
        done: 200,
        retried,
        duplicates: 10,
        dead_lettered: 1,
        latency,
    };
    let rows =
        [row("send-receipt", 0, Some(Percentiles { p50: ms(150), p99: ms(420) })), row("notify-partner", 17, None)];
    let comparison = Comparison {
        inline: Percentiles { p50: ms(480), p99: ms(510) },
        enqueue: Percentiles { p50: Duration::from_micros(1200), p99: ms(4) },
    };
    let text = render(&rows, &comparison, 110);
    let cells =
        |line: &str| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect();
    let lines: Vec<Vec<String>> = text.lines().map(cells).collect();
    for expect in [
        vec!["type", "plugin", "sent", "done", "retried", "duplicates suppressed", "dead lettered", "p50", "p99"],
        vec!["order_completed", "send-receipt", "211", "200", "0", "10", "1", "150 ms", "420 ms"],
        vec!["order_completed", "notify-partner", "211", "200", "17", "10", "1", "-", "-"],
        vec!["inline, every call in the request", "p50", "480 ms", "p99", "510 ms"],
        vec!["enqueued, then 202", "p50", "1.2 ms", "p99", "4.0 ms"],
        vec!["400 times shorter, by p50"],
    ] {
        assert!(lines.iter().any(|line| *line == expect), "{expect:?} is not in\n{text}");
    }
    for width in [80, 60] {
        let shown = render(&rows, &comparison, width);
        let table = shown.split("\n\n").next().unwrap();
        assert!(table.lines().all(|line| line.chars().count() <= width), "{width}:\n{shown}");
        assert!(table.contains("order_comple"), "{shown}");
    }
}
