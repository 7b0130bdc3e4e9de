//! Numbers that many threads change and few read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that comes and goes; none until it is set.
#[derive(Debug)]
pub struct Gauge(AtomicU64);

impl Default for Gauge {
    fn default() -> Self {
        Self(AtomicU64::new(f64::NAN.to_bits()))
    }
}

impl Gauge {
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    pub fn clear(&self) {
        self.set(f64::NAN);
    }

    pub fn get(&self) -> Option<f64> {
        Some(f64::from_bits(self.0.load(Ordering::Relaxed))).filter(|value| !value.is_nan())
    }
}

/// How many observations fell under each bound, and their sum.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for what is over the last.
    counts: Box<[AtomicU64]>,
    /// In nanoseconds, or in bytes: whole numbers add up without a lock.
    sum: AtomicU64,
    /// How many steps of `sum` one of the metric's unit has.
    steps: f64,
}

/// A histogram as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub bounds: &'static [f64],
    /// Observations in each bucket alone, the one over the last bound included.
    pub counts: Vec<u64>,
    pub sum: f64,
}

const NANOS_PER_S: f64 = 1e9;

impl Histogram {
    /// Of times. The bounds are in seconds and ascend.
    pub fn of_seconds(bounds: &'static [f64]) -> Self {
        Self::new(bounds, NANOS_PER_S)
    }

    /// Of sizes. The bounds are in bytes and ascend.
    pub fn of_bytes(bounds: &'static [f64]) -> Self {
        Self::new(bounds, 1.0)
    }

    fn new(bounds: &'static [f64], steps: f64) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0), steps }
    }

    /// Of a histogram of times.
    pub fn observe(&self, time: Duration) {
        self.record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Of a histogram of sizes.
    pub fn observe_bytes(&self, bytes: u64) {
        self.record(bytes);
    }

    fn record(&self, steps: u64) {
        let value = steps as f64 / self.steps;
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(steps, Ordering::Relaxed);
    }

    pub fn read(&self) -> Snapshot {
        Snapshot {
            bounds: self.bounds,
            counts: self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed) as f64 / self.steps,
        }
    }
}

impl Snapshot {
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests;
