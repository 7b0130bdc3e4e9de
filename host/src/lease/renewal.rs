//! The renewals: which leases are due, and the calls that renew them.
//!
//! The keeper's thread ticks at least every second and renews each lease at half of its visibility,
//! always to the whole of it. Batches are on their way side by side, and a lease is in one of them
//! at most: a call that hangs holds back none but its own.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;
use wasq_core::clock;
use wasq_core::message::Key;
use wasq_ledgers::{Fence, Ledger, LedgerError};
use wasq_queues::{BATCH_MAX_ENTRIES, Queue, QueueError, VISIBILITY_MAX};

use super::{Leases, Stage, Tracked};

/// How often the keeper looks, at least.
const TICK: Duration = Duration::from_secs(1);
/// And so often within a visibility: of the half that is left when a renewal is due, most must be
/// left when it is made.
const TICKS_PER_VISIBILITY: u32 = 16;
/// A call is given up after this part of the visibility: in the half that is left there is time for
/// another one, and a lease whose calls hang is seen to end.
const CALLS_PER_VISIBILITY: u32 = 4;

/// The work of renewing a [`Keeper`](super::Keeper)'s leases. It ends when the keeper is stopped or
/// dropped.
pub struct Renewals {
    leases: Arc<Leases>,
    visibility: Duration,
    stop: CancellationToken,
}

/// A lease whose renewal is under way.
struct Due(Arc<Tracked>);

impl Drop for Due {
    fn drop(&mut self) {
        self.0.state.lock().renewing = false;
    }
}

impl Renewals {
    pub(super) fn new(leases: Arc<Leases>, visibility: Duration, stop: CancellationToken) -> Self {
        Self { leases, visibility, stop }
    }

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
        let mut renewals = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                // First, so that a lease whose call has failed at this tick is due again.
                Some(()) = renewals.next() => {}
                _ = ticks.tick() => {
                    let mut due = self.take_due().into_iter().peekable();
                    while due.peek().is_some() {
                        let batch: Vec<_> = due.by_ref().take(BATCH_MAX_ENTRIES).collect();
                        renewals.push(self.renew(batch, queue, ledger));
                    }
                }
            }
        }
    }

    /// The leases that want renewing now. Those that have ended are lost on the way.
    fn take_due(&self) -> Vec<Due> {
        let visibility = self.visibility;
        let now = clock::now();
        let all: Vec<_> = self.leases.by_message.lock().values().cloned().collect();
        let is_due = |tracked: &Arc<Tracked>| {
            let mut state = tracked.state.lock();
            if state.stage == Stage::Settled || tracked.lost.is_cancelled() {
                return false;
            }
            let ends_at = state.ends_at();
            if ends_at <= now {
                tracing::warn!(message_id = %tracked.message_id, "a lease ended before it could be renewed");
                self.leases.lose(tracked);
                return false;
            }
            let allowed = state.keep_until > now && now + visibility < tracked.received_at + VISIBILITY_MAX;
            let is_due = allowed && ends_at - now <= visibility / 2 && !state.renewing;
            state.renewing |= is_due;
            is_due
        };
        all.into_iter().filter(is_due).map(Due).collect()
    }

    async fn renew(&self, batch: Vec<Due>, queue: &dyn Queue, ledger: &dyn Ledger) {
        let renewed = self.hide(&batch, queue).await;
        self.extend_claims(&renewed, ledger).await;
    }

    /// Renews the visibility of a batch. The answer is whose was, with the claims that go with it.
    async fn hide<'b>(&self, batch: &'b [Due], queue: &dyn Queue) -> Vec<(&'b Tracked, Key, Fence)> {
        let visibility = self.visibility;
        let mut guards = Vec::with_capacity(batch.len());
        let mut in_batch = Vec::with_capacity(batch.len());
        for Due(tracked) in batch {
            // Whoever is settling it now has no use for a renewal.
            if let Ok(guard) = tracked.visibility_call.try_lock()
                && tracked.state.lock().stage != Stage::Settled
            {
                guards.push(guard);
                in_batch.push(tracked.as_ref());
            }
        }
        if in_batch.is_empty() {
            return Vec::new();
        }
        let from = clock::now();
        let changes: Vec<_> = in_batch
            .iter()
            .map(|tracked| (tracked.state.lock().receipt.clone(), visibility.as_secs() as u32))
            .collect();
        let longest = visibility / CALLS_PER_VISIBILITY;
        let answers = tokio::time::timeout(longest, queue.change_visibility(&changes)).await.unwrap_or_else(|_| {
            let message = format!("no answer within {longest:?}");
            vec![Err(QueueError::Transient { code: "Timeout".into(), message }); changes.len()]
        });
        let mut claims = Vec::new();
        for ((tracked, (receipt, _)), answer) in in_batch.into_iter().zip(changes).zip(answers) {
            let mut state = tracked.state.lock();
            match answer {
                Ok(()) => {
                    state.visible_at = from + visibility;
                    self.leases.meters.lease_renewals.add(1);
                    claims.extend(state.claims.iter().map(|claim| (tracked, claim.key, claim.fence)));
                }
                Err(QueueError::LeaseLost { .. }) if state.stage == Stage::Deleting => state.stage = Stage::Settled,
                // A newer delivery has brought another handle.
                Err(QueueError::LeaseLost { .. }) if state.receipt != receipt => {}
                Err(QueueError::LeaseLost { message }) => {
                    tracing::warn!(message_id = %tracked.message_id, %message, "a lease is lost");
                    self.leases.lose(tracked);
                }
                Err(error @ (QueueError::Transient { .. } | QueueError::Permanent { .. })) => {
                    // It is tried again at the next tick, until the lease has ended.
                    tracing::warn!(message_id = %tracked.message_id, %error, "cannot renew a lease");
                }
            }
        }
        claims
    }

    async fn extend_claims(&self, claims: &[(&Tracked, Key, Fence)], ledger: &dyn Ledger) {
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
        for ((tracked, key, fence), answer) in claims.iter().zip(answers) {
            let mut state = tracked.state.lock();
            let claim = state.claims.iter_mut().find(|claim| claim.key == *key && claim.fence == *fence);
            match (claim, answer) {
                (Some(claim), Ok(true)) => claim.ends_at = from + visibility,
                (Some(claim), Ok(false)) if !claim.finishing => {
                    tracing::warn!(message_id = %tracked.message_id, "a ledger claim is lost");
                    self.leases.lose(tracked);
                }
                // A claim that was finished meanwhile is not ours, and that is well.
                (Some(_), Ok(false)) | (None, _) => {}
                // It is tried again at the next tick, until the lease has ended.
                (Some(_), Err(error)) => {
                    tracing::warn!(message_id = %tracked.message_id, %error, "cannot extend a claim in the ledger");
                }
            }
        }
    }
}
