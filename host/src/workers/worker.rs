//! One queue's worker: permit, poll, spawn; and the drain.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedSemaphorePermit};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wasq_core::backoff::Backoff;
use wasq_core::clock;
use wasq_core::message::Delivery;
use wasq_queues::{BATCH_MAX_ENTRIES, Queue};

use crate::admission::in_hand::InHand;
use crate::flow::batch::Batch;
use crate::flow::decide::QueueAction;
use crate::flow::{self, QueueRuntime, Services};
use crate::telemetry::spans::Span;

/// The wait after a failed receive: at most one call a second, growing to half a minute, with
/// jitter.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));

/// The least time between the beginnings of two receives that bring nothing. A short poll (`wait =
/// "0s"`), and a server that does not wait, answer at once.
const EMPTY_PAUSE: Duration = Duration::from_secs(1);

/// How long a poll that is under way when the host is told to stop may still bring something, once
/// nothing runs any more. What it brings is released. After that it is given up, so that an idle
/// host ends within two seconds.
const LAST_POLL: Duration = Duration::from_millis(1_200);

/// How often the poller of a paused queue looks whether it goes on.
const PAUSE_LOOK: Duration = Duration::from_millis(500);

/// How long a receive waits for permits for a whole batch.
const FILL: Duration = Duration::from_millis(5);
/// How often a poller that waits for a permit says that it is alive.
const BEAT: Duration = Duration::from_secs(10);

/// Polls a queue and spawns its deliveries until `stop`, then lets what was begun come to its end.
pub struct Worker {
    services: Arc<Services>,
    runtime: Arc<QueueRuntime>,
    /// Held by the poller that collects permits: two would each wait for those that the other has.
    collecting: Mutex<()>,
    /// Those of all the host's queues.
    deliveries: TaskTracker,
    stop: CancellationToken,
}

impl Worker {
    /// `deliveries` is shared by all workers: what one of them still has keeps the polls of the
    /// others open.
    pub fn new(
        services: Arc<Services>,
        runtime: Arc<QueueRuntime>,
        deliveries: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self { services, runtime, collecting: Mutex::new(()), deliveries, stop }
    }

    /// Runs until `stop`, and then until the last poll has ended or is given up, and the last
    /// delivery is settled. Each full receive adds a poller, and each empty one ends one.
    pub async fn run(self) {
        self.services.health.begun(&self.runtime.name);
        let worker = Arc::new(self);
        let mut pollers = JoinSet::new();
        pollers.spawn(worker.clone().poll());
        while let Some(ended) = pollers.join_next().await {
            let wanted = match ended {
                Ok(Polled::Full) => 2,
                Ok(Polled::Some) => 1,
                Ok(Polled::Empty | Polled::Failed) => usize::from(pollers.is_empty()),
                Err(error) => {
                    tracing::error!(%error, queue = worker.runtime.name, "a poller panicked");
                    1
                }
            };
            if worker.stop.is_cancelled() {
                continue;
            }
            for _ in 0..wanted {
                if pollers.len() < worker.runtime.config.max_pollers {
                    pollers.spawn(worker.clone().poll());
                }
            }
        }
        worker.deliveries.close();
        worker.deliveries.wait().await;
    }

    /// One receive, for as many messages as there are free permits.
    async fn poll(self: Arc<Self>) -> Polled {
        let Some(mut permits) = self.permits().await else { return Polled::Empty };
        let config = &self.runtime.config;
        let began = clock::now();
        // Given up at the very end only: what a poll brings that nobody reads is hidden for a whole
        // visibility.
        let received = tokio::select! {
            biased;
            received = self.runtime.queue.receive(permits.len(), config.poll_wait(), config.visibility) => received,
            () = self.nothing_is_left() => return Polled::Empty,
        };
        match received {
            Ok(deliveries) => {
                self.services.health.polled(&self.runtime.name);
                let last_sent = deliveries.last().map(|delivery| delivery.sent_at);
                self.runtime.meters.polled(deliveries.len(), last_sent, self.services.clock.unix_ms());
                let polled = match deliveries.len() {
                    0 => Polled::Empty,
                    count if count >= permits.len() => Polled::Full,
                    _ => Polled::Some,
                };
                let groups = in_groups(deliveries, self.runtime.queue.as_ref());
                if !groups.is_empty() {
                    let groups: Vec<_> = groups.into_iter().map(|group| (group, permits.pop())).collect();
                    self.deliveries.spawn(self.clone().deliver(groups));
                }
                if let Polled::Empty = polled {
                    drop(permits);
                    self.sleep_unless_stopped((began + EMPTY_PAUSE).saturating_duration_since(clock::now())).await;
                }
                polled
            }
            Err(error) => {
                self.runtime.meters.poll_failed(error.code());
                let failures = self.services.health.poll_failed(&self.runtime.name, &error.to_string());
                tracing::warn!(queue = self.runtime.name, %error, "cannot receive");
                drop(permits);
                self.back_off(failures).await;
                Polled::Failed
            }
        }
    }

    /// Waits while the queue is paused. None when the worker stops.
    async fn unpaused(&self) -> Option<()> {
        let services = &self.services;
        while services.pauses.keep_from_polling(&self.runtime.name, services.clock.unix_ms()) {
            services.health.waiting(&self.runtime.name);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep(PAUSE_LOOK) => {}
            }
        }
        Some(())
    }

    /// At least one permit and at most a batch of them, once the ledger answers; none when the
    /// worker stops.
    async fn permits(&self) -> Option<Vec<OwnedSemaphorePermit>> {
        let _turn = tokio::select! {
            biased;
            () = self.stop.cancelled() => return None,
            turn = self.collecting.lock() => turn,
        };
        let in_hand = self.runtime.limit.permits();
        let first = loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                permit = in_hand.clone().acquire_owned() => break permit.expect("the semaphore is never closed"),
                () = tokio::time::sleep(BEAT) => self.services.health.waiting(&self.runtime.name),
            }
        };
        while self.services.health.ledger_is_down() {
            self.services.health.waiting(&self.runtime.name);
            match self.services.ledger.ping().await {
                Ok(()) => self.services.health.ledger_answered(),
                Err(error) => self.services.health.ledger_failed(&error.to_string()),
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep(BACKOFF.first()) => {}
            }
        }
        self.unpaused().await?;
        let mut permits = vec![first];
        self.fill(&mut permits).await;
        Some(permits)
    }

    /// Takes permits for a whole batch. A host that is at its limit waits a moment for the last of
    /// them: a call costs the same, whatever it brings.
    async fn fill(&self, permits: &mut Vec<OwnedSemaphorePermit>) {
        let limit = &self.runtime.limit;
        let more = BATCH_MAX_ENTRIES.min(limit.limit()).saturating_sub(permits.len());
        let whole = limit.permits().clone().acquire_many_owned(more as u32);
        if let Ok(Ok(mut whole)) = tokio::time::timeout(FILL, whole).await {
            permits.extend((0..more).filter_map(|_| whole.split(1)));
            return;
        }
        while permits.len() < BATCH_MAX_ENTRIES
            && let Ok(permit) = limit.permits().clone().try_acquire_owned()
        {
            permits.push(permit);
        }
    }

    async fn back_off(&self, failures: u32) {
        self.sleep_unless_stopped(BACKOFF.jittered(failures)).await;
    }

    async fn sleep_unless_stopped(&self, time: Duration) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(time) => {}
        }
    }

    /// Waits for the stop, and then until nothing runs on any queue and a moment has passed.
    async fn nothing_is_left(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(LAST_POLL).await;
        self.deliveries.close();
        self.deliveries.wait().await;
    }

    /// Takes what one receive has brought its way: the groups side by side.
    async fn deliver(self: Arc<Self>, groups: Vec<(Vec<Delivery>, Option<OwnedSemaphorePermit>)>) {
        let batch = Batch::new(self.services.ledger.as_ref());
        batch.drive(groups.into_iter().map(|(group, permit)| self.deliver_group(&batch, group, permit))).await;
    }

    /// Takes the deliveries of one group their way, one after the other. When one is not settled
    /// for good, the rest of its group goes back, so that the order holds.
    async fn deliver_group(&self, batch: &Batch<'_>, group: Vec<Delivery>, permit: Option<OwnedSemaphorePermit>) {
        let in_hand = InHand::new(permit);
        let keeper = &self.runtime.keeper;
        // Those that wait for their turn are ours, too.
        let group: Vec<_> = group.into_iter().map(|delivery| (keeper.track(&delivery), delivery)).collect();
        let mut in_order = true;
        for (lease, delivery) in group {
            // The same message is in hand already.
            let Some(lease) = lease else {
                in_order = false;
                continue;
            };
            // What a poll brings after the stop was not begun, and goes back at once.
            if !in_order || self.stop.is_cancelled() {
                self.runtime.settler.settle(lease, QueueAction::PUT_BACK, None, Span::NONE, None).await;
                continue;
            }
            let action = flow::handle(&self.services, &self.runtime, batch, &delivery, lease, &in_hand).await;
            in_order = action == QueueAction::Delete;
        }
    }
}

/// What a poll brought.
enum Polled {
    Full,
    Some,
    Empty,
    Failed,
}

/// On a queue that keeps an order, one list a message group, in the order of receipt; elsewhere
/// each delivery for itself, and so is one without a group.
fn in_groups(deliveries: Vec<Delivery>, queue: &dyn Queue) -> Vec<Vec<Delivery>> {
    if queue.is_one_group() && !deliveries.is_empty() {
        return vec![deliveries];
    }
    let ordered = queue.keeps_order();
    let mut groups: Vec<Vec<Delivery>> = Vec::new();
    for delivery in deliveries {
        let same =
            groups.iter_mut().find(|group| ordered && delivery.group.is_some() && group[0].group == delivery.group);
        match same {
            Some(group) => group.push(delivery),
            None => groups.push(vec![delivery]),
        }
    }
    groups
}
