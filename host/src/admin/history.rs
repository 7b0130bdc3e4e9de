//! The last hour, in steps of five seconds: what the dashboard's charts are drawn from.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use wasq_core::message::UnixMs;

use crate::telemetry::export::Source;
use crate::telemetry::stats::Stats;

/// From one sample to the next.
pub const STEP: Duration = Duration::from_secs(5);
/// Samples that are kept: an hour of them.
pub const SAMPLES_MAX: usize = 720;

/// The kept samples, oldest first.
#[derive(Default)]
pub struct History {
    samples: Mutex<VecDeque<Arc<Sample>>>,
}

/// What was so at one moment.
#[derive(Clone, Debug)]
pub struct Sample {
    pub at: UnixMs,
    pub counts: Totals,
    pub busy: usize,
    /// In the order of the host's queues.
    pub queues: Vec<QueueSample>,
}

/// How deliveries have ended since the host started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub done: u64,
    /// Attempts that failed, and will be repeated.
    pub failed: u64,
    pub dead_lettered: u64,
}

#[derive(Clone, Debug)]
pub struct QueueSample {
    pub lag_s: Option<f64>,
    pub visible: Option<f64>,
    pub in_flight: Option<f64>,
    pub dead_letters: Option<f64>,
}

/// Exits of handlers that failed. A held message, one whose breaker is open for instance, has not
/// failed.
const FAILURES: [&str; 8] =
    ["retry", "unavailable", "timeout", "trap", "out-of-memory", "exited", "bad-result", "outbox"];

impl Totals {
    pub fn of(stats: &Stats) -> Self {
        let mut counts = Self::default();
        for line in stats.lines().values() {
            for ((exit, settlement), count) in line.exits() {
                match (exit, settlement) {
                    (_, "dead-letter") => counts.dead_lettered += count,
                    ("done" | "discard", _) => counts.done += count,
                    (exit, _) if FAILURES.contains(&exit) => counts.failed += count,
                    (_, _) => {}
                }
            }
        }
        counts
    }
}

impl History {
    /// The latest samples, oldest first, at most so many.
    pub fn latest(&self, count: usize) -> Vec<Arc<Sample>> {
        let samples = self.samples.lock();
        samples.iter().skip(samples.len().saturating_sub(count)).cloned().collect()
    }

    /// Samples again and again.
    pub async fn keep(self: Arc<Self>, source: Source) {
        let mut ticks = tokio::time::interval(STEP);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.push(Sample::now(&source));
        }
    }

    fn push(&self, sample: Sample) {
        let mut samples = self.samples.lock();
        if samples.len() >= SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back(Arc::new(sample));
    }
}

impl Sample {
    pub fn now(source: &Source) -> Self {
        let runtimes = source.runtimes();
        let queues = runtimes.iter().map(|runtime| QueueSample {
            lag_s: runtime.meters.lag_s.get(),
            visible: runtime.meters.visible.get(),
            in_flight: runtime.meters.in_flight.get(),
            dead_letters: runtime.meters.dead_letters.get(),
        });
        Self {
            at: source.services.clock.unix_ms(),
            counts: Totals::of(&source.services.stats),
            busy: source.services.permits.usage().busy,
            queues: queues.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_an_hour() {
        let history = History::default();
        for n in 0..SAMPLES_MAX as u64 + 10 {
            history.push(Sample { at: UnixMs(n), counts: Totals::default(), busy: 0, queues: Vec::new() });
        }
        let (all, last) = (history.latest(usize::MAX), history.latest(2));
        assert_eq!((all.len(), all[0].at, last.len(), last[1].at), (SAMPLES_MAX, UnixMs(10), 2, UnixMs(729)));
    }
}
