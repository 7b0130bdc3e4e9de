//! The brokers that a queue can be on, and where their rules differ.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wasq_sqs_rules::{MAX_DELAY_S, MAX_MESSAGE_BYTES};

/// SQS's limit on visibility, counted from receipt: 12 hours.
pub const VISIBILITY_MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// Who keeps a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Broker {
    /// Amazon SQS, or what speaks its protocol.
    #[default]
    Sqs,
    /// RabbitMQ, by AMQP 0-9-1.
    RabbitMq,
    /// Redis, by its streams.
    Redis,
    /// Apache Kafka, or what speaks its protocol. Not in every build: `wasq --version` says it.
    Kafka,
}

/// The longest time for which a message on RabbitMQ is hidden. What is hidden stays unacknowledged:
/// it takes its place in the prefetch, and other messages wait behind it.
pub const RABBITMQ_HIDES_UP_TO: Duration = Duration::from_secs(10);
/// RabbitMQ's default for `consumer_timeout` (its page "Consumers").
const RABBITMQ_CONSUMER_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// The largest message that RabbitMQ takes as it comes: 4.x has `max_message_size = 16777216`. 3.x
/// takes 128 MiB (its page "Configuration").
pub const RABBITMQ_MESSAGE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// The longest time for which a message on Redis is hidden. It is idle meanwhile, and its holder
/// says in how long it is due by a part of the visibility: so no visibility is shorter.
pub const REDIS_HIDES_UP_TO: Duration = Duration::from_secs(10);
/// The largest message that is sent to Redis, with its attributes. Redis takes 512 MB
/// (`proto-max-bulk-len`) and keeps all of it in memory, so this is our own limit: RabbitMQ's.
pub const REDIS_MESSAGE_MAX_BYTES: usize = 16 * 1024 * 1024;
/// The longest time for which a message of a topic is hidden, where nothing else is in order. A
/// partition's messages count as done up to the first that is not.
pub const KAFKA_HIDES_UP_TO: Duration = Duration::from_secs(10);
/// The largest message that a topic takes where its config does not say it. Kafka's own
/// `max.message.bytes` is 1,048,588 with what stands around a message.
pub const KAFKA_MESSAGE_MAX_BYTES: usize = 1_000_000;

impl Broker {
    pub const ALL: [Self; 4] = [Self::Sqs, Self::RabbitMq, Self::Redis, Self::Kafka];

    /// As the config names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqs => "sqs",
            Self::RabbitMq => "rabbitmq",
            Self::Redis => "redis",
            Self::Kafka => "kafka",
        }
    }

    /// Its own table in the config of a queue, for one that has this name there: TOML. On SQS `url`
    /// says all.
    pub fn own_table(self, name: &str) -> Option<String> {
        match self {
            Self::Sqs => None,
            Self::RabbitMq => Some(format!("{{ queue = {name:?} }}")),
            Self::Redis => Some(format!("{{ stream = {name:?} }}")),
            // A group of the queue's own: nobody else reads by it.
            Self::Kafka => Some(format!("{{ topic = {name:?}, group = {name:?} }}")),
        }
    }

    /// `messaging.system`, as OpenTelemetry's conventions name it.
    pub const fn messaging_system(self) -> &'static str {
        match self {
            Self::Sqs => "aws_sqs",
            Self::RabbitMq => "rabbitmq",
            Self::Redis => "redis",
            Self::Kafka => "kafka",
        }
    }

    /// The longest time for which it hides a message that was received.
    pub const fn hides_up_to(self) -> Duration {
        match self {
            Self::Sqs => VISIBILITY_MAX,
            Self::RabbitMq => RABBITMQ_HIDES_UP_TO,
            Self::Redis => REDIS_HIDES_UP_TO,
            Self::Kafka => KAFKA_HIDES_UP_TO,
        }
    }

    /// For how long a message may be in hand, unless the broker is told otherwise. None where the
    /// host's own lease is what counts.
    pub const fn runs_up_to(self) -> Option<Duration> {
        match self {
            Self::Sqs | Self::Redis | Self::Kafka => None,
            Self::RabbitMq => Some(RABBITMQ_CONSUMER_TIMEOUT),
        }
    }

    /// The longest delay that it sends a message with, where the queue has delays at all.
    pub const fn delays_up_to(self) -> Duration {
        match self {
            Self::Sqs => Duration::from_secs(MAX_DELAY_S as u64),
            // Only plugins have delays.
            Self::RabbitMq => Duration::ZERO,
            // A stream has none.
            Self::Redis => Duration::ZERO,
            Self::Kafka => Duration::ZERO,
        }
    }

    /// The largest message that it takes where it does not say so itself.
    pub const fn message_max_bytes(self) -> usize {
        match self {
            Self::Sqs => MAX_MESSAGE_BYTES,
            Self::RabbitMq => RABBITMQ_MESSAGE_MAX_BYTES,
            Self::Redis => REDIS_MESSAGE_MAX_BYTES,
            Self::Kafka => KAFKA_MESSAGE_MAX_BYTES,
        }
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Broker {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|broker| broker.name() == text);
        named.ok_or_else(|| format!("use {}", Self::ALL.map(Self::name).join(", ")))
    }
}
