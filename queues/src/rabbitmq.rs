//! Queues on RabbitMQ, by AMQP 0-9-1.
//!
//! What differs from SQS:
//!
//! - A message is handed to a channel, for as long as that is open. A receipt names the channel and
//!   a delivery on it. When the channel or its connection ends, everything unsettled is back in its
//!   queue, and receipts of it are void. While it is open the host keeps the time itself: see
//!   [`leases`].
//! - RabbitMQ has a time limit for a delivery as well, `consumer_timeout`, 30 minutes as it comes.
//!   It must be longer than the longest run of a handler, for it ends the channel with all of its
//!   deliveries.
//! - A message is hidden by keeping it, and has no delay.
//! - Nothing answers an acknowledgement. One that was lost with its connection is made up for by the
//!   ledger, which knows that the message is done.
//!
//! A [`RabbitMq`] has two connections that all of its queues share: one that receives, and one that
//! sends.

mod address;
mod arguments;
mod config;
mod error;
mod handshake;
mod headers;
mod intake;
mod leases;
mod link;
mod message;
mod nameless;
mod publisher;
mod queue;
mod server;
mod tls;
mod topology;

use std::sync::Arc;

use wasq_core::clock;

pub use config::{DELIVERY_LIMIT, QueueType, RabbitMqConfig};
pub use queue::RabbitMqQueue;
pub use topology::QueueTopology;

use server::Server;

use crate::queue::QueueError;

/// One vhost of a RabbitMQ. Clones share its connections.
#[derive(Clone)]
pub struct RabbitMq(Arc<Server>);

impl RabbitMq {
    /// Connects, so that wrong settings are known at once.
    ///
    /// # Errors
    /// What is wrong with the settings, or why no node answers.
    pub async fn connect(config: RabbitMqConfig) -> Result<Self, QueueError> {
        let server = Arc::new(Server::new(config)?);
        server.receives.connection(clock::now()).await?;
        Ok(Self(server))
    }

    /// A queue by its name. `prefetch` is its concurrency, which the config may overrule; 0 is no
    /// bound. With an exchange in the config it is a name to send by, and no queue needs to be
    /// there.
    ///
    /// # Errors
    /// RabbitMQ's word where there is no such queue or exchange, or it may not be asked.
    pub async fn queue(&self, name: &str, prefetch: u16) -> Result<RabbitMqQueue, QueueError> {
        let RabbitMqConfig { exchange, routing_key, prefetch: configured, .. } = &self.0.config;
        let prefetch = configured.unwrap_or(prefetch);
        RabbitMqQueue::open(&self.0, name, prefetch, exchange, routing_key.as_deref()).await
    }

    /// Makes a queue. One that is there as it is to be is left as it is.
    ///
    /// # Errors
    /// RabbitMQ's word where a queue is there that differs, with what differs.
    pub async fn declare(&self, queue: &QueueTopology) -> Result<(), QueueError> {
        let live = self.0.receives.connection(clock::now()).await?;
        topology::declare(&live, queue).await
    }
}
