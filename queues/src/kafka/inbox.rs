//! What a queue has of its topic, between the thread that reads from Kafka and the tasks that
//! receive and settle.
//!
//! Everything stands under one lock, which is held for moments and never while Kafka is asked. The
//! thread waits for changes by the condition variable, receives by the notification.

use std::collections::BTreeSet;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use wasq_core::clock;
use wasq_core::message::{Delivery, Receipt};

use super::assignment::{Assignment, DeliveryRef};
use super::config::KafkaOrder;
use super::partition::Gone;
use super::record::Record;
use crate::queue::QueueError;

pub struct Inbox {
    state: Mutex<State>,
    /// Something has changed that the thread may wait for.
    changed: Condvar,
    /// There may be something to receive: a message, or a problem.
    arrived: Notify,
}

struct State {
    assignment: Assignment,
    /// Why nothing comes, while nothing does.
    problem: Option<Problem>,
    /// Receives that wait now.
    receivers: usize,
    /// When one has ended last.
    received_at: Instant,
    /// The group has said which partitions are ours, perhaps none.
    is_member: bool,
    /// Nobody has the queue any more.
    stops: bool,
    /// The thread has left the group.
    has_ended: bool,
}

/// Why nothing comes.
#[derive(Clone, Debug)]
pub struct Problem {
    pub error: QueueError,
    /// Whether an answer of the brokers about the topic ends it. Otherwise only a partition does.
    pub ends_with_answer: bool,
}

/// Counts for the queue's attributes.
pub struct Counts {
    /// Messages that were handed out, or are hidden.
    pub in_hand: usize,
    /// Messages that were read and wait to be handed out.
    pub waiting: usize,
    /// The partitions that are ours, each with the last offset that was read.
    pub read_up_to: Vec<(i32, Option<i64>)>,
}

impl Inbox {
    pub fn new(order: KafkaOrder) -> Self {
        Self {
            state: Mutex::new(State {
                assignment: Assignment::new(order),
                problem: None,
                receivers: 0,
                received_at: clock::now(),
                is_member: false,
                stops: false,
                has_ended: false,
            }),
            changed: Condvar::new(),
            arrived: Notify::new(),
        }
    }

    /// Waits until then for a first message, and takes what is there beside it. Dropped, it has
    /// taken nothing.
    ///
    /// # Errors
    /// Why nothing comes.
    pub async fn take(&self, max: usize, until: Instant, visibility: Duration) -> Result<Vec<Delivery>, QueueError> {
        let _receiver = Receiver::new(self);
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            let now = clock::now();
            let wake_at = {
                let mut state = self.state.lock();
                state.assignment.show_due(now);
                let handed = state.assignment.hand_out(max, now + visibility);
                if !handed.is_empty() {
                    drop(state);
                    self.changed.notify_all();
                    let unix_now = clock::unix_ms();
                    let deliver = |(handed, record): (DeliveryRef, std::sync::Arc<Record>)| {
                        record.delivery(handed.receipt(), handed.delivery, now, unix_now)
                    };
                    return Ok(handed.into_iter().map(deliver).collect());
                }
                if let Some(problem) = &state.problem {
                    return Err(problem.error.clone());
                }
                state.assignment.next_due().map_or(until, |due| due.min(until))
            };
            if now >= until {
                return Ok(Vec::new());
            }
            tokio::select! {
                biased;
                () = &mut arrived => {}
                () = sleep_until(wake_at) => {}
            }
        }
    }

    /// Waits until the group has said which partitions are ours, or something is wrong, at most until
    /// then. Before it has, nothing comes, whatever there is.
    pub async fn until_member(&self, until: Instant) {
        let _receiver = Receiver::new(self);
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            let is_known = {
                let state = self.state.lock();
                state.is_member || state.problem.is_some()
            };
            if is_known || clock::now() >= until {
                return;
            }
            tokio::select! {
                biased;
                () = &mut arrived => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// What is done with the lease of a receipt.
    ///
    /// # Errors
    /// That there is none.
    pub fn with_lease(
        &self,
        receipt: &Receipt,
        change: impl FnOnce(&mut Assignment, DeliveryRef) -> Result<(), Gone>,
    ) -> Result<(), QueueError> {
        let lost = |message: &str| QueueError::LeaseLost { message: message.into() };
        let handed = DeliveryRef::read(receipt).ok_or_else(|| lost("it is no receipt of Kafka's"))?;
        let changed = change(&mut self.state.lock().assignment, handed);
        changed
            .map_err(|Gone| lost("its message is done, or its lease has ended, or its partition is another host's"))?;
        self.changed.notify_all();
        // One that was shown, or one that stood behind it.
        self.arrived.notify_waiters();
        Ok(())
    }

    pub fn counts(&self) -> Counts {
        let mut state = self.state.lock();
        state.assignment.show_due(clock::now());
        let (in_hand, open) = (state.assignment.in_hand(), state.assignment.open());
        let read_up_to = state.assignment.partitions().map(|(number, _, last)| (number, last)).collect();
        Counts { in_hand, waiting: open - in_hand, read_up_to }
    }

    /// Nobody has the queue any more: the thread is to leave the group. Waits until it has, at most
    /// so long.
    pub fn stop(&self, at_most: Duration) {
        let mut state = self.state.lock();
        state.stops = true;
        self.changed.notify_all();
        let end = |state: &mut State| !state.has_ended;
        if self.changed.wait_while_for(&mut state, end, at_most).timed_out() {
            tracing::debug!("a consumer of Kafka takes longer than {at_most:?} to leave its group");
        }
    }
}

/// For the thread.
impl Inbox {
    pub fn assign(&self, partitions: impl IntoIterator<Item = i32>) {
        let mut state = self.state.lock();
        state.problem = None;
        state.is_member = true;
        partitions.into_iter().for_each(|partition| state.assignment.assign(partition));
        drop(state);
        self.arrived.notify_waiters();
    }

    /// The answer is how far the group has come in each.
    pub fn revoke(&self, partitions: impl IntoIterator<Item = i32>) -> Vec<(i32, i64)> {
        let assignment = &mut self.state.lock().assignment;
        partitions.into_iter().filter_map(|number| Some((number, assignment.revoke(number)?))).collect()
    }

    /// The consumer has ended.
    pub fn revoke_all(&self) {
        self.state.lock().assignment.revoke_all();
    }

    pub fn read(&self, partition: i32, offset: i64, record: Record) {
        let mut state = self.state.lock();
        state.problem = None;
        state.assignment.read(partition, offset, record);
        drop(state);
        self.arrived.notify_waiters();
    }

    pub fn take_progress(&self) -> Vec<(i32, i64)> {
        self.state.lock().assignment.take_progress()
    }

    pub fn is_full(&self, prefetch: usize) -> bool {
        self.state.lock().assignment.is_full(prefetch)
    }

    /// The partitions that are ours, each with its assignment, and those whose gap is as large as
    /// it may be.
    pub fn partitions(&self, max_gap: u32) -> (Vec<(i32, u64)>, BTreeSet<i32>) {
        let state = self.state.lock();
        let all = state.assignment.partitions().map(|(number, epoch, _)| (number, epoch)).collect();
        (all, state.assignment.stretched(max_gap))
    }

    pub fn problem(&self) -> Option<Problem> {
        self.state.lock().problem.clone()
    }

    pub fn set_problem(&self, problem: Option<Problem>) {
        self.state.lock().problem = problem;
        self.arrived.notify_waiters();
    }

    /// Whether nobody has received for so long, and nobody has anything in hand.
    pub fn is_idle(&self, after: Duration) -> bool {
        let state = self.state.lock();
        state.receivers == 0 && state.assignment.in_hand() == 0 && clock::now() >= state.received_at + after
    }

    pub fn stops(&self) -> bool {
        self.state.lock().stops
    }

    /// Waits for a change, at most so long.
    pub fn wait(&self, at_most: Duration) {
        let mut state = self.state.lock();
        if !state.stops {
            self.changed.wait_for(&mut state, at_most);
        }
    }

    /// Waits so long, or until nobody has the queue any more.
    pub fn wait_for_stop(&self, at_most: Duration) {
        let mut state = self.state.lock();
        self.changed.wait_while_for(&mut state, |state| !state.stops, at_most);
    }

    /// Waits until somebody receives, or nobody has the queue any more.
    pub fn wait_for_receiver(&self) {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |state| !state.stops && state.receivers == 0);
    }

    pub fn has_ended(&self) {
        self.state.lock().has_ended = true;
        self.changed.notify_all();
    }
}

/// A receive that waits.
struct Receiver<'a>(&'a Inbox);

impl<'a> Receiver<'a> {
    fn new(inbox: &'a Inbox) -> Self {
        inbox.state.lock().receivers += 1;
        inbox.changed.notify_all();
        Self(inbox)
    }
}

impl Drop for Receiver<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.receivers -= 1;
        state.received_at = clock::now();
    }
}
