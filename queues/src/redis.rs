//! Queues on Redis: each is a stream that one consumer group reads.
//!
//! What differs from SQS:
//!
//! - The group's list of pending entries (the PEL) says who has which entry, since when, and how
//!   often it was delivered. A receipt names the entry, its consumer and that count. Whoever
//!   changes or deletes an entry asks first, in the same script, whether it is still so.
//! - Redis has no lease. It only knows how long an entry has been idle. A consumer of ours carries
//!   its visibility in its name: an entry that was idle for so long belongs to whoever takes it.
//!   See [`consumer`].
//! - Nothing comes back by itself. Each host looks every second for what is due: see [`looks`].
//! - A stream has no delay. It has an order where its config asks for one: see [`in_order`].
//!
//! A [`Redis`] is one connection that all of its queues share. A receive that waits has a
//! connection to itself, since Redis answers nothing else on it meanwhile: see [`readers`].

mod address;
mod config;
mod consumer;
mod entry;
mod error;
mod fields;
mod in_order;
mod intake;
mod looks;
mod queue;
mod readers;
mod ready;
mod scripts;
mod server_check;
mod store;
mod stream;
mod tls;

use std::sync::Arc;

pub use config::{RedisConfig, RedisOrder, VISIBILITY_MIN};
pub use queue::RedisQueue;
pub use stream::StreamTopology;

use store::Store;

use crate::queue::QueueError;

/// One database of a Redis. Clones share its connection.
#[derive(Clone)]
pub struct Redis(Arc<Store>);

impl Redis {
    /// Connects, and checks that the server keeps what it is told. Of the config only `url` and
    /// `ca_file` count.
    ///
    /// # Errors
    /// What is wrong with the settings, or why the server does not answer.
    pub async fn connect(config: &RedisConfig) -> Result<Self, QueueError> {
        let store = Store::open(config).await?;
        server_check::check(&store).await?;
        Ok(Self(Arc::new(store)))
    }

    /// A queue by its stream's name. An outlet is only sent to, and needs no group.
    ///
    /// # Errors
    /// [`QueueError::says_missing`] where there is no such stream or group; Redis's word where it
    /// may not be asked.
    pub async fn queue(&self, config: &RedisConfig, name: &str, is_outlet: bool) -> Result<RedisQueue, QueueError> {
        RedisQueue::open(&self.0, config, name, is_outlet).await
    }

    /// Makes a stream, and its group. What is there stays as it is.
    ///
    /// # Errors
    /// Redis's word where the key holds something else.
    pub async fn declare(&self, stream: &StreamTopology) -> Result<(), QueueError> {
        stream::declare(&self.0, stream).await
    }
}
