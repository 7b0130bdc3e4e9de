//! The keeper of one queue's leases. The host starts one a queue; the queue's worker has it track
//! each delivery.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use wasq_core::clock;
use wasq_core::message::Delivery;
use wasq_ledgers::Ledger;
use wasq_queues::{Queue, VISIBILITY_MAX};

use super::renewal::Renewals;
use super::thread::KeeperThread;
use super::{Lease, LeaseState, Leases, Stage, Tracked};
use crate::telemetry::metrics::QueueMeters;

/// The leases of one queue, and the thread that renews them.
pub struct Keeper {
    leases: Arc<Leases>,
    visibility: Duration,
    thread: KeeperThread,
}

impl Keeper {
    /// Starts the thread. `connect` gives the queue with connections of its own: the serving
    /// threads' may be starved.
    pub fn start<F, Q>(connect: F, visibility: Duration, ledger: Arc<dyn Ledger>, meters: Arc<QueueMeters>) -> Self
    where
        F: FnOnce() -> Q + Send + 'static,
        Q: Future<Output = Arc<dyn Queue>>,
    {
        let (keeper, renewals) = Self::new(visibility, meters);
        keeper.thread.start(move || async move {
            let ledger = ledger.with_own_connections().await.unwrap_or(ledger);
            renewals.run(connect().await, ledger).await;
        });
        keeper
    }

    /// A keeper without a thread, and the work that its thread would do.
    pub fn new(visibility: Duration, meters: Arc<QueueMeters>) -> (Self, Renewals) {
        let leases = Arc::new(Leases { by_message: Mutex::default(), meters });
        let stop = CancellationToken::new();
        let renewals = Renewals::new(leases.clone(), visibility, stop.clone());
        (Self { leases, visibility, thread: KeeperThread::elsewhere(stop) }, renewals)
    }

    /// Begins to keep a delivery, as long as SQS allows unless [`Lease::keep_until`] sets a bound.
    /// None when the same message is worked on already: its run continues with the newest handle,
    /// which this delivery brought. A run whose lease is over does not continue.
    #[must_use]
    pub fn track(&self, delivery: &Delivery) -> Option<Lease> {
        let mut by_message = self.leases.by_message.lock();
        let visible_at = delivery.received_at + self.visibility;
        if let Some(tracked) = by_message.get(&delivery.message_id) {
            let mut state = tracked.state.lock();
            match state.stage {
                // Its visibility may have ended; its claims must not.
                Stage::Held | Stage::Deleting
                    if !tracked.lost.is_cancelled() && state.claims_end_at().all(|end| end > clock::now()) =>
                {
                    state.receipt = delivery.receipt.clone();
                    state.visible_at = visible_at;
                    return None;
                }
                Stage::Held | Stage::Deleting => self.leases.lose(tracked),
                // It is done with its message; its last call may still wait for an answer.
                Stage::Settled => {}
            }
        }
        let tracked = Arc::new(Tracked {
            message_id: delivery.message_id.clone(),
            received_at: delivery.received_at,
            lost: CancellationToken::new(),
            state: Mutex::new(LeaseState {
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
        by_message.insert(delivery.message_id.clone(), tracked.clone());
        Some(Lease { tracked, leases: self.leases.clone() })
    }

    /// Ends the renewals, and waits for the thread, at most a tick. Whoever still has a part of the
    /// keeper may continue with it; nothing is renewed any more.
    pub async fn stop(&self) {
        self.thread.stop().await;
    }

    /// Deliveries in progress.
    pub fn in_progress(&self) -> usize {
        self.leases.by_message.lock().len()
    }
}
