//! What has happened so far, by type and plugin: for `status`, the demo and the metrics.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard, RwLock};
use serde::Serialize;

use super::top_keys::TopKeys;
use super::usage::{CALLS, RunUsage};
use crate::telemetry::metrics::{self, Counter, Histogram};

/// The type that is counted for all those that have no line of their own.
const OTHER: &str = "(other)";
/// Types and plugins counted apart; what is over it counts as [`OTHER`].
const LINES_MAX: usize = 1_000;
/// And types that no plugin has: producers name them, and must not use up the others' room.
const UNROUTED_MAX: usize = 100;
/// Attempts counted apart: the first five, and all later ones.
pub const ATTEMPTS: [&str; 6] = ["1", "2", "3", "4", "5", "6+"];
/// The longest time that a percentile can tell: a day, in microseconds.
const LONGEST_US: u64 = 24 * 60 * 60 * 1_000_000;

/// Times, to the microsecond, kept as their distribution.
#[derive(Clone, Debug)]
pub struct Times(hdrhistogram::Histogram<u32>);

impl Default for Times {
    fn default() -> Self {
        Self(hdrhistogram::Histogram::new_with_max(LONGEST_US, 2).expect("the bounds are constant and valid"))
    }
}

impl Times {
    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record((time.as_micros() as u64).min(LONGEST_US));
    }

    /// The time that this part of them does not exceed, in milliseconds: 0.99 is the 99th
    /// percentile.
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

/// Counts and times since the host started. A line is found without a lock; only a new one takes
/// one.
#[derive(Default)]
pub struct Stats {
    lines: ArcSwap<Lines>,
    adding: Mutex<()>,
    /// Of the plugins whose manifests have a `cost_key`, by their names.
    keys: RwLock<BTreeMap<String, Arc<TopKeys>>>,
}

/// Lines by plugin, then by type.
type Lines = HashMap<String, Arc<HashMap<String, Arc<Line>>>>;

/// One plugin's part of one type.
pub struct Line {
    exits: RwLock<Vec<ExitCount>>,
    pub attempts: [Counter; ATTEMPTS.len()],
    pub duplicates: Counter,
    pub queue_wait: Histogram,
    pub run: Histogram,
    pub guest_cpu: Histogram,
    pub guest_memory: Histogram,
    pub retry_delay: Histogram,
    /// Processor time of all runs, also of those that were stopped or go on.
    pub cpu_ns: Counter,
    /// In the order of [`CALLS`].
    pub calls: [Counter; CALLS.len()],
    /// Bytes of the bodies of outbound requests, and of their answers, as they pass.
    pub sent_bytes: Counter,
    pub received_bytes: Counter,
    percentiles: Mutex<Percentiles>,
}

/// How often one exit had one settlement. There are few of them: a list is looked through faster
/// than a map.
struct ExitCount {
    exit: &'static str,
    settlement: &'static str,
    count: Counter,
}

#[derive(Default)]
struct Percentiles {
    run: Times,
    sent_to_done: Times,
    sent_to_start: Times,
}

/// One plugin's part of one type, as listings show it. Times in milliseconds.
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

/// How an attempt ended, as it is counted.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// The exit's class.
    pub exit: &'static str,
    /// The settlement's name.
    pub settlement: &'static str,
    /// For how long its message is hidden, if the attempt has failed and counts.
    pub retry_delay: Option<Duration>,
    /// How long ago its message was sent, if its handler has succeeded.
    pub sent_to_done: Option<Duration>,
}

impl Stats {
    /// A message was settled whose work another one had done.
    pub fn duplicate(&self, kind: &str, plugin: &str) {
        self.line(kind, plugin).duplicates.add(1);
    }

    /// All lines, by type and plugin.
    pub fn lines(&self) -> BTreeMap<(String, String), Arc<Line>> {
        let lines = self.lines.load();
        let all = lines.iter().flat_map(|(plugin, by_type)| {
            by_type.iter().map(move |(kind, line)| ((kind.clone(), plugin.clone()), line.clone()))
        });
        all.collect()
    }

    pub fn snapshot(&self) -> Vec<LineStats> {
        self.lines().into_iter().map(|((kind, plugin), line)| line.stats(kind, plugin)).collect()
    }

    /// How long after their sending all messages' handlers started.
    pub fn sent_to_start(&self) -> Times {
        let mut all = Times::default();
        self.lines().values().for_each(|line| all += &line.percentiles().sent_to_start);
        all
    }

    /// A plugin's keys, of which each ranking has room for so many.
    pub fn keys(&self, plugin: &str, capacity: usize) -> Arc<TopKeys> {
        if let Some(keys) = self.keys.read().get(plugin) {
            return keys.clone();
        }
        let new = || Arc::new(TopKeys::new(capacity));
        self.keys.write().entry(plugin.to_owned()).or_insert_with(new).clone()
    }

    /// All plugins that have keys.
    pub fn all_keys(&self) -> BTreeMap<String, Arc<TopKeys>> {
        self.keys.read().clone()
    }

    /// The line of a type and a plugin.
    pub fn line(&self, kind: &str, plugin: &str) -> Arc<Line> {
        if let Some(line) = find(&self.lines.load(), kind, plugin) {
            return line;
        }
        let _alone = self.adding.lock();
        let lines = self.lines.load_full();
        if let Some(line) = find(&lines, kind, plugin) {
            return line;
        }
        let kind = if is_full(&lines, plugin) { OTHER } else { kind };
        let mut lines = Lines::clone(&lines);
        let by_type = Arc::make_mut(lines.entry(plugin.to_owned()).or_default());
        let line = by_type.entry(kind.to_owned()).or_default().clone();
        self.lines.store(Arc::new(lines));
        line
    }
}

/// The line that counts this type of this plugin, once there is one.
fn find(lines: &Lines, kind: &str, plugin: &str) -> Option<Arc<Line>> {
    let by_type = lines.get(plugin)?;
    let others = || by_type.get(OTHER).filter(|_| is_full(lines, plugin));
    by_type.get(kind).or_else(others).cloned()
}

/// Whether there is no room for one more type of this plugin; or for one that no plugin has.
fn is_full(lines: &Lines, plugin: &str) -> bool {
    let unrouted = lines.get("").map_or(0, |by_type| by_type.len());
    if plugin.is_empty() {
        return unrouted >= UNROUTED_MAX;
    }
    lines.values().map(|by_type| by_type.len()).sum::<usize>() - unrouted >= LINES_MAX
}

impl Default for Line {
    fn default() -> Self {
        Self {
            exits: RwLock::default(),
            attempts: Default::default(),
            duplicates: Counter::default(),
            queue_wait: metrics::QUEUE_WAIT.histogram(),
            run: metrics::RUN_DURATION.histogram(),
            guest_cpu: metrics::GUEST_CPU.histogram(),
            guest_memory: metrics::GUEST_MEMORY.histogram(),
            retry_delay: metrics::RETRY_DELAY.histogram(),
            cpu_ns: Counter::default(),
            calls: Default::default(),
            sent_bytes: Counter::default(),
            received_bytes: Counter::default(),
            percentiles: Mutex::default(),
        }
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

impl Line {
    /// An attempt has ended.
    pub fn ended(&self, end: &End) {
        self.count(end.exit, end.settlement);
        if let Some(delay) = end.retry_delay {
            self.retry_delay.observe(delay);
        }
        if let Some(time) = end.sent_to_done {
            self.percentiles().sent_to_done.record(time);
        }
    }

    /// A handler ran its `attempt`, and started so long after its message was sent. Its processor
    /// time and its bytes are counted while it runs.
    pub fn ran(&self, attempt: u32, used: &RunUsage, sent_to_start: Duration) {
        self.attempts[(attempt.max(1) as usize).min(ATTEMPTS.len()) - 1].add(1);
        self.queue_wait.observe(sent_to_start);
        self.run.observe(used.elapsed);
        self.guest_cpu.observe(used.cpu);
        self.guest_memory.observe_bytes(used.memory_bytes);
        for (count, calls) in self.calls.iter().zip(used.calls.counts()).filter(|(_, calls)| *calls > 0) {
            count.add(u64::from(calls));
        }
        let mut percentiles = self.percentiles();
        percentiles.run.record(used.elapsed);
        percentiles.sent_to_start.record(sent_to_start);
    }

    /// Outbound requests.
    pub fn http_calls(&self) -> u64 {
        self.calls[0].get()
    }

    /// Every exit with each of its settlements, and how often it was seen.
    pub fn exits(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        let exits = self.exits.read();
        exits.iter().map(|seen| ((seen.exit, seen.settlement), seen.count.get())).collect()
    }

    fn count(&self, exit: &'static str, settlement: &'static str) {
        let is_it = |seen: &&ExitCount| seen.exit == exit && seen.settlement == settlement;
        if let Some(seen) = self.exits.read().iter().find(is_it) {
            return seen.count.add(1);
        }
        let mut exits = self.exits.write();
        match exits.iter().find(is_it) {
            Some(seen) => seen.count.add(1),
            None => {
                let count = Counter::default();
                count.add(1);
                exits.push(ExitCount { exit, settlement, count });
            }
        }
    }

    fn stats(&self, kind: String, plugin: String) -> LineStats {
        let mut exits: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut settled: BTreeMap<&'static str, u64> = BTreeMap::new();
        for ((exit, settlement), count) in self.exits() {
            *exits.entry(exit).or_default() += count;
            *settled.entry(settlement).or_default() += count;
        }
        let percentiles = self.percentiles();
        LineStats {
            kind,
            plugin,
            exits,
            runs: self.run.read().count(),
            duplicates: self.duplicates.get(),
            dead_lettered: settled.get("dead-letter").copied().unwrap_or(0),
            delayed: settled.get("delay").copied().unwrap_or(0),
            run_p50_ms: percentiles.run.ms(0.5),
            run_p99_ms: percentiles.run.ms(0.99),
            sent_to_start_p50_ms: percentiles.sent_to_start.ms(0.5),
            sent_to_start_p99_ms: percentiles.sent_to_start.ms(0.99),
            sent_to_done_p50_ms: percentiles.sent_to_done.ms(0.5),
            sent_to_done_p99_ms: percentiles.sent_to_done.ms(0.99),
        }
    }

    fn percentiles(&self) -> MutexGuard<'_, Percentiles> {
        self.percentiles.lock()
    }
}

#[cfg(test)]
mod tests;
