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
mod tests;
