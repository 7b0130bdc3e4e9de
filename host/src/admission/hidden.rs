//! Messages that the host has hidden because something holds them back: a breaker, a rate, a pause.
//!
//! Each is hidden for a time of its own, so that it returns whatever becomes of the host. Mostly
//! what holds it back is gone earlier. So the host keeps the newest receipt of what it hid, and
//! shows the messages again then: the one that was sent first goes first, and not all at once. What
//! it does not know, because it has no room for more or was started since, returns in its own time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use wasq_core::clock;
use wasq_core::message::{Receipt, UnixMs};
use wasq_core::pause::Target;
use wasq_queues::{BATCH_MAX_ENTRIES, Queue};

use super::breaker;
use super::rates::BucketId;

/// How often the host looks whether something is gone.
const LOOK: Duration = Duration::from_millis(100);
/// After it has shown messages of which only so many can go on, it waits for so long until they
/// have been received.
const RECEIVED_IN: Duration = Duration::from_millis(300);
/// What returns by itself within this time is not shown earlier.
const SOON: Duration = Duration::from_millis(700);

/// What holds a message back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HeldBy {
    /// A breaker of this scope ([`super::breaker::scope`]).
    Breaker(String),
    Rate(BucketId),
    Pause(Target),
}

impl HeldBy {
    /// As operators read it. `rate` names a rate.
    pub fn label(&self, rate: impl FnOnce(&BucketId) -> String) -> String {
        match self {
            Self::Breaker(scope) => format!("breaker:{}", breaker::plugin_of(scope)),
            Self::Rate(bucket) => format!("rate:{}", rate(bucket)),
            Self::Pause(target) => format!("pause:{target}"),
        }
    }
}

/// What can go on of the messages that something holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// It holds back nothing any more.
    All,
    /// There is room for so many.
    Some(usize),
}

/// A message that is about to be hidden, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct ToHide {
    pub held_by: HeldBy,
    pub sent_at: UnixMs,
}

/// Where messages are hidden, and how many of them are shown at once.
pub struct HidingPlace {
    pub queue: Arc<dyn Queue>,
    pub at_once: usize,
}

/// The messages that this host knows to be hidden.
pub struct HiddenMessages {
    max: usize,
    state: Mutex<State>,
    added: Notify,
}

#[derive(Default)]
struct State {
    by_reason: HashMap<HeldBy, Group>,
    count: usize,
    next: u64,
    shown: u64,
}

/// Those that the same thing holds back, by when they were sent.
#[derive(Default)]
struct Group {
    hidden: BTreeMap<(UnixMs, u64), Hidden>,
    /// None are shown before.
    not_before: Option<Instant>,
}

struct Hidden {
    place: Arc<HidingPlace>,
    receipt: Receipt,
    returns_at: Instant,
}

impl HiddenMessages {
    pub fn new(max: usize) -> Self {
        Self { max, state: Mutex::default(), added: Notify::new() }
    }

    /// A message is hidden now.
    pub fn add(&self, hidden: ToHide, place: &Arc<HidingPlace>, receipt: Receipt, returns_at: Instant) {
        let state = &mut *self.state.lock();
        if state.count >= self.max || returns_at.saturating_duration_since(clock::now()) <= SOON {
            return;
        }
        state.next += 1;
        state.count += 1;
        let turn = (hidden.sent_at, state.next);
        let message = Hidden { place: place.clone(), receipt, returns_at };
        state.by_reason.entry(hidden.held_by).or_default().hidden.insert(turn, message);
        if state.count == 1 {
            self.added.notify_one();
        }
    }

    /// How many it knows of, and how many it has shown again so far.
    pub fn counts(&self) -> (usize, u64) {
        let state = self.state.lock();
        (state.count, state.shown)
    }

    /// Shows them again for as long as the host runs. `room` says how many can go on.
    pub async fn keep(&self, room: impl Fn(&HeldBy) -> Room) {
        loop {
            while self.state.lock().count == 0 {
                self.added.notified().await;
            }
            let shown = self.take(&room, clock::now());
            join_all(shown.into_iter().map(|(place, receipts)| show(place, receipts))).await;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Those that are to be shown now, by their queues. What returns by itself is forgotten.
    fn take(&self, room: impl Fn(&HeldBy) -> Room, now: Instant) -> Vec<(Arc<HidingPlace>, Vec<Receipt>)> {
        let state = &mut *self.state.lock();
        let mut shown: Vec<(Arc<HidingPlace>, Vec<Receipt>)> = Vec::new();
        for (held_by, group) in &mut state.by_reason {
            let before = group.hidden.len();
            group.hidden.retain(|_, message| message.returns_at.saturating_duration_since(now) > SOON);
            state.count -= before - group.hidden.len();
            if group.hidden.is_empty() || group.not_before.is_some_and(|not_before| now < not_before) {
                continue;
            }
            let mut left = match room(held_by) {
                Room::All => usize::MAX,
                Room::Some(count) => {
                    group.not_before = (count > 0).then(|| now + RECEIVED_IN);
                    count
                }
            };
            while left > 0
                && let Some(first) = group.hidden.first_entry()
            {
                let place = &first.get().place;
                let index = shown.iter().position(|(known, _)| Arc::ptr_eq(known, place)).unwrap_or_else(|| {
                    shown.push((place.clone(), Vec::new()));
                    shown.len() - 1
                });
                let (place, receipts) = &mut shown[index];
                if receipts.len() >= place.at_once {
                    break;
                }
                receipts.push(first.remove().receipt);
                state.count -= 1;
                state.shown += 1;
                left -= 1;
            }
        }
        state.by_reason.retain(|_, group| !group.hidden.is_empty() || group.not_before.is_some_and(|at| now < at));
        shown
    }
}

async fn show(place: Arc<HidingPlace>, receipts: Vec<Receipt>) {
    for batch in receipts.chunks(BATCH_MAX_ENTRIES) {
        let changes: Vec<_> = batch.iter().map(|receipt| (receipt.clone(), 0)).collect();
        for error in place.queue.hide(&changes).await.into_iter().filter_map(Result::err) {
            // Somebody has received it already, or it returns in its own time.
            tracing::debug!(queue = place.queue.name(), %error, "a hidden message could not be shown earlier");
        }
    }
}

#[cfg(test)]
mod tests;
