//! What has happened so far, by type and plugin: for `status`, the demo and, later, metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::exit::Exit;
use crate::flow::decide::Settlement;

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
    exits: BTreeMap<&'static str, u64>,
    runs: u64,
    duplicates: u64,
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
    /// Handlers that were started and returned, trapped or timed out.
    pub runs: u64,
    /// Messages whose work another message with the same key had done.
    pub duplicates: u64,
    pub dead_lettered: u64,
    pub delayed: u64,
    pub run_p50_ms: f64,
    pub run_p99_ms: f64,
    pub sent_to_start_p50_ms: f64,
    pub sent_to_start_p99_ms: f64,
    pub sent_to_done_p50_ms: f64,
    pub sent_to_done_p99_ms: f64,
}

impl Stats {
    /// A share's exit and settlement, `sent_to_now` after its message was sent.
    pub fn exit(&self, kind: &str, plugin: &str, exit: &Exit, settled: &Settlement, sent_to_now: Duration) {
        self.line(kind, plugin, |line| {
            *line.exits.entry(exit.class()).or_default() += 1;
            line.dead_lettered += u64::from(*settled == Settlement::DeadLetter);
            line.delayed += u64::from(matches!(settled, Settlement::Delay { .. }));
            if let (Exit::Done { .. }, Settlement::Delete { .. }) = (exit, settled) {
                record(&mut line.sent_to_done, sent_to_now);
            }
        });
    }

    /// A handler ran for so long, and started so long after its message was sent.
    pub fn ran(&self, kind: &str, plugin: &str, elapsed: Duration, sent_to_start: Duration) {
        self.line(kind, plugin, |line| {
            line.runs += 1;
            record(&mut line.run, elapsed);
            record(&mut line.sent_to_start, sent_to_start);
        });
    }

    /// A message was settled whose work another one had done.
    pub fn duplicate(&self, kind: &str, plugin: &str) {
        self.line(kind, plugin, |line| line.duplicates += 1);
    }

    fn line(&self, kind: &str, plugin: &str, change: impl FnOnce(&mut Line)) {
        let mut lines = self.lock();
        let mut key = (kind.to_owned(), plugin.to_owned());
        if lines.len() >= LINES_MAX && !lines.contains_key(&key) {
            key.0 = "(other)".into();
        }
        change(lines.entry(key).or_insert_with(Line::new));
    }

    pub fn snapshot(&self) -> Vec<LineStats> {
        let ms = |histogram: &Histogram<u32>, quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        self.lock()
            .iter()
            .map(|((kind, plugin), line)| LineStats {
                kind: kind.clone(),
                plugin: plugin.clone(),
                exits: line.exits.clone(),
                runs: line.runs,
                duplicates: line.duplicates,
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
            exits: BTreeMap::new(),
            runs: 0,
            duplicates: 0,
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
