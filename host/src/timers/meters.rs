//! What is counted of timers.

use wasq_core::meters::{Counter, Histogram};

use crate::telemetry::metrics::TIMER_LATENESS;

/// What one host did with timers.
#[derive(Debug)]
pub struct TimerMeters {
    /// Messages of queues that were stored to be sent again.
    pub parked: Counter,
    /// Messages of outboxes that were stored.
    pub delayed: Counter,
    pub sent: Counter,
    /// Sends that a queue did not take, and looks that the ledger did not answer.
    pub failures: Counter,
    /// From when a message was due until it was in its queue.
    pub lateness: Histogram,
}

impl Default for TimerMeters {
    fn default() -> Self {
        let [parked, delayed, sent, failures] = Default::default();
        Self { parked, delayed, sent, failures, lateness: TIMER_LATENESS.histogram() }
    }
}
