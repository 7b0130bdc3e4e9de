//! Queues on Apache Kafka: topics that a consumer group reads.
//!
//! What differs from SQS:
//!
//! - A partition of a topic is one host's at a time. Kafka gives it to another when hosts come and
//!   go. Then receipts of its messages are void.
//! - Kafka does not know of single messages that are done, only how far a group has come. The host
//!   says so up to the first message that is not done; what is done beyond it, the ledger knows.
//! - Leases and waits are this host's own: a message that nobody renews, and one that is hidden, is
//!   handed out again from memory.
//! - Messages of one key are worked on in their order, unless the config says otherwise.
//!
//! Kafka's client is librdkafka, which a build has with the feature `kafka`. Without it this module
//! knows the settings, and says that it cannot use them.

mod config;

#[cfg(feature = "kafka")]
mod address;
#[cfg(feature = "kafka")]
mod assignment;
#[cfg(feature = "kafka")]
mod client;
#[cfg(feature = "kafka")]
mod cluster;
#[cfg(feature = "kafka")]
mod consumer;
#[cfg(feature = "kafka")]
mod error;
#[cfg(feature = "kafka")]
mod inbox;
#[cfg(feature = "kafka")]
mod intake;
#[cfg(feature = "kafka")]
mod partition;
#[cfg(feature = "kafka")]
mod producer;
#[cfg(feature = "kafka")]
mod queries;
#[cfg(feature = "kafka")]
mod queue;
#[cfg(feature = "kafka")]
mod record;
#[cfg(feature = "kafka")]
mod server;
#[cfg(feature = "kafka")]
mod topology;

#[cfg(feature = "kafka")]
pub use cluster::Kafka;
pub use config::{KafkaConfig, KafkaOrder, SaslMechanism, StartFrom, TopicTopology, topic_rule};
#[cfg(feature = "kafka")]
pub use queue::KafkaQueue;

use crate::queue::QueueError;

/// Whether this build has Kafka's client.
pub const IS_BUILT_IN: bool = cfg!(feature = "kafka");

/// What to say where it does not.
pub const NOT_BUILT_IN: &str =
    "this build has no Kafka: build it with `cargo build --features kafka`, or use the image, which has it";

/// Makes a topic. One that is there with as many partitions stays as it is.
///
/// # Errors
/// Kafka's word, or in what the topic that is there differs.
#[cfg(feature = "kafka")]
pub async fn make_topic(config: &KafkaConfig, topic: &TopicTopology) -> Result<(), QueueError> {
    topology::make(config, topic).await
}

/// In a build without Kafka: says so.
///
/// # Errors
/// Always.
#[cfg(not(feature = "kafka"))]
pub async fn make_topic(_: &KafkaConfig, _: &TopicTopology) -> Result<(), QueueError> {
    Err(QueueError::Permanent { code: "Configuration".into(), message: NOT_BUILT_IN.into() })
}
