//! The queue's redrive policy, checked before the first receive: SQS must not take messages away
//! uncounted.

use std::time::Duration;

use humantime_serde::re::humantime::format_duration;
use wasq_queues::{Broker, DeliveryLimit, QueueAttributes, is_fifo};

use crate::config::{KeyFrom, OnExhausted, QueueConfig};

/// What is wrong between a queue and its DLQ.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    #[error(
        "queue `{queue}`: its redrive policy has maxReceiveCount {max_receive_count}, but a message may take {attempts} \
         attempts: SQS would take it away before the host is done with it; set maxReceiveCount to 1000, or remove the policy"
    )]
    TooFewReceives { queue: String, max_receive_count: u32, attempts: u32 },
    #[error(
        "queue `{queue}`: RabbitMQ drops a message after {deliveries} deliveries (x-delivery-limit), but one may take \
         {attempts} attempts; make the queue anew with a limit of 1000, or remove it"
    )]
    TooFewDeliveries { queue: String, deliveries: u32, attempts: u32 },
    #[error("queue `{queue}` has no DLQ: set `dlq` in [queues.{queue}], or give the queue a redrive policy")]
    NoDlq { queue: String },
    #[error(
        "queue `{queue}` has no `dlq` in [queues.{queue}], and its redrive policy may not be read; set `dlq`, or allow \
         sqs:GetQueueAttributes"
    )]
    UnknownDlq { queue: String },
    #[error(
        "queue `{queue}` has no DLQ: set `dlq` in [queues.{queue}]; RabbitMQ does not tell where a queue's dropped messages go"
    )]
    NoDlqOnRabbitMq { queue: String },
    #[error("queue `{queue}` has no DLQ: set `dlq` in [queues.{queue}]; Redis has none of its own")]
    NoDlqOnRedis { queue: String },
    #[error(
        "queue `{queue}` has no DLQ: set `dlq` in [queues.{queue}] to the topic of its dead letters; Kafka itself has none"
    )]
    NoDlqOnKafka { queue: String },
    #[error("queue `{queue}`: its DLQ `{dlq}` must be {kind} like the queue itself, as SQS requires")]
    Kind { queue: String, dlq: String, kind: &'static str },
    #[error("queue `{queue}` is no FIFO queue and has no groups in order: remove `on_exhausted = \"block-group\"`")]
    NoGroups { queue: String },
    #[error(
        "queue `{queue}`: `unroutable_after` is {}, but SQS deletes its messages after {} (MessageRetentionPeriod), without a \
         letter; set a shorter `unroutable_after` in [queues.{queue}], or let the queue keep its messages for longer",
        format_duration(*unroutable_after), format_duration(*retention)
    )]
    Retention { queue: String, unroutable_after: Duration, retention: Duration },
    #[error(
        "queue `{queue}` is no FIFO queue, so its messages have no deduplication ids: remove \
         `key_from = \"deduplication-id\"`"
    )]
    NoDeduplicationIds { queue: String },
    #[error("queue `{queue}`: its redrive policy cannot be read: {reason}")]
    Unreadable { queue: String, reason: String },
}

/// With fewer receives than this the waits that count no attempt may well use up a redrive policy.
const RECEIVES_ENOUGH: u32 = 500;

/// For how long a message may be in hand beside its run: it waits for a permit, it is settled, or
/// it is hidden.
const RUN_MARGIN: Duration = Duration::from_secs(2 * 60);

/// Where a queue's failed messages go: by us, and by SQS.
#[derive(Debug, PartialEq, Eq)]
pub struct Redrive {
    /// The DLQ's name, URL or ARN.
    pub dlq: String,
    /// After how many receives SQS moves a message there itself. None without a redrive policy, or
    /// where it is not known.
    pub max_receive_count: Option<u32>,
}

impl Redrive {
    /// What uses up a small `maxReceiveCount`.
    pub fn warning(&self) -> Option<String> {
        let count = self.max_receive_count.filter(|count| *count < RECEIVES_ENOUGH)?;
        Some(format!(
            "its redrive policy has maxReceiveCount {count}. SQS counts every receive, also those that count no attempt: \
             snooze, unavailable and breaker-open, rate-limited, key-limited, yielded, paused, busy, no-permit, ledger-down, unroutable, a first run \
             on a trial. When they have used it up, SQS moves the message to the DLQ without a letter; set maxReceiveCount to 1000, or \
             remove the policy"
        ))
    }
}

/// Checks a queue's attributes against the most `attempts` that a plugin makes. No attributes where
/// they may not be read.
pub fn check(
    name: &str,
    fifo: bool,
    config: &QueueConfig,
    attributes: Option<&QueueAttributes>,
    attempts: u32,
) -> Result<Redrive, RedriveError> {
    let queue = || name.to_owned();
    if config.on_exhausted == OnExhausted::BlockGroup && !fifo && !config.location(name).keeps_order() {
        return Err(RedriveError::NoGroups { queue: queue() });
    }
    if config.key_from == KeyFrom::DeduplicationId && !fifo {
        return Err(RedriveError::NoDeduplicationIds { queue: queue() });
    }
    let (mut target, mut max_receive_count) = (None, None);
    if let Some(text) = attributes.and_then(|attributes| attributes.get("RedrivePolicy")) {
        let unreadable = |reason: String| RedriveError::Unreadable { queue: queue(), reason };
        let policy: serde_json::Value = serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
        // SQS takes the number as a number or as a string.
        let count = &policy["maxReceiveCount"];
        let count = count.as_u64().or_else(|| count.as_str()?.parse().ok());
        let count = count.ok_or_else(|| unreadable("no maxReceiveCount".into()))? as u32;
        check_receives(name, count, attempts)?;
        max_receive_count = Some(count);
        target = policy["deadLetterTargetArn"].as_str().map(str::to_owned);
    }
    let dlq = config.dlq.clone().or(target).ok_or_else(|| match (config.broker, attributes) {
        (Broker::RabbitMq, _) => RedriveError::NoDlqOnRabbitMq { queue: queue() },
        (Broker::Redis, _) => RedriveError::NoDlqOnRedis { queue: queue() },
        (Broker::Kafka, _) => RedriveError::NoDlqOnKafka { queue: queue() },
        (Broker::Sqs, Some(_)) => RedriveError::NoDlq { queue: queue() },
        (Broker::Sqs, None) => RedriveError::UnknownDlq { queue: queue() },
    })?;
    check_kinds(name, fifo, &dlq, config.broker == Broker::Sqs && is_fifo(dlq.trim()))?;
    Ok(Redrive { dlq, max_receive_count })
}

/// SQS must not take a message away before its attempts are made.
pub fn check_receives(name: &str, max_receive_count: u32, attempts: u32) -> Result<(), RedriveError> {
    if max_receive_count > attempts {
        return Ok(());
    }
    Err(RedriveError::TooFewReceives { queue: name.to_owned(), max_receive_count, attempts })
}

/// The same of a broker that says it in another way.
pub fn check_deliveries(name: &str, limit: DeliveryLimit, attempts: u32) -> Result<(), RedriveError> {
    match limit {
        DeliveryLimit::Deliveries(deliveries) if deliveries <= attempts => {
            Err(RedriveError::TooFewDeliveries { queue: name.to_owned(), deliveries, attempts })
        }
        DeliveryLimit::Deliveries(_) | DeliveryLimit::Default | DeliveryLimit::None => Ok(()),
    }
}

/// What uses up a small limit.
pub fn delivery_warning(limit: DeliveryLimit) -> Option<String> {
    let limit = match limit {
        DeliveryLimit::None => return None,
        DeliveryLimit::Deliveries(deliveries) if deliveries >= RECEIVES_ENOUGH => return None,
        DeliveryLimit::Deliveries(deliveries) => format!("RabbitMQ drops a message after {deliveries} deliveries"),
        DeliveryLimit::Default => {
            "it has no x-delivery-limit: RabbitMQ 4 drops a message after 21 deliveries then, 3.x \
                                   after none"
                .to_owned()
        }
    };
    Some(format!(
        "{limit}. Each time that the host puts one back counts, also where it counts no attempt: snooze, unavailable and \
         breaker-open, paused, busy, no-permit, ledger-down, unroutable. Make the queue with a limit of 1000 (`wasq topology \
         apply` does)"
    ))
}

/// Where the broker may take a message away from a handler that still runs. It does not say after
/// how long.
pub fn timeout_warning(broker: Broker, timeout: Duration) -> Option<String> {
    let allowed = broker.runs_up_to().filter(|allowed| timeout + RUN_MARGIN > *allowed)?;
    Some(format!(
        "a plugin has the timeout {}. RabbitMQ ends the channel of a message that is in hand for longer than \
         `consumer_timeout`, {} unless it is set: set it to more than {} there",
        format_duration(timeout),
        format_duration(allowed),
        format_duration(timeout + RUN_MARGIN),
    ))
}

/// An unroutable message must be dead-lettered before SQS deletes it. Nobody has asked for the
/// default to hold in a queue of a short retention: there it ends with the retention, as every wait
/// does.
pub fn check_retention(name: &str, config: &QueueConfig, retention: Option<Duration>) -> Result<(), RedriveError> {
    let is_meant = !config.has_default_unroutable_after();
    match retention.filter(|retention| is_meant && config.unroutable_after >= *retention) {
        None => Ok(()),
        Some(retention) => Err(RedriveError::Retention {
            queue: name.to_owned(),
            unroutable_after: config.unroutable_after,
            retention,
        }),
    }
}

/// A FIFO queue wants a FIFO DLQ, and a standard one a standard one.
pub fn check_kinds(name: &str, fifo: bool, dlq: &str, dlq_fifo: bool) -> Result<(), RedriveError> {
    if fifo == dlq_fifo {
        return Ok(());
    }
    let kind = if fifo { "FIFO" } else { "standard" };
    Err(RedriveError::Kind { queue: name.to_owned(), dlq: dlq.to_owned(), kind })
}

#[cfg(test)]
mod tests;
