//! The brokers that a queue can be on, and where their rules differ.

use std::time::Duration;

use wasq_sqs_rules::{MAX_DELAY_S, MAX_MESSAGE_BYTES};

/// SQS's limit on visibility, counted from receipt: 12 hours.
pub const VISIBILITY_MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// Who keeps a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Broker {
    /// Amazon SQS, or what speaks its protocol.
    #[default]
    Sqs,
    RabbitMq,
    /// Apache Kafka, or what speaks its protocol. Not in every build: see
    /// [`crate::kafka::IS_BUILT_IN`].
    Kafka,
}

/// The longest time for which a message on RabbitMQ is hidden. What is hidden stays unacknowledged:
/// it takes its place in the prefetch, and other messages wait behind it.
pub const RABBITMQ_HIDES_UP_TO: Duration = Duration::from_secs(10);
/// The largest message that RabbitMQ takes as it comes: 4.x has `max_message_size = 16777216`. 3.x
/// takes 128 MiB (its page "Configuration").
pub const RABBITMQ_MESSAGE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// The longest time for which a message of a topic is hidden, where nothing else is in order. A
/// partition's messages count as done up to the first that is not.
pub const KAFKA_HIDES_UP_TO: Duration = Duration::from_secs(10);
/// The largest message that a topic takes where its config does not say it. Kafka's own
/// `max.message.bytes` is 1,048,588 with what stands around a message.
pub const KAFKA_MESSAGE_MAX_BYTES: usize = 1_000_000;

impl Broker {
    /// `messaging.system`, as OpenTelemetry's conventions name it.
    pub const fn messaging_system(self) -> &'static str {
        match self {
            Self::Sqs => "aws_sqs",
            Self::RabbitMq => "rabbitmq",
            Self::Kafka => "kafka",
        }
    }

    /// The longest time for which it hides a message that was received.
    pub const fn hides_up_to(self) -> Duration {
        match self {
            Self::Sqs => VISIBILITY_MAX,
            Self::RabbitMq => RABBITMQ_HIDES_UP_TO,
            Self::Kafka => KAFKA_HIDES_UP_TO,
        }
    }

    /// The longest delay that it sends a message with, where the queue has delays at all.
    pub const fn delays_up_to(self) -> Duration {
        match self {
            Self::Sqs => Duration::from_secs(MAX_DELAY_S as u64),
            // Only plugins have delays.
            Self::RabbitMq => Duration::ZERO,
            Self::Kafka => Duration::ZERO,
        }
    }

    /// The largest message that it takes where it does not say so itself.
    pub const fn message_max_bytes(self) -> usize {
        match self {
            Self::Sqs => MAX_MESSAGE_BYTES,
            Self::RabbitMq => RABBITMQ_MESSAGE_MAX_BYTES,
            Self::Kafka => KAFKA_MESSAGE_MAX_BYTES,
        }
    }
}
