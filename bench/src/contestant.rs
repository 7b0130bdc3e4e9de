//! Who is measured, and how each is started.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use wasq::config::Broker;

/// What empties a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contestant {
    /// The host: a fresh instance a message, the ledger as chosen.
    Wasq,
    /// The same without a ledger: what durability costs.
    WasqNoLedger,
    /// The same with the handler as a native function: what the sandbox costs.
    WasqNative,
    /// A plain consumer in Rust on the host's client library, or aws-sdk-sqs: the ceiling.
    Native,
    /// Node's sqs-consumer in batch mode.
    SqsConsumer,
    /// Node's sqs-consumer, one message after the other.
    SqsConsumerSingle,
    /// A Python consumer: boto3, in threads.
    Boto3,
    /// A Python consumer of another broker: pika, redis-py or confluent-kafka.
    Python,
    /// Imitates a typical SQS trigger runtime: one task, one renewal timer and one DeleteMessage
    /// per message.
    Trigger,
}

/// What a contestant is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// In this binary.
    Here,
    Node,
    Python,
}

impl Contestant {
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// As the command line and the JSON call it.
    pub fn name(self) -> String {
        self.to_possible_value().expect("none is skipped").get_name().to_owned()
    }

    pub fn runs(self) -> Runs {
        match self {
            Self::Wasq | Self::WasqNoLedger | Self::WasqNative | Self::Native | Self::Trigger => Runs::Here,
            Self::SqsConsumer | Self::SqsConsumerSingle => Runs::Node,
            Self::Boto3 | Self::Python => Runs::Python,
        }
    }

    /// Whether it has a client for a broker's queues.
    pub fn reads(self, broker: Broker) -> bool {
        match self {
            Self::Wasq | Self::WasqNoLedger | Self::WasqNative | Self::Native => true,
            Self::SqsConsumer | Self::SqsConsumerSingle | Self::Boto3 | Self::Trigger => broker == Broker::Sqs,
            Self::Python => broker != Broker::Sqs,
        }
    }

    /// Whether it is our own host.
    pub fn is_host(self) -> bool {
        matches!(self, Self::Wasq | Self::WasqNoLedger | Self::WasqNative)
    }

    /// Whose pollers it takes: variants differ in nothing else from what they are compared with.
    pub fn calibrated_as(self) -> Self {
        if self.is_host() { Self::Wasq } else { self }
    }

    /// The numbers of pollers (threads, consumers) of which the best is found.
    pub fn ladder(self) -> &'static [usize] {
        match self.runs() {
            Runs::Here => &[1, 2, 4, 8, 16, 32],
            Runs::Node | Runs::Python => &[1, 2, 4, 8],
        }
    }
}
