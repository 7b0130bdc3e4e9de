//! The ingress port's meters.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Histogram, INGRESS_DURATION};

/// What is counted of requests, by the status of their answers.
pub struct IngressMeters {
    by_status: Mutex<BTreeMap<u16, u64>>,
    pub duration: Histogram,
}

impl Default for IngressMeters {
    fn default() -> Self {
        Self { by_status: Mutex::default(), duration: INGRESS_DURATION.histogram() }
    }
}

impl IngressMeters {
    pub fn answered(&self, status: u16, duration: Duration) {
        *self.by_status.lock().entry(status).or_default() += 1;
        self.duration.observe(duration);
    }

    pub fn by_status(&self) -> BTreeMap<u16, u64> {
        self.by_status.lock().clone()
    }
}
