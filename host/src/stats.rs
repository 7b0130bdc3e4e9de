//! What has happened so far, by type and plugin: for `status`, the demo and, later, metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Types and plugins counted apart. A producer names types, so there must be a limit; what is over it counts as `(other)`.
const LINES_MAX: usize = 1_000;
/// The longest time that a percentile can tell: a day, in microseconds.
const LONGEST_US: u64 = 24 * 60 * 60 * 1_000_000;

/// Counts and times since the host started.
#[derive(Default)]
pub struct Stats {
    lines: Mutex<BTreeMap<(String, String), Line>>,
}

struct Line {
    by_class: BTreeMap<&'static str, u64>,
    redelivered: u64,
    dead_lettered: u64,
    delayed: u64,
    run: Histogram<u32>,
    sent_to_done: Histogram<u32>,
    sent_to_start: Histogram<u32>,
}

/// One plugin's share of one type, as listings show it. Times in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct LineStats {
    #[serde(rename = "type")]
    pub kind: String,
    pub plugin: String,
    /// How often each exit was seen.
    pub exits: BTreeMap<&'static str, u64>,
    /// Deliveries of a message that this plugin had finished before: another plugin's retry, or a lost delete.
    pub redelivered: u64,
    pub dead_lettered: u64,
    pub delayed: u64,
    pub run_p50_ms: f64,
    pub run_p99_ms: f64,
    pub sent_to_start_p50_ms: f64,
    pub sent_to_start_p99_ms: f64,
    pub sent_to_done_p50_ms: f64,
    pub sent_to_done_p99_ms: f64,
}

/// What is counted of one exit.
pub struct Observation<'a> {
    pub kind: &'a str,
    /// Empty when no plugin was involved.
    pub plugin: &'a str,
    pub class: &'static str,
    pub dead_lettered: bool,
    pub delayed: bool,
    /// How long the handler ran, and how long after the send it started.
    pub run: Option<(Duration, Duration)>,
    /// From the send to the record of its completion.
    pub sent_to_done: Option<Duration>,
}

impl Stats {
    pub fn observe(&self, seen: &Observation<'_>) {
        let mut lines = self.lock();
        let mut key = (seen.kind.to_owned(), seen.plugin.to_owned());
        if lines.len() >= LINES_MAX && !lines.contains_key(&key) {
            key.0 = "(other)".into();
        }
        let line = lines.entry(key).or_insert_with(Line::new);
        *line.by_class.entry(seen.class).or_default() += 1;
        line.dead_lettered += u64::from(seen.dead_lettered);
        line.delayed += u64::from(seen.delayed);
        if let Some((run, sent_to_start)) = seen.run {
            record(&mut line.run, run);
            record(&mut line.sent_to_start, sent_to_start);
        }
        if let Some(sent_to_done) = seen.sent_to_done {
            record(&mut line.sent_to_done, sent_to_done);
        }
    }

    /// A delivery of what this plugin had finished before.
    pub fn redelivered(&self, kind: &str, plugin: &str) {
        self.lock().entry((kind.to_owned(), plugin.to_owned())).or_insert_with(Line::new).redelivered += 1;
    }

    pub fn snapshot(&self) -> Vec<LineStats> {
        let ms = |histogram: &Histogram<u32>, quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        self.lock()
            .iter()
            .map(|((kind, plugin), line)| LineStats {
                kind: kind.clone(),
                plugin: plugin.clone(),
                exits: line.by_class.clone(),
                redelivered: line.redelivered,
                dead_lettered: line.dead_lettered,
                delayed: line.delayed,
                run_p50_ms: ms(&line.run, 0.5),
                run_p99_ms: ms(&line.run, 0.99),
                sent_to_start_p50_ms: ms(&line.sent_to_start, 0.5),
                sent_to_start_p99_ms: ms(&line.sent_to_start, 0.99),
                sent_to_done_p50_ms: ms(&line.sent_to_done, 0.5),
                sent_to_done_p99_ms: ms(&line.sent_to_done, 0.99),
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn new() -> Self {
        let histogram = || Histogram::new_with_max(LONGEST_US, 2).expect("the bounds are constant and valid");
        Self {
            by_class: BTreeMap::new(),
            redelivered: 0,
            dead_lettered: 0,
            delayed: 0,
            run: histogram(),
            sent_to_done: histogram(),
            sent_to_start: histogram(),
        }
    }
}

fn record(histogram: &mut Histogram<u32>, time: Duration) {
    histogram.saturating_record((time.as_micros() as u64).min(LONGEST_US));
}
