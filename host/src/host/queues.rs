//! Opens the config's queues and outlets in SQS and checks them before anything is received. The
//! host does so when it starts, and `wasq check --live` to say what the host would say. What could
//! not be opened is [`Unopened`]: the host refuses to start, or opens it later ([`super::opener`]).

use std::sync::Arc;

use futures::future::{join, join_all};
use parking_lot::Mutex;
use wasq_queues::{
    Broker, Brokers, DeliveryLimit, MaximumMessageSize, Outlet, Outlets, Queue, QueueAttributes, QueueError, Retention,
};

use super::outlet::outlet_queue;
use crate::config::{Config, DeadLetterEdge, OutletConfig, QueueConfig, QueueRef, dead_letter_ring, ring_rule};
use crate::dlq::redrive::{self, Redrive, RedriveError};
use crate::flow::Services;
use crate::plugins::Catalog;
use crate::plugins::demands::Demands;

/// Why a queue of the config cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{table} `{name}`: {error}{hint}")]
    Queue { table: &'static str, name: String, error: QueueError, hint: &'static str },
    #[error("{0}")]
    Redrive(#[from] RedriveError),
    #[error("queue `{name}`: {rule}")]
    Ring { name: String, rule: String },
}

impl OpenError {
    /// Whether it may pass while the host runs: a queue is created, a policy changed, an endpoint
    /// comes up. What two settings contradict each other in does not.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Queue { error, .. } => !error.needs_other_settings(),
            Self::Redrive(_) | Self::Ring { .. } => false,
        }
    }
}

/// A queue or an outlet of the config that could not be opened.
pub struct Unopened {
    /// Its name in the config.
    pub name: String,
    pub error: OpenError,
}

/// A queue of the config with its DLQ, both found in SQS.
pub struct OpenQueue {
    /// Its name in the config.
    pub name: String,
    pub config: QueueConfig,
    pub queue: Arc<dyn Queue>,
    pub retention: Retention,
    pub max_bytes: MaximumMessageSize,
    pub dlq: Arc<dyn Queue>,
    pub dlq_max_bytes: MaximumMessageSize,
    pub max_receive_count: Option<u32>,
    delivery_limit: DeliveryLimit,
    /// What is allowed and may be meant otherwise, and what could not be checked.
    pub warnings: Vec<String>,
    /// Which queues the two are, to compare with others.
    identities: [String; 2],
}

/// A queue of the config that is only sent to.
pub struct OpenOutlet {
    /// Its name in the config.
    pub name: String,
    pub queue: Arc<dyn Queue>,
    pub max_bytes: MaximumMessageSize,
}

impl OpenQueue {
    /// Says in the log what is allowed and may be meant otherwise.
    pub fn warn(&self) {
        for warning in &self.warnings {
            tracing::warn!(queue = self.name, "{warning}");
        }
    }
}

/// All queues and outlets of a config.
pub struct OpenQueues {
    pub queues: Vec<OpenQueue>,
    pub outlets: Vec<OpenOutlet>,
    pub unopened: Vec<Unopened>,
    /// With the queues that are open in it.
    pub rings: Rings,
}

impl OpenQueues {
    /// Refuses a start that must not be: a fault that no waiting mends, and with `strict` any.
    ///
    /// # Errors
    /// All that could not be opened, and not the first of it alone.
    pub fn or_refuse(self, strict: bool) -> Result<Self, Vec<OpenError>> {
        if self.unopened.iter().any(|unopened| strict || !unopened.error.may_pass()) {
            return Err(self.unopened.into_iter().map(|unopened| unopened.error).collect());
        }
        Ok(self)
    }

    /// Where outboxes may send, by the names in the config, as far as it is open.
    pub fn outlets(&self, config: &Config) -> Outlets {
        let queues = self.queues.iter().map(|open| (&open.name, &open.queue, &open.max_bytes));
        let outlets = self.outlets.iter().map(|open| (&open.name, &open.queue, &open.max_bytes));
        let outlet = |(name, queue, max_bytes): (&String, &Arc<dyn Queue>, &MaximumMessageSize)| {
            let queue = outlet_queue(queue, &config.aws, config.claim_check(name).as_ref());
            (name.clone(), Outlet { queue, max_bytes: max_bytes.clone() })
        };
        queues.chain(outlets).map(outlet).collect()
    }
}

/// After how many receives the brokers take a message away from the queues that are open, which
/// plugins that are loaded later must not reach either.
#[derive(Default)]
pub struct ReceiveLimits(Mutex<Vec<ReceiveLimit>>);

struct ReceiveLimit {
    queue: String,
    max_receive_count: Option<u32>,
    delivery_limit: DeliveryLimit,
}

impl ReceiveLimits {
    pub fn add(&self, open: &OpenQueue) {
        let OpenQueue { name, max_receive_count, delivery_limit, .. } = open;
        let (queue, max_receive_count, delivery_limit) = (name.clone(), *max_receive_count, *delivery_limit);
        self.0.lock().push(ReceiveLimit { queue, max_receive_count, delivery_limit });
    }

    /// Says what is wrong with the plugins: none is loaded, or one makes more attempts than a
    /// redrive policy lets it.
    pub fn note(&self, services: &Services, config: &Config, catalog: &Catalog) {
        let nothing = catalog.plugins().next().is_none();
        let nothing = nothing.then(|| {
            let registries = if config.oci.plugins.is_empty() { "" } else { " or from the registries in [oci]" };
            format!("no plugin is loaded from {}{registries}", config.plugins_dir.display())
        });
        let too_few = self.check(catalog.demands().attempts).err().map(|error| error.to_string());
        if let Some(problem) = &too_few {
            tracing::error!("{problem}");
        }
        services.health.plugins(nothing.or(too_few));
    }

    /// Against the most `attempts` that a plugin makes.
    pub fn check(&self, attempts: u32) -> Result<(), RedriveError> {
        self.0.lock().iter().try_for_each(|ReceiveLimit { queue, max_receive_count, delivery_limit }| {
            redrive::check_deliveries(queue, *delivery_limit, attempts)?;
            max_receive_count.map_or(Ok(()), |count| redrive::check_receives(queue, count, attempts))
        })
    }
}

/// Opens all of them, as far as they can be opened.
pub async fn open_all(brokers: &Brokers, config: &Config, demands: Demands) -> OpenQueues {
    let queues = config.queues.iter().map(|(name, queue)| open_queue(brokers, name, queue, demands));
    let outlets = config.outlets.iter().map(|(name, outlet)| open_outlet(brokers, name, outlet));
    let (queues, outlets) = join(join_all(queues), join_all(outlets)).await;
    let mut unopened = Vec::new();
    let queues = opened(config.queues.keys(), queues, &mut unopened);
    let outlets = opened(config.outlets.keys(), outlets, &mut unopened);
    let rings = Rings::default();
    let in_no_ring = |queue: OpenQueue| match rings.add(&queue) {
        Ok(()) => Some(queue),
        Err(error) => {
            unopened.push(Unopened { name: queue.name, error });
            None
        }
    };
    OpenQueues { queues: queues.into_iter().filter_map(in_no_ring).collect(), outlets, unopened, rings }
}

/// Those that are open; the others go to `unopened`.
fn opened<'n, T>(
    names: impl Iterator<Item = &'n String>,
    opened: Vec<Result<T, OpenError>>,
    unopened: &mut Vec<Unopened>,
) -> Vec<T> {
    let sorted = names.zip(opened).filter_map(|(name, opened)| {
        opened.map_err(|error| unopened.push(Unopened { name: name.clone(), error })).ok()
    });
    sorted.collect()
}

/// Opens the queue and its DLQ. The redrive policy is checked against the plugins'
/// `demands`.
pub async fn open_queue(
    brokers: &Brokers,
    name: &str,
    config: &QueueConfig,
    demands: Demands,
) -> Result<OpenQueue, OpenError> {
    let fail = |name: String, error, hint| OpenError::Queue { table: "queue", name, error, hint };
    let missing = |error: QueueError| {
        let hint = hint(&error, config.broker);
        fail(name.to_owned(), error, hint)
    };
    let queue = brokers.queue(&config.location(name).address()).await.map_err(missing)?;
    let attributes = readable(queue.attributes().await).map_err(missing)?;
    let Redrive { dlq: dlq_name, max_receive_count } =
        redrive::check(name, queue.is_fifo(), config, attributes.as_ref(), demands.attempts)?;
    let delivery_limit = delivery_limit(&*queue).await.map_err(missing)?;
    redrive::check_deliveries(name, delivery_limit, demands.attempts)?;
    let (retention, max_bytes) = (Retention::default(), MaximumMessageSize::default());
    if let Some(attributes) = &attributes {
        retention.update(attributes);
        max_bytes.update(attributes);
    }
    redrive::check_retention(name, config, retention.get())?;

    let no_dlq = |error: QueueError| {
        let hint = if error.says_missing() { "; create it, or set `dlq`" } else { "" };
        fail(format!("{name}` with the DLQ `{dlq_name}"), error, hint)
    };
    let dlq = queue.sibling(&dlq_name).await.map_err(no_dlq)?;
    let dlq_attributes = readable(dlq.attributes().await).map_err(no_dlq)?;
    let dlq_max_bytes = MaximumMessageSize::default();
    if let Some(attributes) = &dlq_attributes {
        dlq_max_bytes.update(attributes);
    }
    redrive::check_kinds(name, queue.is_fifo(), &dlq_name, dlq.is_fifo())?;

    let warnings = Redrive { dlq: dlq_name, max_receive_count }.warning().into_iter();
    let mut warnings: Vec<String> = warnings.chain(redrive::delivery_warning(delivery_limit)).collect();
    warnings.extend(redrive::timeout_warning(config.broker, demands.timeout));
    if attributes.is_none() {
        warnings.push(unchecked(&*queue, &["its redrive policy (maxReceiveCount)", "how long it keeps a message"]));
    }
    if dlq_attributes.is_none() {
        warnings.push(unchecked(&*dlq, &["whether this DLQ is there", "the largest letter that it takes"]));
    }
    Ok(OpenQueue {
        name: name.to_owned(),
        config: config.clone(),
        identities: [identity(&*queue, attributes.as_ref()), identity(&*dlq, dlq_attributes.as_ref())],
        queue,
        retention,
        max_bytes,
        dlq,
        dlq_max_bytes,
        max_receive_count,
        delivery_limit,
        warnings,
    })
}

/// Opens a queue that is only sent to. What may only be sent to is not asked for more.
pub async fn open_outlet(brokers: &Brokers, name: &str, config: &OutletConfig) -> Result<OpenOutlet, OpenError> {
    let missing = |error: QueueError| {
        let hint = hint(&error, config.broker);
        OpenError::Queue { table: "outlet", name: name.to_owned(), error, hint }
    };
    let queue = brokers.queue(&config.location(name).address()).await.map_err(missing)?;
    let max_bytes = MaximumMessageSize::default();
    if let Some(attributes) = readable(queue.attributes().await).map_err(missing)? {
        max_bytes.update(&attributes);
    }
    Ok(OpenOutlet { name: name.to_owned(), queue, max_bytes })
}

/// None where the host may not ask for it.
async fn delivery_limit(queue: &dyn Queue) -> Result<DeliveryLimit, QueueError> {
    match queue.delivery_limit().await {
        Err(error) if error.says_denied() => {
            tracing::info!(queue = queue.name(), %error, "may not ask after how many deliveries the broker drops a message");
            Ok(DeliveryLimit::None)
        }
        answer => answer,
    }
}

/// What helps where the broker has no such queue.
fn hint(error: &QueueError, broker: Broker) -> &'static str {
    match broker {
        _ if !error.says_missing() => "",
        Broker::Sqs => "; create it, or set `url`",
        // Its own words say what to do.
        Broker::RabbitMq | Broker::Redis | Broker::Kafka => "",
    }
}

/// Where the dead letters of the queues that are open go. DLQs that are their own sources, or each
/// other's, are refused. Two names may be one queue, so this is asked of those that were found in
/// SQS.
#[derive(Default)]
pub struct Rings(Mutex<Vec<DeadLetterEdge>>);

impl Rings {
    /// Adds a queue, unless it would close a ring.
    pub fn add(&self, open: &OpenQueue) -> Result<(), OpenError> {
        let [queue, dlq] = open.identities.clone();
        let mut edges = self.0.lock();
        edges.push(DeadLetterEdge { name: open.name.clone(), queue, dlq });
        let refused =
            dead_letter_ring(&edges).map(|ring| OpenError::Ring { name: ring[0].to_owned(), rule: ring_rule(&ring) });
        match refused {
            None => Ok(()),
            Some(error) => {
                edges.pop();
                Err(error)
            }
        }
    }
}

/// None where we may not ask: a host runs without, and says what it does not know.
fn readable(answer: Result<QueueAttributes, QueueError>) -> Result<Option<QueueAttributes>, QueueError> {
    match answer {
        Err(error) if error.says_denied() => Ok(None),
        answer => answer.map(Some),
    }
}

fn unchecked(queue: &dyn Queue, what: &[&str]) -> String {
    format!(
        "sqs:GetQueueAttributes is denied for {}, so the host cannot check {}, and its metrics lack the queue's counts; allow it",
        queue.name(),
        what.join(" and ")
    )
}

/// SQS's own name for the queue, else what its URL tells.
fn identity(queue: &dyn Queue, attributes: Option<&QueueAttributes>) -> String {
    let arn = attributes.and_then(|attributes| attributes.get("QueueArn")).map_or(queue.url(), String::as_str);
    QueueRef::parse(arn).map_or_else(|_| arn.to_owned(), |reference| reference.identity())
}
