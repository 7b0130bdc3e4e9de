//! Opens the config's queues and outlets in SQS and checks them before anything is received. The
//! host does so when it starts, and `wasq check --live` to say what the host would say.

use std::sync::Arc;

use futures::future::{join, join_all};
use wasq_queues::sqs::{Sqs, SqsQueue};
use wasq_queues::{MaximumMessageSize, Outlet, Outlets, Queue, QueueAttributes, QueueError, Retention};

use crate::config::{Config, DeadLetterEdge, OutletConfig, QueueConfig, QueueRef, dead_letter_ring, ring_rule};
use crate::dlq::redrive::{self, Redrive, RedriveError};

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

/// A queue of the config with its DLQ, both found in SQS.
pub struct OpenQueue {
    /// Its name in the config.
    pub name: String,
    pub config: QueueConfig,
    pub queue: SqsQueue,
    pub retention: Retention,
    pub max_bytes: MaximumMessageSize,
    pub dlq: SqsQueue,
    pub dlq_max_bytes: MaximumMessageSize,
    pub max_receive_count: Option<u32>,
    /// What is allowed and may be meant otherwise, and what could not be checked.
    pub warnings: Vec<String>,
    /// Which queues the two are, to compare with others.
    identities: [String; 2],
}

/// A queue of the config that is only sent to.
pub struct OpenOutlet {
    /// Its name in the config.
    pub name: String,
    pub queue: SqsQueue,
    pub max_bytes: MaximumMessageSize,
}

/// All queues and outlets of a config.
pub struct OpenQueues {
    pub queues: Vec<OpenQueue>,
    pub outlets: Vec<OpenOutlet>,
}

impl OpenQueues {
    /// Where outboxes may send, by the names in the config.
    pub fn outlets(&self) -> Outlets {
        let queues = self.queues.iter().map(|open| (&open.name, &open.queue, &open.max_bytes));
        let outlets = self.outlets.iter().map(|open| (&open.name, &open.queue, &open.max_bytes));
        let outlet = |(name, queue, max_bytes): (&String, &SqsQueue, &MaximumMessageSize)| {
            (name.clone(), Outlet { queue: Arc::new(queue.clone()), max_bytes: max_bytes.clone() })
        };
        queues.chain(outlets).map(outlet).collect()
    }

    pub fn receive_limits(&self) -> ReceiveLimits {
        let limit = |open: &OpenQueue| Some((open.name.clone(), open.max_receive_count?));
        ReceiveLimits(self.queues.iter().filter_map(limit).collect())
    }
}

/// The queues' `maxReceiveCount`, which plugins that are loaded later must not reach either.
pub struct ReceiveLimits(Vec<(String, u32)>);

impl ReceiveLimits {
    /// Against the most `attempts` that a plugin makes.
    pub fn check(&self, attempts: u32) -> Result<(), RedriveError> {
        self.0.iter().try_for_each(|(name, count)| redrive::check_receives(name, *count, attempts))
    }
}

/// Opens all of them.
///
/// # Errors
/// All that cannot be opened, and not the first of it alone.
pub async fn open_all(sqs: &Sqs, config: &Config, attempts: u32) -> Result<OpenQueues, Vec<OpenError>> {
    let queues = config.queues.iter().map(|(name, queue)| open_queue(sqs, name, queue, attempts));
    let outlets = config.outlets.iter().map(|(name, outlet)| open_outlet(sqs, name, outlet));
    let (queues, outlets) = join(join_all(queues), join_all(outlets)).await;
    let mut errors = Vec::new();
    let queues: Vec<_> = queues.into_iter().filter_map(|open| open.map_err(|error| errors.push(error)).ok()).collect();
    let outlets = outlets.into_iter().filter_map(|open| open.map_err(|error| errors.push(error)).ok()).collect();
    errors.extend(check_rings(&queues).err());
    if errors.is_empty() { Ok(OpenQueues { queues, outlets }) } else { Err(errors) }
}

/// Opens the queue and its DLQ. The redrive policy is checked against the most `attempts` that a
/// plugin makes.
pub async fn open_queue(sqs: &Sqs, name: &str, config: &QueueConfig, attempts: u32) -> Result<OpenQueue, OpenError> {
    let fail = |name: String, error, hint| OpenError::Queue { table: "queue", name, error, hint };
    let missing = |error: QueueError| {
        let hint = if error.says_missing() { "; create it, or set `url`" } else { "" };
        fail(name.to_owned(), error, hint)
    };
    let queue = sqs.queue(config.url.as_deref().unwrap_or(name)).await.map_err(missing)?;
    let attributes = readable(queue.attributes().await).map_err(missing)?;
    let Redrive { dlq: dlq_name, max_receive_count } =
        redrive::check(name, queue.is_fifo(), config, attributes.as_ref(), attempts)?;
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
    let dlq = sqs.queue(&dlq_name).await.map_err(no_dlq)?;
    let dlq_attributes = readable(dlq.attributes().await).map_err(no_dlq)?;
    let dlq_max_bytes = MaximumMessageSize::default();
    if let Some(attributes) = &dlq_attributes {
        dlq_max_bytes.update(attributes);
    }
    redrive::check_kinds(name, queue.is_fifo(), &dlq_name, dlq.is_fifo())?;

    let mut warnings: Vec<String> = Redrive { dlq: dlq_name, max_receive_count }.warning().into_iter().collect();
    if attributes.is_none() {
        warnings.push(unchecked(&queue, &["its redrive policy (maxReceiveCount)", "how long it keeps a message"]));
    }
    if dlq_attributes.is_none() {
        warnings.push(unchecked(&dlq, &["whether this DLQ is there", "the largest letter that it takes"]));
    }
    Ok(OpenQueue {
        name: name.to_owned(),
        config: config.clone(),
        identities: [identity(&queue, attributes.as_ref()), identity(&dlq, dlq_attributes.as_ref())],
        queue,
        retention,
        max_bytes,
        dlq,
        dlq_max_bytes,
        max_receive_count,
        warnings,
    })
}

/// Opens a queue that is only sent to. What may only be sent to is not asked for more.
pub async fn open_outlet(sqs: &Sqs, name: &str, config: &OutletConfig) -> Result<OpenOutlet, OpenError> {
    let missing = |error: QueueError| {
        let hint = if error.says_missing() { "; create it, or set `url`" } else { "" };
        OpenError::Queue { table: "outlet", name: name.to_owned(), error, hint }
    };
    let queue = sqs.queue(config.url.as_deref().unwrap_or(name)).await.map_err(missing)?;
    let max_bytes = MaximumMessageSize::default();
    if let Some(attributes) = readable(queue.attributes().await).map_err(missing)? {
        max_bytes.update(&attributes);
    }
    Ok(OpenOutlet { name: name.to_owned(), queue, max_bytes })
}

/// Refuses DLQs that are their own sources, or each other's. Two names may be one queue, so this is
/// asked of those that were found in SQS.
fn check_rings(queues: &[OpenQueue]) -> Result<(), OpenError> {
    let edges: Vec<_> = queues
        .iter()
        .map(|open| {
            let [queue, dlq] = open.identities.clone();
            DeadLetterEdge { name: open.name.clone(), queue, dlq }
        })
        .collect();
    match dead_letter_ring(&edges) {
        None => Ok(()),
        Some(ring) => Err(OpenError::Ring { name: ring[0].to_owned(), rule: ring_rule(&ring) }),
    }
}

/// None where we may not ask: a host runs without, and says what it does not know.
fn readable(answer: Result<QueueAttributes, QueueError>) -> Result<Option<QueueAttributes>, QueueError> {
    match answer {
        Err(error) if error.says_denied() => Ok(None),
        answer => answer.map(Some),
    }
}

fn unchecked(queue: &SqsQueue, what: &[&str]) -> String {
    format!(
        "sqs:GetQueueAttributes is denied for {}, so the host cannot check {}, and its metrics lack the queue's counts; allow it",
        queue.name(),
        what.join(" and ")
    )
}

/// SQS's own name for the queue, else what its URL tells.
fn identity(queue: &SqsQueue, attributes: Option<&QueueAttributes>) -> String {
    let arn = attributes.and_then(|attributes| attributes.get("QueueArn")).map_or(queue.url(), String::as_str);
    QueueRef::parse(arn).map_or_else(|_| arn.to_owned(), |reference| reference.identity())
}
