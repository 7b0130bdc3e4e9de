//! The workers of all the host's queues, from their first poll to the end of the drain.

mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::growing_list::GrowingList;

use crate::flow::{QueueRuntime, Services};
use worker::Worker;

/// Releases, and last deletes, are given this long after the drain.
const FLUSH: Duration = Duration::from_secs(3);

/// One worker a queue.
pub struct Workers {
    services: Arc<Services>,
    /// Those whose queues are open.
    runtimes: GrowingList<Arc<QueueRuntime>>,
    workers: Vec<JoinHandle<()>>,
    /// What the workers have in hand.
    deliveries: TaskTracker,
    stop: CancellationToken,
}

impl Workers {
    pub fn new(services: Arc<Services>) -> Self {
        Self {
            services,
            runtimes: GrowingList::default(),
            workers: Vec::new(),
            deliveries: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Begins to poll a queue.
    pub fn begin(&mut self, runtime: QueueRuntime) {
        let runtime = Arc::new(runtime);
        self.runtimes.push(runtime.clone());
        let worker = Worker::new(self.services.clone(), runtime, self.deliveries.clone(), self.stop.clone());
        self.workers.push(tokio::spawn(worker.run()));
    }

    /// Begins to poll a queue as soon as it is open. At a stop it is given up.
    pub fn begin_when_open(&mut self, opening: impl Future<Output = QueueRuntime> + Send + 'static) {
        let (runtimes, stop) = (self.runtimes.clone(), self.stop.clone());
        let (services, deliveries) = (self.services.clone(), self.deliveries.clone());
        self.workers.push(tokio::spawn(async move {
            let Some(runtime) = stop.run_until_cancelled(opening).await else { return };
            let runtime = Arc::new(runtime);
            runtimes.push(runtime.clone());
            Worker::new(services, runtime, deliveries, stop).run().await;
        }));
    }

    pub fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// The queues that are open.
    pub fn runtimes(&self) -> &GrowingList<Arc<QueueRuntime>> {
        &self.runtimes
    }

    /// Stops receiving, lets what runs come to its end for `patience` or until `hurry`, then
    /// interrupts the rest.
    pub async fn drain(&mut self, patience: Duration, hurry: impl Future<Output = ()>) {
        self.services.health.draining();
        self.stop.cancel();
        let mut workers = futures::future::join_all(self.workers.drain(..));
        let out_of_patience = tokio::time::sleep(patience);
        tokio::select! {
            biased;
            _ = &mut workers => {}
            () = async { tokio::select! { biased; () = hurry => {}, () = out_of_patience => {} } } => {
                tracing::info!("interrupting what still runs");
                self.services.interrupt.cancel();
                if tokio::time::timeout(FLUSH, &mut workers).await.is_err() {
                    tracing::warn!("a long poll is still open; what it brings is delivered again after its visibility");
                }
            }
        }
    }

    /// After the drain: waits for the last deletes, and ends the keepers.
    pub async fn flush(self) {
        futures::future::join_all(self.runtimes.items().iter().map(|runtime| flush(runtime))).await;
    }
}

/// Whoever else has the queue's runtime, a worker whose poll is still open or a client of the
/// admin port, does not keep it from its end. What a worker settles after this, the next delivery
/// settles again.
async fn flush(runtime: &QueueRuntime) {
    if tokio::time::timeout(FLUSH, runtime.settler.finish()).await.is_err() {
        tracing::warn!(queue = runtime.name, "the last deletes were not confirmed; the ledger knows what is done");
    }
    runtime.keeper.stop().await;
}
