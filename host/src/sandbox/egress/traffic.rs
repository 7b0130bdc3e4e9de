//! How many bytes of bodies go out and come in.

use std::sync::Arc;

use crate::telemetry::metrics::Counter;
use crate::telemetry::stats::Line;

/// The bytes of one run's bodies, counted for its type and plugin too.
#[derive(Default)]
pub struct Traffic {
    line: Arc<Line>,
    sent: Counter,
    received: Counter,
}

impl Traffic {
    pub fn of(line: Arc<Line>) -> Self {
        Self { line, ..Self::default() }
    }

    pub fn sent(&self, bytes: usize) {
        self.sent.add(bytes as u64);
        self.line.sent_bytes.add(bytes as u64);
    }

    pub fn received(&self, bytes: usize) {
        self.received.add(bytes as u64);
        self.line.received_bytes.add(bytes as u64);
    }

    /// Bytes sent and received.
    pub fn bytes(&self) -> (u64, u64) {
        (self.sent.get(), self.received.get())
    }
}
