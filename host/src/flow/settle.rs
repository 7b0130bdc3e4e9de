//! The last step: deletes and visibility changes, ten in a call.
//!
//! A lease is kept until its delete is confirmed. What fails for good is harmless: the ledger says
//! done, and the next delivery is deleted without a run.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wasq_core::backoff::Backoff;
use wasq_core::clock;
use wasq_queues::{BATCH_MAX_ENTRIES, Queue, QueueError};

use super::decide::QueueAction;
use super::leftover::Leftover;
use super::retry::visibility_s;
use crate::admission::hidden::{HiddenMessages, HidingPlace, ToHide};
use crate::lease::Lease;
use crate::telemetry::metrics::{Counter, QueueMeters};
use crate::telemetry::spans::Span;
use crate::telemetry::stats::Times;

/// How long a delete waits for others to share its call. On a FIFO queue, where its group waits for
/// it, not at all.
const LINGER: Duration = Duration::from_millis(20);
/// Calls under way at once.
const CALLS: usize = 16;
/// Settlements that wait for a call.
const WAITING: usize = 1_024;
/// How often an entry is tried, and the waits in between.
const TRIES: u32 = 6;
const TRY_AGAIN: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(7));

/// Settles one queue's deliveries.
pub struct Settler {
    items: mpsc::Sender<Item>,
    /// No more is taken; what was handed over is settled.
    closing: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
    times: Arc<Mutex<Times>>,
}

/// What every call needs.
#[derive(Clone)]
struct Calls {
    place: Arc<HidingPlace>,
    hidden: Arc<HiddenMessages>,
    meters: Arc<QueueMeters>,
    times: Arc<Mutex<Times>>,
}

struct Item {
    lease: Lease,
    operation: Operation,
    decided_at: Instant,
    /// What holds it back, where it is hidden for that.
    to_hide: Option<Box<ToHide>>,
    span: Span,
    /// Its body in S3, to be deleted once the message is off its queue.
    leftover: Option<Box<Leftover>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Operation {
    Delete,
    Hide { visibility_s: u32 },
}

impl Operation {
    fn failures(self, meters: &QueueMeters) -> &Counter {
        match self {
            Self::Delete => &meters.failed_deletes,
            Self::Hide { .. } => &meters.failed_visibility_changes,
        }
    }
}

impl Settler {
    /// `hidden` hears of the messages that something holds back; at most `at_once` of them are
    /// shown again at once.
    pub fn start(queue: Arc<dyn Queue>, meters: Arc<QueueMeters>, hidden: Arc<HiddenMessages>, at_once: usize) -> Self {
        let (items, waiting) = mpsc::channel(WAITING);
        let times = Arc::new(Mutex::new(Times::default()));
        let closing = CancellationToken::new();
        let place = Arc::new(HidingPlace { queue, at_once });
        let calls = Calls { place, hidden, meters, times: times.clone() };
        let task = tokio::spawn(collect(calls, waiting, closing.clone()));
        Self { items, closing, task: Mutex::new(Some(task)), times }
    }

    /// How long it took from the start of a message's handler until its delete was confirmed.
    pub fn start_to_settled(&self) -> Times {
        self.times.lock().clone()
    }

    /// Hands a delivery over. It is held until its call is confirmed; then its leftover is
    /// deleted.
    pub async fn settle(
        &self,
        lease: Lease,
        action: QueueAction,
        to_hide: Option<Box<ToHide>>,
        span: Span,
        leftover: Option<Box<Leftover>>,
    ) {
        let decided_at = clock::now();
        let operation = match action {
            QueueAction::Leave => return,
            QueueAction::Delete => Operation::Delete,
            QueueAction::Hide(delay) => {
                lease.settle().await;
                Operation::Hide { visibility_s: visibility_s(delay, lease.room()) }
            }
        };
        if operation == Operation::Delete {
            lease.begin_delete();
        }
        if self.items.send(Item { lease, operation, decided_at, to_hide, span, leftover }).await.is_err() {
            tracing::error!("the settler has ended; the message is delivered again");
        }
    }

    /// Takes no more, and waits until everything that was handed over is settled. Whoever else has
    /// the queue's runtime does not keep it from its end.
    pub async fn finish(&self) {
        self.closing.cancel();
        let task = self.task.lock().take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the settler panicked");
        }
    }
}

async fn collect(calls: Calls, mut waiting: mpsc::Receiver<Item>, closing: CancellationToken) {
    let tasks = TaskTracker::new();
    let room = Arc::new(Semaphore::new(CALLS));
    while let Some(first) = receive(&mut waiting, &closing).await {
        let linger = tokio::time::sleep(LINGER);
        tokio::pin!(linger);
        let (mut deletes, mut hides) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(item) = next {
            let batch = if item.operation == Operation::Delete { &mut deletes } else { &mut hides };
            batch.push(item);
            if batch.len() == BATCH_MAX_ENTRIES {
                break;
            }
            next = match calls.place.queue.keeps_order() {
                // Its group waits for it: what is there goes now.
                true => waiting.try_recv().ok(),
                false => tokio::select! {
                    biased;
                    item = waiting.recv() => item,
                    () = &mut linger => None,
                },
            };
        }
        for batch in [deletes, hides] {
            if !batch.is_empty() {
                let permit = room.clone().acquire_owned().await.expect("the semaphore is never closed");
                let calls = calls.clone();
                tasks.spawn(async move {
                    let leftovers = settle_batch(&calls, batch).await;
                    // S3 holds up no other call to the queue.
                    drop(permit);
                    join_all(leftovers.into_iter().map(|leftover| leftover.delete())).await;
                });
            }
        }
    }
    tasks.close();
    tasks.wait().await;
}

/// The next settlement; none after the last that was handed over before the end.
async fn receive(waiting: &mut mpsc::Receiver<Item>, closing: &CancellationToken) -> Option<Item> {
    tokio::select! {
        biased;
        item = waiting.recv() => return item,
        () = closing.cancelled() => waiting.close(),
    }
    waiting.recv().await
}

/// Makes the call, and tries what failed again while its lease holds. The answer is what is left of
/// the messages that are deleted.
async fn settle_batch(calls: &Calls, mut batch: Vec<Item>) -> Vec<Box<Leftover>> {
    let Calls { place, hidden, meters, times } = calls;
    let mut leftovers = Vec::new();
    for attempt in 1..=TRIES {
        let called_at = clock::now();
        let answers = call(&*place.queue, &batch).await;
        let (mut settled, mut failed) = (Vec::new(), Vec::new());
        for (mut item, answer) in batch.into_iter().zip(answers) {
            if let Err(error) = &answer {
                item.operation.failures(meters).add(1);
                item.span.failed(error.code());
            }
            match answer {
                Ok(()) => {
                    meters.settle_duration.observe(clock::now() - item.decided_at);
                    settled.extend(deleted_after(&item));
                    leftovers.extend(item.leftover.take());
                    if item.operation == Operation::Delete {
                        meters.deleted.add(1);
                    }
                    if let (Operation::Hide { visibility_s }, Some(to_hide)) = (item.operation, item.to_hide.take()) {
                        let returns_at = called_at + Duration::from_secs(visibility_s.into());
                        hidden.add(*to_hide, place, item.lease.receipt(), returns_at);
                    }
                }
                Err(QueueError::LeaseLost { message }) => {
                    tracing::debug!(%message, "settled too late; the ledger knows");
                }
                Err(error) if attempt == TRIES || item.lease.lost().is_cancelled() => {
                    tracing::warn!(%error, "a settled message could not be taken off its queue; it is delivered again");
                }
                Err(error) => {
                    tracing::debug!(%error, "an entry of a batch failed; trying it again");
                    failed.push(item);
                }
            }
        }
        times.lock().extend(settled);
        if failed.is_empty() {
            break;
        }
        batch = failed;
        tokio::time::sleep(TRY_AGAIN.jittered(attempt)).await;
    }
    leftovers
}

/// How long after its handler's start a message is deleted now.
fn deleted_after(item: &Item) -> Option<Duration> {
    match item.operation {
        Operation::Delete => Some(clock::now() - item.lease.started_at()?),
        Operation::Hide { .. } => None,
    }
}

async fn call(queue: &dyn Queue, batch: &[Item]) -> Vec<Result<(), QueueError>> {
    let hides: Vec<_> = batch
        .iter()
        .filter_map(|item| match item.operation {
            Operation::Hide { visibility_s } => Some((item.lease.receipt(), visibility_s)),
            Operation::Delete => None,
        })
        .collect();
    if !hides.is_empty() {
        return queue.hide(&hides).await;
    }
    let receipts: Vec<_> = batch.iter().map(|item| item.lease.receipt()).collect();
    queue.delete(&receipts).await
}
