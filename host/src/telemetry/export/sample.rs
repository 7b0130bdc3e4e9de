//! What only a call can tell: how full the queues are, and whether the ledger answers while nothing
//! runs. Asked in the background, at an interval; a scrape reads what was found.

use std::time::Duration;

use wasq_core::message::UnixMs;
use wasq_queues::{BATCH_MAX_ENTRIES, Broker, Queue, QueueAttributes, QueueError};

use super::Source;
use crate::config::Telemetry;
use crate::flow::QueueRuntime;
use crate::telemetry::metrics::Gauge;

/// Samples every queue, again and again; and the ledger, which was opened just now, from the second
/// time on.
pub async fn sample(source: Source, config: Telemetry) {
    let mut ticks = tokio::time::interval(config.sample_interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        let now = source.services.clock.unix_ms();
        let runtimes = source.runtimes();
        let samples = runtimes.iter().map(|runtime| async {
            futures::future::join(queue(runtime), dlq(runtime, &config, now)).await;
        });
        futures::future::join_all(samples).await;
        ticks.tick().await;
        match source.services.ledger.ping().await {
            Ok(()) => source.services.health.ledger_answered(),
            Err(error) => source.services.health.ledger_failed(&error.to_string()),
        }
    }
}

async fn queue(runtime: &QueueRuntime) {
    let meters = &runtime.meters;
    let attributes = answered(runtime, runtime.queue.as_ref(), runtime.queue.attributes().await);
    runtime.retention.update(&attributes);
    runtime.max_bytes.update(&attributes);
    set(&meters.visible, &attributes, "ApproximateNumberOfMessages");
    set(&meters.in_flight, &attributes, "ApproximateNumberOfMessagesNotVisible");
    set(&meters.delayed, &attributes, "ApproximateNumberOfMessagesDelayed");
}

async fn dlq(runtime: &QueueRuntime, config: &Telemetry, now: UnixMs) {
    let (meters, dlq) = (&runtime.meters, runtime.dlq.as_ref());
    let attributes = answered(runtime, dlq, dlq.attributes().await);
    runtime.dlq_max_bytes.update(&attributes);
    set(&meters.dead_letters, &attributes, "ApproximateNumberOfMessages");
    let may_look = config.peek_dlq
        && match dlq.broker() {
            // One with a redrive policy of its own counts receives: looking would move its messages
            // on.
            Broker::Sqs => !attributes.contains_key("RedrivePolicy"),
            // A look takes all that is there.
            Broker::RabbitMq => false,
            Broker::Redis => true,
            // It does not tell.
            Broker::Kafka => false,
        };
    match meters.dead_letters.get() {
        Some(0.0) => meters.oldest_dead_letter_s.set(0.0),
        Some(_) if may_look => match oldest(dlq).await {
            Ok(Some(oldest)) => {
                let age = now.since(oldest);
                meters.oldest_dead_letter_s.set(age.as_secs_f64());
            }
            // Hidden just now, by a replay perhaps: what was known is still the best there is.
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(queue = runtime.name, dlq = dlq.name(), %error,
                    "cannot look into the DLQ for its oldest letter; allow that (on SQS sqs:ReceiveMessage), or set telemetry.peek_dlq = false");
                meters.oldest_dead_letter_s.clear();
            }
        },
        Some(_) | None => meters.oldest_dead_letter_s.clear(),
    }
}

/// When the oldest letter was sent there.
async fn oldest(dlq: &dyn Queue) -> Result<Option<UnixMs>, QueueError> {
    match dlq.broker() {
        Broker::Sqs => peek(dlq).await,
        Broker::RabbitMq | Broker::Redis | Broker::Kafka => dlq.oldest().await,
    }
}

/// When the oldest of a few letters was sent there. SQS has no attribute for it. What is received
/// so is not hidden.
async fn peek(dlq: &dyn Queue) -> Result<Option<UnixMs>, QueueError> {
    let letters = dlq.receive(BATCH_MAX_ENTRIES, Duration::ZERO, Duration::ZERO).await?;
    Ok(letters.iter().map(|letter| letter.sent_at).min())
}

/// No attributes where there is no answer: what is not known is not shown.
fn answered(runtime: &QueueRuntime, queue: &dyn Queue, answer: Result<QueueAttributes, QueueError>) -> QueueAttributes {
    answer.unwrap_or_else(|error| {
        if error.says_denied() {
            // Said once, when the host began.
            tracing::debug!(queue = runtime.name, asked = queue.name(), %error, "may not ask for a queue's attributes");
            return QueueAttributes::new();
        }
        tracing::warn!(queue = runtime.name, asked = queue.name(), %error, "cannot ask for a queue's attributes; its metrics pause");
        QueueAttributes::new()
    })
}

fn set(gauge: &Gauge, attributes: &QueueAttributes, name: &str) {
    match attributes.get(name).and_then(|value| value.parse().ok()) {
        Some(value) => gauge.set(value),
        None => gauge.clear(),
    }
}
