//! One Kafka, and the queues that are opened on it.

use std::sync::Arc;

use super::config::KafkaConfig;
use super::queue::KafkaQueue;
use super::server::Server;
use crate::queue::QueueError;

/// One Kafka. Clones share the client that sends.
#[derive(Clone)]
pub struct Kafka(Arc<Server>);

impl Kafka {
    /// Makes the client that sends. Nobody is called yet.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(config: KafkaConfig) -> Result<Self, QueueError> {
        Ok(Self(Arc::new(Server::new(config)?)))
    }

    /// A topic as a queue, read by the config's group; without one it is only sent to. `concurrency`
    /// is how many messages wait in memory. Nothing is read before the first receive.
    ///
    /// # Errors
    /// Kafka's word where there is no such topic, or it may not be asked; that no broker answers.
    pub async fn queue(&self, topic: &str, concurrency: usize) -> Result<KafkaQueue, QueueError> {
        KafkaQueue::open(&self.0, topic, concurrency).await
    }
}
