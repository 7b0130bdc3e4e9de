//! The table at the end of the demo. Pure: from numbers to text.

use std::time::Duration;

use crate::cli::table::{Table, name, number};

/// The middle and the slow end of some durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentiles {
    pub p50: Duration,
    pub p99: Duration,
}

impl Percentiles {
    /// By the nearest rank: each is one of the durations. `None` when there are none.
    pub fn of(mut durations: Vec<Duration>) -> Option<Self> {
        durations.sort_unstable();
        let rank = |percent: usize| durations.get((durations.len() * percent).div_ceil(100).checked_sub(1)?).copied();
        Some(Percentiles { p50: rank(50)?, p99: rank(99)? })
    }
}

/// What became of the messages of one type in one plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The message's type.
    pub kind: String,
    pub plugin: String,
    /// Messages sent, twins included.
    pub sent: u64,
    /// Completions recorded.
    pub done: u64,
    /// Attempts after the first.
    pub retried: u64,
    /// Deliveries that found their work done, and did nothing.
    pub duplicates: u64,
    pub dead_lettered: u64,
    /// From send to done.
    pub latency: Option<Percentiles>,
}

/// What a customer waits for, in the two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// Every call made in the request.
    pub inline: Percentiles,
    /// The message enqueued and 202 answered.
    pub enqueue: Percentiles,
}

/// The table, no wider than so many columns, and under it the comparison. Ends with a newline.
pub fn render(rows: &[Row], comparison: &Comparison, width: usize) -> String {
    let numbers = ["sent", "done", "retried", "duplicates suppressed", "dead lettered", "p50", "p99"].map(number);
    let mut table = Table::new([name("type"), name("plugin")].into_iter().chain(numbers));
    for row in rows {
        let counts = [row.sent, row.done, row.retried, row.duplicates, row.dead_lettered];
        let latency =
            |of: fn(&Percentiles) -> Duration| row.latency.as_ref().map_or("-".to_owned(), |latency| time(of(latency)));
        let counts = counts.map(|count| count.to_string());
        let times = [latency(|latency| latency.p50), latency(|latency| latency.p99)];
        table.add([row.kind.clone(), row.plugin.clone()].into_iter().chain(counts).chain(times));
    }
    let Comparison { inline, enqueue } = comparison;
    format!(
        "{}\n\n What the customer waits for\n  inline, every call in the request   p50 {:>8}   p99 {:>8}\n  \
         enqueued, then 202                  p50 {:>8}   p99 {:>8}\n{}",
        table.render(width),
        time(inline.p50),
        time(inline.p99),
        time(enqueue.p50),
        time(enqueue.p99),
        ratio(inline.p50, enqueue.p50),
    )
}

fn ratio(inline: Duration, enqueue: Duration) -> String {
    if enqueue.is_zero() {
        return String::new();
    }
    let times = inline.as_secs_f64() / enqueue.as_secs_f64();
    format!("  {times:.0} times shorter, by p50\n")
}

/// With the unit that keeps it short: `0.8 ms`, `42 ms`, `1.24 s`.
fn time(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1000.0;
    match ms {
        ..10.0 => format!("{ms:.1} ms"),
        ..1000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.2} s", ms / 1000.0),
    }
}

#[cfg(test)]
mod tests {
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
}
