//! `concurrency = "auto"`: how many of a queue's deliveries a host has in hand is found by how long
//! runs take.
//!
//! This is the gradient of Netflix's concurrency-limits (Performance Under Load, 2018), which
//! follows TCP Vegas (Brakmo and Peterson, 1994): where runs take longer than they do while few
//! run, what they call has a line before it, and more at once would only lengthen that line.
//!
//! - Runs are compared with those of the same plugin, by their mean of logarithms. So neither a
//!   queue with short and long handlers nor a few slow calls look like a slow dependency.
//! - One cohort of runs at a time is looked at: those that start within a second, or more if they
//!   are few. It begins when what ran under the limit before has mostly ended.
//! - How long a plugin's runs usually take is learned while little runs: at the lower bound, and in
//!   a cohort with a quarter of the limit, once a minute while the limit is held back. So it does
//!   not creep up with the line itself.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Starts are counted for so long at least, and until there are so many.
const COHORT: Duration = Duration::from_secs(1);
const COHORT_RUNS: usize = 16;
/// After this long, plugins whose runs still run are left out of a cohort.
const PATIENCE: Duration = Duration::from_secs(4);
/// How many times as long as usual runs may take before the limit goes down.
const TOLERANCE: f64 = 1.5;
/// The limit becomes at most so much smaller by one cohort.
const STEEPEST: f64 = 0.5;
/// The limit becomes so much smaller where a run was refused.
const REFUSED: f64 = 0.9;
/// How often the usual time is looked at anew while the limit is held back, and with which part of
/// the limit.
const PROBE_EVERY: Duration = Duration::from_secs(60);
const PROBE_SHARE: f64 = 0.25;
/// Where a host begins.
const FIRST: f64 = 16.0;
/// A limit of which so much is in use may grow.
const IN_USE: f64 = 0.8;

/// The limit of one queue.
pub struct AutoLimit {
    min: f64,
    max: f64,
    limit: f64,
    /// The limit to go back to after a cohort with few.
    probed_from: Option<f64>,
    probed_at: Instant,
    /// The logarithm of the seconds that a plugin's runs take while few run.
    usual: BTreeMap<String, f64>,
    cohort: Cohort,
    counter: u64,
    /// How many times as long as usual the last cohort's runs took.
    slowness: f64,
}

/// Runs that started one after the other.
struct Cohort {
    opens: Instant,
    is_open: bool,
    starts: usize,
    most_in_use: usize,
    is_refused: bool,
    plugins: BTreeMap<String, Runs>,
}

/// A plugin's runs of a cohort.
#[derive(Default)]
struct Runs {
    ended: usize,
    /// Of the logarithms of their seconds.
    sum: f64,
    running: BTreeMap<u64, Instant>,
}

/// How a run ended, for the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// It took so long for what it had to do, or longer.
    Took(Duration),
    /// What it calls refused it for now.
    Refused,
    /// It says nothing: it failed in its own way, or was given up.
    Unknown,
}

impl AutoLimit {
    pub fn new(min: usize, max: usize, now: Instant) -> Self {
        let (min, max) = (min as f64, max as f64);
        Self {
            min,
            max,
            limit: FIRST.clamp(min, max),
            probed_from: None,
            probed_at: now,
            usual: BTreeMap::new(),
            cohort: Cohort::opening(now),
            counter: 0,
            slowness: 1.0,
        }
    }

    pub fn limit(&self) -> usize {
        self.limit as usize
    }

    /// How many times as long as usual the last runs took that were looked at.
    pub fn slowness(&self) -> f64 {
        self.slowness
    }

    /// Whether the last runs were slower than is borne.
    pub fn is_held_back(&self) -> bool {
        self.slowness > TOLERANCE
    }

    /// A run starts, while so many are in hand. The number is the run's.
    pub fn start(&mut self, plugin: &str, in_use: usize, now: Instant) -> u64 {
        self.counter += 1;
        let cohort = &mut self.cohort;
        if cohort.is_open && now >= cohort.opens {
            cohort.starts += 1;
            cohort.most_in_use = cohort.most_in_use.max(in_use);
            match cohort.plugins.get_mut(plugin) {
                Some(runs) => runs.running.insert(self.counter, now),
                None => cohort.plugins.entry(plugin.to_owned()).or_default().running.insert(self.counter, now),
            };
            cohort.is_open = cohort.starts < COHORT_RUNS || now < cohort.opens + COHORT;
        }
        self.counter
    }

    /// A run ends. The limit may be another one then.
    pub fn end(&mut self, plugin: &str, run: u64, end: RunEnd, now: Instant) {
        let cohort = &mut self.cohort;
        let Some(runs) = cohort.plugins.get_mut(plugin) else { return };
        if runs.running.remove(&run).is_none() {
            return;
        }
        match end {
            RunEnd::Took(time) => runs.took(time),
            RunEnd::Refused => cohort.is_refused = true,
            RunEnd::Unknown => {}
        }
        // A cohort of which nothing but one is known is still one.
        let is_whole = cohort.starts >= COHORT_RUNS && now >= cohort.opens + COHORT;
        let is_over = cohort.plugins.values().all(|runs| runs.running.is_empty());
        if is_whole && (is_over || now >= cohort.opens + PATIENCE) {
            self.look(now);
        }
    }

    /// A message found no permit of the pools that its plugin needs: more are in hand than they do.
    pub fn refused(&mut self) {
        self.cohort.is_refused = true;
    }

    /// Looks at what the cohort's runs took, and begins the next.
    fn look(&mut self, now: Instant) {
        let Some(seen) = self.seen(now) else {
            // Of those whose runs have ended none says anything.
            if self.cohort.plugins.values().all(|runs| runs.running.is_empty()) {
                if self.cohort.is_refused {
                    self.limit = (self.limit * REFUSED).max(self.min);
                }
                self.next_cohort(Duration::ZERO, now);
            }
            return;
        };
        let before = self.limit;
        match self.probed_from.take() {
            Some(limit) => {
                self.limit = limit;
                self.probed_at = now;
            }
            None => self.limit = self.next_limit(&seen, now),
        }
        self.slowness = seen.slowness;
        // What ran under the old limit still has its line before it.
        let settling = if self.limit as usize == before as usize { Duration::ZERO } else { seen.typical };
        self.next_cohort(settling, now);
    }

    fn next_limit(&mut self, seen: &Seen, now: Instant) -> f64 {
        let gradient = (TOLERANCE / seen.slowness).clamp(STEEPEST, 1.0);
        let is_held_back = gradient < 1.0 || self.cohort.is_refused;
        if is_held_back && self.limit > self.min && now >= self.probed_at + PROBE_EVERY {
            self.probed_from = Some(self.limit);
            return (self.limit * PROBE_SHARE).max(self.min);
        }
        let is_in_use = self.cohort.most_in_use as f64 >= self.limit * IN_USE;
        let next = match (self.cohort.is_refused, is_held_back || is_in_use) {
            (true, _) => self.limit * gradient.min(REFUSED),
            (false, true) => self.limit * gradient + self.limit.sqrt(),
            (false, false) => self.limit,
        };
        next.clamp(self.min, self.max)
    }

    /// What the cohort's runs took, and what is usual from now on; none where none says anything.
    fn seen(&mut self, now: Instant) -> Option<Seen> {
        let is_probe = self.probed_from.is_some();
        let is_least = self.limit <= self.min;
        let (mut runs_seen, mut longer, mut took) = (0.0, 0.0, 0.0);
        for (plugin, runs) in &mut self.cohort.plugins {
            let usual = self.usual.get(plugin).copied();
            if !runs.close(usual, now) {
                continue;
            }
            let (count, mean) = (runs.ended as f64, runs.sum / runs.ended as f64);
            longer += count * (mean - usual.unwrap_or(mean));
            took += runs.sum;
            runs_seen += count;
            let learned = match usual {
                None => mean,
                Some(_) if is_probe => mean,
                Some(usual) if is_least => usual + (mean - usual) / 2.0,
                Some(usual) if mean < usual => usual + (mean - usual) / 4.0,
                Some(usual) => usual,
            };
            self.usual.insert(plugin.clone(), learned);
        }
        (runs_seen > 0.0).then(|| Seen {
            slowness: (longer / runs_seen).exp(),
            typical: Duration::from_secs_f64((took / runs_seen).exp()),
        })
    }

    fn next_cohort(&mut self, settling: Duration, now: Instant) {
        self.cohort = Cohort::opening(now + settling);
    }
}

/// What a cohort says.
struct Seen {
    /// How many times as long as usual its runs took.
    slowness: f64,
    /// How long.
    typical: Duration,
}

impl Cohort {
    fn opening(opens: Instant) -> Self {
        Self { opens, is_open: true, starts: 0, most_in_use: 0, is_refused: false, plugins: BTreeMap::new() }
    }
}

impl Runs {
    fn took(&mut self, time: Duration) {
        self.ended += 1;
        self.sum += time.as_secs_f64().max(1e-6).ln();
    }

    /// Whether they say anything: some have ended, and those that have not are late already. Runs
    /// of which only the short ones have ended would say that all are short.
    fn close(&mut self, usual: Option<f64>, now: Instant) -> bool {
        let late = |start: &Instant| {
            let so_far = now.saturating_duration_since(*start);
            usual.is_some_and(|usual| so_far.as_secs_f64() > usual.exp() * TOLERANCE * 2.0).then_some(so_far)
        };
        let times: Option<Vec<_>> = self.running.values().map(late).collect();
        let Some(times) = times else { return false };
        times.into_iter().for_each(|time| self.took(time));
        self.ended > 0
    }
}

#[cfg(test)]
mod tests;
