//! What has arrived and no receive has taken yet.
//!
//! Whatever Redis gives to this host goes here first. So a receive that is given up loses nothing:
//! the next one finds it. It stays for as long as its lease lasts; then it is anybody's.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use wasq_core::clock;
use wasq_core::message::Delivery;

/// How much of a lease must be left for a receive to take it.
const LEFT_MIN: Duration = Duration::from_millis(100);

#[derive(Default)]
pub struct Ready {
    deliveries: Mutex<VecDeque<Waiting>>,
    /// Something has arrived, or is due sooner than expected.
    pub news: Notify,
    receives: AtomicUsize,
}

struct Waiting {
    delivery: Delivery,
    visibility: Duration,
}

/// A receive that is under way.
pub struct Receiving<'a>(&'a AtomicUsize);

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Ready {
    pub fn receiving(&self) -> Receiving<'_> {
        self.receives.fetch_add(1, Ordering::AcqRel);
        Receiving(&self.receives)
    }

    /// Whether anybody would take what arrives.
    pub fn is_awaited(&self) -> bool {
        self.receives.load(Ordering::Acquire) > 0
    }

    pub fn put(&self, deliveries: Vec<Delivery>, visibility: Duration) {
        if deliveries.is_empty() {
            return;
        }
        let waiting = deliveries.into_iter().map(|delivery| Waiting { delivery, visibility });
        self.deliveries.lock().extend(waiting);
        self.news.notify_waiters();
    }

    /// The oldest of this visibility, at most so many.
    pub fn take(&self, max: usize, visibility: Duration) -> Vec<Delivery> {
        let mut deliveries = self.deliveries.lock();
        let now = clock::now();
        let mut taken = Vec::new();
        deliveries.retain_mut(|waiting| {
            let ends_at = waiting.delivery.received_at + waiting.visibility;
            // Of no visibility at all everything is due at once, and is good for a look.
            let is_over = ends_at < now + LEFT_MIN.min(waiting.visibility);
            if !is_over && waiting.visibility == visibility && taken.len() < max {
                taken.push(waiting.delivery.clone());
                return false;
            }
            !is_over
        });
        taken
    }
}
