//! Opens the queues and outlets that could not be opened when the host started, and tries until it
//! can: a queue may be created, a policy changed, an endpoint come up. The host spawns a task for
//! each. Meanwhile readiness says which are missing and why, and what outboxes send to them waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use wasq_core::backoff::Backoff;
use wasq_queues::{Brokers, LateQueue, MaximumMessageSize, Outlet, Queue};

use super::outlet::outlet_queue;
use super::queues::{OpenError, OpenQueue, ReceiveLimits, Rings, Unopened, open_outlet, open_queue};
use crate::admin::DeadLetterQueues;
use crate::config::{Config, OutletConfig, QueueConfig};
use crate::flow::Services;

/// The wait after a queue could not be opened: it grows to half a minute, with jitter.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));

/// What the tasks share.
pub struct Opener {
    pub brokers: Brokers,
    pub config: Arc<Config>,
    pub services: Arc<Services>,
    pub receives: Arc<ReceiveLimits>,
    pub rings: Rings,
    pub dead_letter_queues: Arc<DeadLetterQueues>,
    pub late: LateOutlets,
}

/// What outboxes have of queues that are not open yet, by the names in the config.
#[derive(Default)]
pub struct LateOutlets(HashMap<String, (Arc<LateQueue>, MaximumMessageSize)>);

impl LateOutlets {
    /// Adds one, and gives what outboxes are to have of it.
    pub fn add(&mut self, config: &Config, unopened: &Unopened) -> Outlet {
        let location = config.location(&unopened.name).expect("it is one of the config's");
        let over = config.claim_check(&unopened.name).map(|check| check.over_bytes);
        let late = LateQueue::new(&location.name_there(), &unopened.error.to_string(), over).on(location.broker);
        let late = Arc::new(late);
        let max_bytes = MaximumMessageSize::default();
        self.0.insert(unopened.name.clone(), (late.clone(), max_bytes.clone()));
        Outlet { queue: late, max_bytes }
    }

    fn still_closed(&self, name: &str, error: &OpenError) {
        if let Some((late, _)) = self.0.get(name) {
            late.still_closed(&error.to_string());
        }
    }

    /// From here on what is sent arrives. The answer is what is known of the largest message, which
    /// the outlet shares.
    fn open(&self, name: &str, queue: Arc<dyn Queue>, max_bytes: MaximumMessageSize) -> MaximumMessageSize {
        let Some((late, shared)) = self.0.get(name) else { return max_bytes };
        shared.learn_from(&max_bytes);
        late.open(queue);
        shared.clone()
    }
}

impl Opener {
    /// Opens a queue with its DLQ, and checks both as at a start.
    pub async fn queue(&self, name: &str, config: &QueueConfig) -> OpenQueue {
        let mut open = self.until_open(name, || self.try_queue(name, config)).await;
        open.max_bytes = self.late.open(name, self.sent_to(name, &open.queue), open.max_bytes);
        open.warn();
        self.receives.add(&open);
        // A plugin may have been loaded meanwhile, unchecked against this queue.
        self.receives.note(&self.services, &self.config, &self.services.catalogs.current());
        self.dead_letter_queues.add(name, &open.queue, &open.dlq);
        open
    }

    /// Opens a queue that is only sent to.
    pub async fn outlet(&self, name: &str, config: &OutletConfig) {
        let open = self.until_open(name, || open_outlet(&self.brokers, name, config)).await;
        self.late.open(name, self.sent_to(name, &open.queue), open.max_bytes);
        self.services.health.opened(name);
    }

    fn sent_to(&self, name: &str, queue: &Arc<dyn Queue>) -> Arc<dyn Queue> {
        outlet_queue(queue, &self.config.aws, self.config.claim_check(name).as_ref())
    }

    async fn try_queue(&self, name: &str, config: &QueueConfig) -> Result<OpenQueue, OpenError> {
        let demands = self.services.catalogs.current().demands();
        let open = open_queue(&self.brokers, name, config, demands).await?;
        self.rings.add(&open)?;
        Ok(open)
    }

    /// Tries again and again, for as long as it takes.
    async fn until_open<T, F>(&self, name: &str, open: impl Fn() -> F) -> T
    where
        F: Future<Output = Result<T, OpenError>>,
    {
        let mut failures = 1;
        loop {
            tokio::time::sleep(BACKOFF.jittered(failures)).await;
            match open().await {
                Ok(open) => return open,
                Err(error) => {
                    self.services.health.not_open(name, &error.to_string());
                    self.late.still_closed(name, &error);
                }
            }
            failures = failures.saturating_add(1);
        }
    }
}
