//! What has arrived and no receive has taken yet.
//!
//! Whatever Redis gives to this host goes here first. So a receive that is given up loses nothing:
//! the next one finds it. It stays for as long as its lease lasts; then it is anybody's.

use std::collections::{HashMap, VecDeque};
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
    /// Receives that are under way, by their visibility.
    receives: Mutex<HashMap<Duration, usize>>,
}

struct Waiting {
    delivery: Delivery,
    visibility: Duration,
}

/// A receive that is under way.
pub struct Receiving<'a> {
    ready: &'a Ready,
    visibility: Duration,
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        let mut receives = self.ready.receives.lock();
        if let Some(count) = receives.get_mut(&self.visibility) {
            *count -= 1;
            if *count == 0 {
                receives.remove(&self.visibility);
            }
        }
    }
}

impl Ready {
    pub fn receiving(&self, visibility: Duration) -> Receiving<'_> {
        *self.receives.lock().entry(visibility).or_default() += 1;
        Receiving { ready: self, visibility }
    }

    /// Whether anybody would take what arrives for so long.
    pub fn is_awaited(&self, visibility: Duration) -> bool {
        self.receives.lock().contains_key(&visibility)
    }

    pub fn put(&self, deliveries: Vec<Delivery>, visibility: Duration) {
        if deliveries.is_empty() {
            return;
        }
        let waiting = deliveries.into_iter().map(|delivery| Waiting { delivery, visibility });
        self.deliveries.lock().extend(waiting);
        self.news.notify_waiters();
    }

    /// The oldest of this visibility, at most so many. What is over is forgotten.
    pub fn take(&self, max: usize, visibility: Duration) -> Vec<Delivery> {
        let mut deliveries = self.deliveries.lock();
        let (now, mut taken) = (clock::now(), Vec::new());
        for waiting in std::mem::take(&mut *deliveries) {
            let ends_at = waiting.delivery.received_at + waiting.visibility;
            // What is not hidden at all is only looked at.
            let is_over = !waiting.visibility.is_zero() && ends_at < now + LEFT_MIN.min(waiting.visibility / 2);
            match is_over {
                true => {}
                false if waiting.visibility == visibility && taken.len() < max => taken.push(waiting.delivery),
                false => deliveries.push_back(waiting),
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use wasq_core::message::{Attributes, MessageId, Receipt, UnixMs};

    use super::*;

    const LEASE: Duration = Duration::from_secs(10);

    fn delivery(id: &str) -> Delivery {
        Delivery {
            message_id: MessageId(id.into()),
            receipt: Receipt(id.into()),
            body: Default::default(),
            attributes: Attributes::new(),
            receive_count: 1,
            sent_at: UnixMs(0),
            enqueued_at: UnixMs(0),
            group: None,
            deduplication_id: None,
            trace_header: None,
            received_at: clock::now(),
        }
    }

    fn ids(deliveries: &[Delivery]) -> Vec<&str> {
        deliveries.iter().map(|delivery| delivery.message_id.0.as_str()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_arrived_stays_until_it_is_taken_or_its_lease_ends() {
        let ready = Ready::default();
        ready.put(vec![delivery("a"), delivery("b"), delivery("c")], LEASE);
        ready.put(vec![delivery("short")], Duration::from_secs(1));
        ready.put(vec![delivery("seen")], Duration::ZERO);
        assert_eq!(ids(&ready.take(2, LEASE)), ["a", "b"]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(ready.take(10, Duration::from_secs(1)).is_empty(), "its lease is over");
        assert_eq!(ids(&ready.take(10, Duration::ZERO)), ["seen"]);
        assert_eq!(ids(&ready.take(10, LEASE)), ["c"]);
        assert!(ready.take(10, LEASE).is_empty());
    }

    #[test]
    fn whether_anybody_receives_is_known() {
        let ready = Ready::default();
        let one = ready.receiving(LEASE);
        drop(ready.receiving(LEASE));
        assert!(ready.is_awaited(LEASE) && !ready.is_awaited(LEASE * 2));
        drop(one);
        assert!(!ready.is_awaited(LEASE));
    }
}
