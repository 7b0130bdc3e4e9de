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

/// Times, to the microsecond, kept as their distribution.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u32>);

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new_with_max(LONGEST_US, 2).expect("the bounds are constant and valid"))
    }
}

impl Times {
    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record((time.as_micros() as u64).min(LONGEST_US));
    }

    /// The time that this part of them does not exceed, in milliseconds: 0.99 is the 99th percentile.
    pub fn ms(&self, part: f64) -> f64 {
        self.0.value_at_quantile(part) as f64 / 1_000.0
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }
}

impl Extend<Duration> for Times {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, times: I) {
        times.into_iter().for_each(|time| self.record(time));
    }
}

impl std::ops::AddAssign<&Times> for Times {
    fn add_assign(&mut self, other: &Times) {
        self.0 += &other.0;
    }
}

/// Counts and times since the host started.
#[derive(Default)]
pub struct Stats {
    lines: Mutex<BTreeMap<(String, String), Line>>,
}

#[derive(Default)]
struct Line {
    exits: BTreeMap<&'static str, u64>,
    runs: u64,
    duplicates: u64,
    dead_lettered: u64,
    delayed: u64,
    run: Times,
    sent_to_done: Times,
    sent_to_start: Times,
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
                line.sent_to_done.record(sent_to_now);
            }
        });
    }

    /// A handler ran for so long, and started so long after its message was sent.
    pub fn ran(&self, kind: &str, plugin: &str, elapsed: Duration, sent_to_start: Duration) {
        self.line(kind, plugin, |line| {
            line.runs += 1;
            line.run.record(elapsed);
            line.sent_to_start.record(sent_to_start);
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
        change(lines.entry(key).or_default());
    }

    pub fn snapshot(&self) -> Vec<LineStats> {
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
                run_p50_ms: line.run.ms(0.5),
                run_p99_ms: line.run.ms(0.99),
                sent_to_start_p50_ms: line.sent_to_start.ms(0.5),
                sent_to_start_p99_ms: line.sent_to_start.ms(0.99),
                sent_to_done_p50_ms: line.sent_to_done.ms(0.5),
                sent_to_done_p99_ms: line.sent_to_done.ms(0.99),
            })
            .collect()
    }

    /// How long after their sending all messages' handlers started.
    pub fn sent_to_start(&self) -> Times {
        let mut all = Times::default();
        self.lock().values().for_each(|line| all += &line.sent_to_start);
        all
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
