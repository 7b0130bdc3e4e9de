//! The keeper: extends the leases of what we hold, on a thread of its own so that busy handlers cannot starve it.
//!
//! One lease drives a delivery's visibility, its ledger claims and its guest's deadline. The keeper ticks at least every second
//! and renews at half the visibility, always to the whole of it. A lease that cannot be renewed, in the queue or in the ledger, is
//! lost: whoever runs under it stops, and touches nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::ledger::{Fence, Ledger, LedgerError};
use crate::message::{Delivery, Key, MessageId, Receipt};
use crate::metrics::QueueMeters;
use crate::queue::{BATCH_MAX_ENTRIES, Queue, QueueError, VISIBILITY_MAX};

/// How often the keeper looks, at least.
const TICK: Duration = Duration::from_secs(1);
/// And so often within a visibility: of the half that is left when a renewal is due, most must be left when it is made.
const TICKS_PER_VISIBILITY: u32 = 16;
/// A call is given up after this part of the visibility: in the half that is left there is time for another one, and a lease
/// whose calls hang is seen to end.
const CALLS_PER_VISIBILITY: u32 = 4;

/// The leases of one queue.
pub struct Keeper {
    held: Arc<Held>,
    visibility: Duration,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// The work of keeping a [`Keeper`]'s leases, for whoever runs it; it ends when the keeper is dropped.
pub struct Keeping {
    held: Arc<Held>,
    visibility: Duration,
    stop: CancellationToken,
    meters: Arc<QueueMeters>,
}

#[derive(Default)]
struct Held {
    by_message: Mutex<BTreeMap<MessageId, Arc<Inner>>>,
}

/// A delivery that is ours. Dropping it ends the keeping.
pub struct Lease {
    inner: Arc<Inner>,
    held: Arc<Held>,
}

struct Inner {
    message_id: MessageId,
    /// When the delivery was received; SQS allows 12 h from here.
    received_at: Instant,
    lost: CancellationToken,
    state: Mutex<State>,
    /// Held while a renewal or a settlement's visibility change is under way: one must not overtake the other.
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
    /// Its visibility has been settled: renewing would undo it.
    settled: bool,
}

/// A ledger claim that goes with the lease.
struct Claimed {
    key: Key,
    fence: Fence,
    ends_at: Instant,
}

impl State {
    /// When it ends unless it is renewed: the first of its visibility and its claims.
    fn ends_at(&self) -> Instant {
        self.claims.iter().map(|claim| claim.ends_at).fold(self.visible_at, Instant::min)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds these locks can leave a half-made change behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper {
    /// Starts the thread. `queue` must be its own connection: the serving threads' may be starved.
    pub fn start<F, Q>(connect: F, visibility: Duration, ledger: Arc<dyn Ledger>, meters: Arc<QueueMeters>) -> Self
    where
        F: FnOnce() -> Q + Send + 'static,
        Q: Future<Output = Arc<dyn Queue>>,
    {
        let (mut keeper, keeping) = Self::new(visibility, meters);
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
        keeper.thread = Some(thread.expect("a thread can be started when the host starts"));
        keeper
    }

    /// A keeper without a thread, and the work that its thread would do.
    pub fn new(visibility: Duration, meters: Arc<QueueMeters>) -> (Self, Keeping) {
        let (held, stop) = (Arc::new(Held::default()), CancellationToken::new());
        let keeping = Keeping { held: held.clone(), visibility, stop: stop.clone(), meters };
        (Self { held, visibility, stop, thread: None }, keeping)
    }

    /// Begins to keep a delivery, as long as SQS allows unless [`Lease::keep_until`] sets a bound. None when the same message is
    /// in hand already: its run goes on with the newest handle, which this delivery brought.
    pub fn track(&self, delivery: &Delivery) -> Option<Lease> {
        let mut by_message = lock(&self.held.by_message);
        let visible_at = delivery.received_at + self.visibility;
        if let Some(inner) = by_message.get(&delivery.message_id) {
            let mut state = lock(&inner.state);
            // One that was put back is done with its message; its last call may still wait for an answer.
            if !state.settled {
                state.receipt = delivery.receipt.clone();
                state.visible_at = visible_at;
                return None;
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
                settled: false,
            }),
            visibility_call: tokio::sync::Mutex::default(),
        });
        by_message.insert(delivery.message_id.clone(), inner.clone());
        Some(Lease { inner, held: self.held.clone() })
    }

    /// Ends the keeping, and waits for its thread, at most a tick.
    pub async fn stop(self) {
        if self.thread.is_some()
            && let Err(error) = tokio::task::spawn_blocking(move || drop(self)).await
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
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the lease keeper's thread panicked");
        }
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
        lock(&self.inner.state).claims.push(Claimed { key, fence, ends_at });
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

    /// Ends the renewals, once none is under way, so that a visibility set after this stays.
    pub async fn settle(&self) {
        let _no_renewal = self.inner.visibility_call.lock().await;
        lock(&self.inner.state).settled = true;
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

impl Keeping {
    /// Renews what is due, tick by tick.
    pub async fn run(self, queue: Arc<dyn Queue>, ledger: Arc<dyn Ledger>) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            () = self.keep(queue.as_ref(), ledger.as_ref()) => {}
        }
    }

    async fn keep(&self, queue: &dyn Queue, ledger: &dyn Ledger) {
        let mut ticks = tokio::time::interval(TICK.min(self.visibility / TICKS_PER_VISIBILITY));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let due = self.take_due();
            let batches = due.chunks(BATCH_MAX_ENTRIES).map(|batch| self.renew(batch, queue, ledger));
            futures::future::join_all(batches).await;
        }
    }

    /// The leases that want renewing now. Those that have ended are lost on the way.
    fn take_due(&self) -> Vec<Arc<Inner>> {
        let visibility = self.visibility;
        let now = clock::now();
        let all: Vec<_> = lock(&self.held.by_message).values().cloned().collect();
        all.into_iter()
            .filter(|inner| {
                let state = lock(&inner.state);
                if state.settled || inner.lost.is_cancelled() {
                    return false;
                }
                let ends_at = state.ends_at();
                if ends_at <= now {
                    tracing::warn!(message_id = %inner.message_id, "a lease ended before it could be renewed");
                    self.lose(inner);
                    return false;
                }
                let allowed = state.keep_until > now && now + visibility < inner.received_at + VISIBILITY_MAX;
                allowed && ends_at - now <= visibility / 2
            })
            .collect()
    }

    async fn renew(&self, batch: &[Arc<Inner>], queue: &dyn Queue, ledger: &dyn Ledger) {
        let visibility = self.visibility;
        let mut guards = Vec::with_capacity(batch.len());
        let mut leases = Vec::with_capacity(batch.len());
        for inner in batch {
            // Whoever is settling it now has no use for a renewal.
            if let Ok(guard) = inner.visibility_call.try_lock()
                && !lock(&inner.state).settled
            {
                guards.push(guard);
                leases.push(inner);
            }
        }
        if leases.is_empty() {
            return;
        }
        let from = clock::now();
        let changes: Vec<_> =
            leases.iter().map(|inner| (lock(&inner.state).receipt.clone(), visibility.as_secs() as u32)).collect();
        let longest = visibility / CALLS_PER_VISIBILITY;
        let answers = tokio::time::timeout(longest, queue.change_visibility(&changes)).await.unwrap_or_else(|_| {
            let message = format!("no answer within {longest:?}");
            vec![Err(QueueError::Transient { code: "Timeout".into(), message }); changes.len()]
        });
        let mut claims = Vec::new();
        for (inner, answer) in leases.iter().zip(answers) {
            match answer {
                Ok(()) => {
                    let mut state = lock(&inner.state);
                    state.visible_at = from + visibility;
                    self.meters.lease_renewals.add(1);
                    claims.extend(state.claims.iter().map(|claim| (*inner, claim.key, claim.fence)));
                }
                Err(QueueError::LeaseLost { message }) => {
                    tracing::warn!(message_id = %inner.message_id, %message, "a lease is lost");
                    self.lose(inner);
                }
                Err(error @ (QueueError::Transient { .. } | QueueError::Permanent { .. })) => {
                    // It is tried again at the next tick, until the lease has ended.
                    tracing::warn!(message_id = %inner.message_id, %error, "cannot renew a lease");
                }
            }
        }
        drop(guards);
        self.extend_claims(&claims, ledger).await;
    }

    async fn extend_claims(&self, claims: &[(&Arc<Inner>, Key, Fence)], ledger: &dyn Ledger) {
        let visibility = self.visibility;
        if claims.is_empty() {
            return;
        }
        let keys: Vec<_> = claims.iter().map(|(_, key, fence)| (*key, *fence)).collect();
        let from = clock::now();
        let longest = visibility / CALLS_PER_VISIBILITY;
        let answers = tokio::time::timeout(longest, ledger.extend(&keys, visibility)).await.unwrap_or_else(|_| {
            let none = LedgerError::Unavailable(format!("no answer within {longest:?}"));
            vec![Err(none); keys.len()]
        });
        for ((inner, key, fence), answer) in claims.iter().zip(answers) {
            let mut state = lock(&inner.state);
            // A claim that was finished meanwhile is not ours, and that is well.
            let Some(claim) = state.claims.iter_mut().find(|claim| claim.key == *key && claim.fence == *fence) else {
                continue;
            };
            match answer {
                Ok(true) => claim.ends_at = from + visibility,
                Ok(false) => {
                    tracing::warn!(message_id = %inner.message_id, "a ledger claim is lost");
                    self.lose(inner);
                }
                // It is tried again at the next tick, until the lease has ended.
                Err(error) => {
                    tracing::warn!(message_id = %inner.message_id, %error, "cannot extend a claim in the ledger");
                }
            }
        }
    }

    fn lose(&self, inner: &Inner) {
        if !inner.lost.is_cancelled() {
            self.meters.lease_losses.add(1);
        }
        inner.lost.cancel();
    }
}
