//! The brokers that a queue can be on, and where their rules differ.

use std::fmt;
use std::str::FromStr;
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
}

/// The longest time for which a message on RabbitMQ is hidden. What is hidden stays unacknowledged:
/// it takes its place in the prefetch, and other messages wait behind it.
pub const RABBITMQ_HIDES_UP_TO: Duration = Duration::from_secs(10);
/// RabbitMQ's default for `consumer_timeout` (its page "Consumers").
const RABBITMQ_CONSUMER_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// The largest message that RabbitMQ takes as it comes: 4.x has `max_message_size = 16777216`. 3.x
/// takes 128 MiB (its page "Configuration").
pub const RABBITMQ_MESSAGE_MAX_BYTES: usize = 16 * 1024 * 1024;

impl Broker {
    pub const ALL: [Self; 2] = [Self::Sqs, Self::RabbitMq];

    /// As the config names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqs => "sqs",
            Self::RabbitMq => "rabbitmq",
        }
    }

    /// The key of its own table in a config that says what a queue is called there. On SQS `url`
    /// does.
    pub const fn name_key(self) -> Option<&'static str> {
        match self {
            Self::Sqs => None,
            Self::RabbitMq => Some("queue"),
        }
    }

    /// `messaging.system`, as OpenTelemetry's conventions name it.
    pub const fn messaging_system(self) -> &'static str {
        match self {
            Self::Sqs => "aws_sqs",
            Self::RabbitMq => "rabbitmq",
        }
    }

    /// The longest time for which it hides a message that was received.
    pub const fn hides_up_to(self) -> Duration {
        match self {
            Self::Sqs => VISIBILITY_MAX,
            Self::RabbitMq => RABBITMQ_HIDES_UP_TO,
        }
    }

    /// For how long a message may be in hand, unless the broker is told otherwise. None where the
    /// host's own lease is what counts.
    pub const fn runs_up_to(self) -> Option<Duration> {
        match self {
            Self::Sqs => None,
            Self::RabbitMq => Some(RABBITMQ_CONSUMER_TIMEOUT),
        }
    }

    /// The longest delay that it sends a message with, where the queue has delays at all.
    pub const fn delays_up_to(self) -> Duration {
        match self {
            Self::Sqs => Duration::from_secs(MAX_DELAY_S as u64),
            // Only plugins have delays.
            Self::RabbitMq => Duration::ZERO,
        }
    }

    /// The largest message that it takes where it does not say so itself.
    pub const fn message_max_bytes(self) -> usize {
        match self {
            Self::Sqs => MAX_MESSAGE_BYTES,
            Self::RabbitMq => RABBITMQ_MESSAGE_MAX_BYTES,
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
