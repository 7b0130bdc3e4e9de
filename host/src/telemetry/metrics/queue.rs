//! One queue's meters.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use wasq_core::message::UnixMs;

use super::{Counter, Gauge, Histogram, SETTLE_DURATION};

/// Codes of failed receives told apart. The queue names them, so there must be a limit; what is
/// over it counts as `(other)`.
const CODES_MAX: usize = 32;
/// What has held a message back within this time still does.
const LATELY: Duration = Duration::from_secs(30);

/// What is counted of one queue, and what was last sampled of it.
pub struct QueueMeters {
    pub received: Counter,
    /// Messages that were taken off the queue.
    pub deleted: Counter,
    pub settle_duration: Histogram,
    pub lag_s: Gauge,
    pub last_poll_s: Gauge,
    pub lease_renewals: Counter,
    pub lease_losses: Counter,
    pub failed_deletes: Counter,
    pub failed_visibility_changes: Counter,
    /// Sampled: the queue's own counts, and its DLQ's.
    pub visible: Gauge,
    pub in_flight: Gauge,
    pub delayed: Gauge,
    pub dead_letters: Gauge,
    pub oldest_dead_letter_s: Gauge,
    poll_failures: Mutex<BTreeMap<String, u64>>,
    /// What has held messages back, and when last.
    limited_by: Mutex<BTreeMap<String, Instant>>,
}

impl Default for QueueMeters {
    fn default() -> Self {
        Self {
            received: Counter::default(),
            deleted: Counter::default(),
            settle_duration: SETTLE_DURATION.histogram(),
            lag_s: Gauge::default(),
            last_poll_s: Gauge::default(),
            lease_renewals: Counter::default(),
            lease_losses: Counter::default(),
            failed_deletes: Counter::default(),
            failed_visibility_changes: Counter::default(),
            visible: Gauge::default(),
            in_flight: Gauge::default(),
            delayed: Gauge::default(),
            dead_letters: Gauge::default(),
            oldest_dead_letter_s: Gauge::default(),
            poll_failures: Mutex::default(),
            limited_by: Mutex::default(),
        }
    }
}

impl QueueMeters {
    /// A receive was answered at `now` with so many messages, the last of which was sent at
    /// `last_sent`.
    pub fn polled(&self, count: usize, last_sent: Option<UnixMs>, now: UnixMs) {
        self.received.add(count as u64);
        let age_ms = last_sent.map_or(0, |sent| now.0.saturating_sub(sent.0));
        self.lag_s.set(Duration::from_millis(age_ms).as_secs_f64());
        self.last_poll_s.set(Duration::from_millis(now.0).as_secs_f64());
    }

    pub fn poll_failed(&self, code: &str) {
        let mut failures = self.poll_failures.lock();
        let code = if failures.len() < CODES_MAX || failures.contains_key(code) { code } else { "(other)" };
        *failures.entry(code.to_owned()).or_default() += 1;
    }

    /// A message waits for this limit. There are as many as the config and the plugins have.
    pub fn limited(&self, by: String, now: Instant) {
        self.limited_by.lock().insert(by, now);
    }

    /// What has held messages back lately.
    pub fn limited_by(&self, now: Instant) -> BTreeSet<String> {
        let mut limited_by = self.limited_by.lock();
        limited_by.retain(|_, at| now.saturating_duration_since(*at) < LATELY);
        limited_by.keys().cloned().collect()
    }

    /// Receives that failed, by the code of their error.
    pub fn poll_failures(&self) -> BTreeMap<String, u64> {
        self.poll_failures.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_over_the_limit_are_counted_together() {
        let meters = QueueMeters::default();
        for index in 0..CODES_MAX + 5 {
            meters.poll_failed(&format!("Code{index}"));
        }
        meters.poll_failed("Code0");
        let failures = meters.poll_failures();
        assert_eq!((failures["Code0"], failures["(other)"], failures.len()), (2, 5, CODES_MAX + 1));
    }

    #[test]
    fn an_empty_receive_ends_the_lag() {
        let meters = QueueMeters::default();
        meters.polled(3, Some(UnixMs(1_000)), UnixMs(4_500));
        assert_eq!((meters.lag_s.get(), meters.last_poll_s.get(), meters.received.get()), (Some(3.5), Some(4.5), 3));
        meters.polled(0, None, UnixMs(5_000));
        assert_eq!((meters.lag_s.get(), meters.received.get()), (Some(0.0), 3));
    }
}
