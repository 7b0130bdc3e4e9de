//! The keeper: extends the leases of what we hold, on a thread of its own so that busy handlers
//! cannot starve it.
//!
//! One lease drives a delivery's visibility, its ledger claims and its guest's deadline. A worker
//! tracks each delivery; the flow adds the claims and reads [`Lease::lost`]; the settler drops the
//! lease. The renewals themselves are in [`renewal`]. A lease that cannot be renewed, in the queue
//! or in the ledger, is lost: whoever runs under it stops, and touches nothing.

mod renewal;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasq_core::clock;
use wasq_core::message::{Delivery, Key, MessageId, Receipt};
use wasq_ledgers::{Fence, Ledger};
use wasq_queues::{Queue, VISIBILITY_MAX};

pub use renewal::Keeping;

use crate::telemetry::metrics::QueueMeters;

/// The leases of one queue.
pub struct Keeper {
    held: Arc<Leases>,
    visibility: Duration,
    stop: CancellationToken,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Leases {
    by_message: Mutex<BTreeMap<MessageId, Arc<Inner>>>,
    meters: Arc<QueueMeters>,
}

/// A delivery that is ours. Dropping it ends the keeping.
pub struct Lease {
    inner: Arc<Inner>,
    held: Arc<Leases>,
}

struct Inner {
    message_id: MessageId,
    /// When the delivery was received; SQS allows 12 h from here.
    received_at: Instant,
    lost: CancellationToken,
    state: Mutex<State>,
    /// Held while a renewal or a settlement's visibility change is under way: one must not overtake
    /// the other.
    visibility_call: tokio::sync::Mutex<()>,
}

struct State {
    receipt: Receipt,
    /// When the queue shows it to others.
    visible_at: Instant,
    /// No renewal goes past this.
    keep_until: Instant,
    claims: Vec<Claimed>,
    /// When a handler was first started under it.
    started_at: Option<Instant>,
    stage: Stage,
    /// Its renewal is under way.
    renewing: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    /// Its message is being worked on.
    Held,
    /// Its delete is under way: that the queue knows the message no more is no loss.
    Deleting,
    /// Its visibility has been settled: renewing would undo it.
    Settled,
}

/// A ledger claim that goes with the lease.
struct Claimed {
    key: Key,
    fence: Fence,
    ends_at: Instant,
    /// The ledger has been told how it ended, and may know it no more. No guest runs under it, and
    /// the fence has the last word: neither its end nor its loss is the lease's.
    finishing: bool,
}

impl State {
    /// When it ends unless it is renewed: the first of its visibility and its claims.
    fn ends_at(&self) -> Instant {
        self.claims_end_at().fold(self.visible_at, Instant::min)
    }

    fn claims_end_at(&self) -> impl Iterator<Item = Instant> {
        self.claims.iter().filter(|claim| !claim.finishing).map(|claim| claim.ends_at)
    }
}

impl Leases {
    /// Tells whoever works under a lease that it is over.
    fn lose(&self, inner: &Inner) {
        if !inner.lost.is_cancelled() {
            self.meters.lease_losses.add(1);
        }
        inner.lost.cancel();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds these locks can leave a half-made change behind.
    mutex.lock()
}

impl Keeper {
    /// Starts the thread. `queue` must be its own connection: the serving threads' may be starved.
    pub fn start<F, Q>(connect: F, visibility: Duration, ledger: Arc<dyn Ledger>, meters: Arc<QueueMeters>) -> Self
    where
        F: FnOnce() -> Q + Send + 'static,
        Q: Future<Output = Arc<dyn Queue>>,
    {
        let (keeper, keeping) = Self::new(visibility, meters);
        let thread = std::thread::Builder::new().name("wasq-lease".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be made when the host starts");
            runtime.block_on(async {
                let ledger = ledger.with_own_connections().await.unwrap_or(ledger);
                keeping.run(connect().await, ledger).await;
            });
        });
        *lock(&keeper.thread) = Some(thread.expect("a thread can be started when the host starts"));
        keeper
    }

    /// A keeper without a thread, and the work that its thread would do.
    pub fn new(visibility: Duration, meters: Arc<QueueMeters>) -> (Self, Keeping) {
        let held = Arc::new(Leases { by_message: Mutex::default(), meters });
        let stop = CancellationToken::new();
        let keeping = Keeping::new(held.clone(), visibility, stop.clone());
        (Self { held, visibility, stop, thread: Mutex::default() }, keeping)
    }

    /// Begins to keep a delivery, as long as SQS allows unless [`Lease::keep_until`] sets a bound.
    /// None when the same message is in hand already: its run goes on with the newest handle, which
    /// this delivery brought. A run whose lease is over does not go on.
    #[must_use]
    pub fn track(&self, delivery: &Delivery) -> Option<Lease> {
        let mut by_message = lock(&self.held.by_message);
        let visible_at = delivery.received_at + self.visibility;
        if let Some(inner) = by_message.get(&delivery.message_id) {
            let mut state = lock(&inner.state);
            match state.stage {
                // Its visibility may have ended; its claims must not.
                Stage::Held | Stage::Deleting
                    if !inner.lost.is_cancelled() && state.claims_end_at().all(|end| end > clock::now()) =>
                {
                    state.receipt = delivery.receipt.clone();
                    state.visible_at = visible_at;
                    return None;
                }
                Stage::Held | Stage::Deleting => self.held.lose(inner),
                // It is done with its message; its last call may still wait for an answer.
                Stage::Settled => {}
            }
        }
        let inner = Arc::new(Inner {
            message_id: delivery.message_id.clone(),
            received_at: delivery.received_at,
            lost: CancellationToken::new(),
            state: Mutex::new(State {
                receipt: delivery.receipt.clone(),
                visible_at,
                keep_until: delivery.received_at + VISIBILITY_MAX,
                claims: Vec::new(),
                started_at: None,
                stage: Stage::Held,
                renewing: false,
            }),
            visibility_call: tokio::sync::Mutex::default(),
        });
        by_message.insert(delivery.message_id.clone(), inner.clone());
        Some(Lease { inner, held: self.held.clone() })
    }

    /// Ends the keeping, and waits for its thread, at most a tick. Whoever still has a part of the
    /// keeper may go on with it; nothing is renewed any more.
    pub async fn stop(&self) {
        self.stop.cancel();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread
            && let Err(error) = tokio::task::spawn_blocking(move || join(thread)).await
        {
            tracing::error!(%error, "the lease keeper could not be stopped");
        }
    }

    /// Deliveries in hand.
    pub fn held(&self) -> usize {
        lock(&self.held.by_message).len()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = lock(&self.thread).take() {
            join(thread);
        }
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("the lease keeper's thread panicked");
    }
}

impl Lease {
    /// Cancelled when the delivery is not ours any more.
    pub fn lost(&self) -> &CancellationToken {
        &self.inner.lost
    }

    /// The newest receipt handle.
    pub fn receipt(&self) -> Receipt {
        lock(&self.inner.state).receipt.clone()
    }

    /// How much longer it is ours unless it is renewed; what a claim made now should last.
    pub fn remaining(&self) -> Duration {
        lock(&self.inner.state).visible_at.saturating_duration_since(clock::now())
    }

    /// Whether it has been lost or has ended, noticed by the keeper or not yet.
    pub fn is_over(&self) -> bool {
        self.inner.lost.is_cancelled() || lock(&self.inner.state).ends_at() <= clock::now()
    }

    /// A handler starts now.
    pub fn start(&self) {
        lock(&self.inner.state).started_at.get_or_insert_with(clock::now);
    }

    /// When the first handler was started.
    pub fn started_at(&self) -> Option<Instant> {
        lock(&self.inner.state).started_at
    }

    /// From now on the keeper extends this claim with the lease; until then it holds to `ends_at`.
    pub fn add_claim(&self, key: Key, fence: Fence, ends_at: Instant) {
        lock(&self.inner.state).claims.push(Claimed { key, fence, ends_at, finishing: false });
    }

    /// The ledger is about to be told how the claim ended.
    pub fn finish_claim(&self, key: Key) {
        let mut state = lock(&self.inner.state);
        state.claims.iter_mut().filter(|claim| claim.key == key).for_each(|claim| claim.finishing = true);
    }

    /// The claim was finished.
    pub fn remove_claim(&self, key: Key) {
        lock(&self.inner.state).claims.retain(|claim| claim.key != key);
    }

    /// Moves the time after which it is renewed no more.
    pub fn keep_until(&self, at: Instant) {
        lock(&self.inner.state).keep_until = at;
    }

    /// What is left of the 12 hours that SQS allows from receipt.
    pub fn room(&self) -> Duration {
        (self.inner.received_at + VISIBILITY_MAX).saturating_duration_since(clock::now())
    }

    /// The message is about to be deleted. It is kept until that is confirmed.
    pub fn begin_delete(&self) {
        lock(&self.inner.state).stage = Stage::Deleting;
    }

    /// Ends the renewals, once none is under way, so that a visibility set after this stays.
    pub async fn settle(&self) {
        let _no_renewal = self.inner.visibility_call.lock().await;
        lock(&self.inner.state).stage = Stage::Settled;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut by_message = lock(&self.held.by_message);
        if by_message.get(&self.inner.message_id).is_some_and(|inner| Arc::ptr_eq(inner, &self.inner)) {
            by_message.remove(&self.inner.message_id);
        }
    }
}
