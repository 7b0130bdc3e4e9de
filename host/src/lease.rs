//! Leases: for how long a delivery is ours, and what keeps it so.
//!
//! One lease drives a delivery's visibility timeout, its ledger claims and its guest's deadline. A
//! worker has the [`Keeper`] track each delivery; the flow adds the claims and reads
//! [`Lease::lost`]; the settler drops the lease. A lease that cannot be renewed, in the queue or in
//! the ledger, is lost: whoever runs under it stops, and touches nothing. The renewals are made on
//! a thread of their own ([`renewal`]), so that busy handlers cannot starve them.

mod keeper;
mod renewal;
#[cfg(test)]
mod tests;
mod thread;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasq_core::clock;
use wasq_core::message::{Key, MessageId, Receipt};
use wasq_ledgers::Fence;
use wasq_queues::VISIBILITY_MAX;

pub use keeper::Keeper;
pub use renewal::Renewals;

use crate::telemetry::metrics::QueueMeters;

/// All leases of one queue, by their messages.
struct Leases {
    by_message: Mutex<BTreeMap<MessageId, Arc<Tracked>>>,
    meters: Arc<QueueMeters>,
}

/// A delivery that is ours. Dropping it ends its renewals.
#[must_use = "a lease that is dropped is not renewed"]
pub struct Lease {
    tracked: Arc<Tracked>,
    leases: Arc<Leases>,
}

/// What is known of a lease, for the one who works under it and for its renewals.
struct Tracked {
    message_id: MessageId,
    /// When the delivery was received; SQS allows 12 h from here.
    received_at: Instant,
    lost: CancellationToken,
    state: Mutex<LeaseState>,
    /// Held while a renewal or a settlement's visibility change is under way: one must not overtake
    /// the other.
    visibility_call: tokio::sync::Mutex<()>,
}

struct LeaseState {
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

impl LeaseState {
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
    fn lose(&self, tracked: &Tracked) {
        if !tracked.lost.is_cancelled() {
            self.meters.lease_losses.add(1);
        }
        tracked.lost.cancel();
    }
}

impl Lease {
    /// Cancelled when the delivery is not ours any more.
    pub fn lost(&self) -> &CancellationToken {
        &self.tracked.lost
    }

    /// The newest receipt handle.
    pub fn receipt(&self) -> Receipt {
        self.tracked.state.lock().receipt.clone()
    }

    /// How much longer it is ours unless it is renewed; what a claim made now should last.
    pub fn remaining(&self) -> Duration {
        self.tracked.state.lock().visible_at.saturating_duration_since(clock::now())
    }

    /// Whether it has been lost or has ended, noticed by the keeper or not yet.
    pub fn is_over(&self) -> bool {
        self.tracked.lost.is_cancelled() || self.tracked.state.lock().ends_at() <= clock::now()
    }

    /// A handler starts now.
    pub fn start(&self) {
        self.tracked.state.lock().started_at.get_or_insert_with(clock::now);
    }

    /// When the first handler was started.
    pub fn started_at(&self) -> Option<Instant> {
        self.tracked.state.lock().started_at
    }

    /// From now on the keeper extends this claim with the lease; until then it holds to `ends_at`.
    pub fn add_claim(&self, key: Key, fence: Fence, ends_at: Instant) {
        self.tracked.state.lock().claims.push(Claimed { key, fence, ends_at, finishing: false });
    }

    /// The ledger is about to be told how the claim ended.
    pub fn finish_claim(&self, key: Key) {
        let mut state = self.tracked.state.lock();
        state.claims.iter_mut().filter(|claim| claim.key == key).for_each(|claim| claim.finishing = true);
    }

    /// The claim was finished.
    pub fn remove_claim(&self, key: Key) {
        self.tracked.state.lock().claims.retain(|claim| claim.key != key);
    }

    /// Moves the time after which it is renewed no more.
    pub fn keep_until(&self, at: Instant) {
        self.tracked.state.lock().keep_until = at;
    }

    /// What is left of the 12 hours that SQS allows from receipt.
    pub fn room(&self) -> Duration {
        (self.tracked.received_at + VISIBILITY_MAX).saturating_duration_since(clock::now())
    }

    /// The message is about to be deleted. It is kept until that is confirmed.
    pub fn begin_delete(&self) {
        self.tracked.state.lock().stage = Stage::Deleting;
    }

    /// Ends the renewals, once none is under way, so that a visibility set after this stays.
    pub async fn settle(&self) {
        let _no_renewal = self.tracked.visibility_call.lock().await;
        self.tracked.state.lock().stage = Stage::Settled;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut by_message = self.leases.by_message.lock();
        if by_message.get(&self.tracked.message_id).is_some_and(|tracked| Arc::ptr_eq(tracked, &self.tracked)) {
            by_message.remove(&self.tracked.message_id);
        }
    }
}
