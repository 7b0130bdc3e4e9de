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
mod tls;
mod topology;

use std::sync::Arc;
use std::time::Duration;

use lapin::types::ShortString;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use wasq_core::clock;

pub use config::{DELIVERY_LIMIT, QueueType, RabbitMqConfig};
pub use queue::RabbitMqQueue;
pub use topology::QueueTopology;

use handshake::Settings;
use link::Link;
use publisher::{Destination, Publisher};
use topology::{find_exchange, short};

use crate::queue::QueueError;

/// How long any call but a receive may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The prefetch of a queue that another one leads to: letters of a DLQ that are looked at together.
/// What is not looked at yet waits in this host's memory.
const SIBLING_PREFETCH: u16 = 1_000;

/// One vhost of a RabbitMQ. Clones share its connections.
#[derive(Clone)]
pub struct RabbitMq(Arc<Inner>);

struct Inner {
    config: RabbitMqConfig,
    settings: Arc<Settings>,
    receives: Link,
    publisher: Publisher,
}

impl RabbitMq {
    /// Connects, so that wrong settings are known at once.
    ///
    /// # Errors
    /// What is wrong with the settings, or why no node answers.
    pub async fn connect(config: RabbitMqConfig) -> Result<Self, QueueError> {
        let rabbitmq = Self::new(config)?;
        rabbitmq.receives().connection(clock::now()).await?;
        Ok(rabbitmq)
    }

    fn new(config: RabbitMqConfig) -> Result<Self, QueueError> {
        let settings = Arc::new(Settings::of(&config)?);
        let receives = Link::new(settings.clone(), "wasq: receives");
        let publisher = Publisher::new(Link::new(settings.clone(), "wasq: sends"));
        Ok(Self(Arc::new(Inner { config, settings, receives, publisher })))
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
        self.open(name, prefetch, exchange, routing_key.as_deref()).await
    }

    /// Another queue than the config's, by its name: what is sent to it goes there, and nowhere
    /// else.
    async fn sibling(&self, name: &str) -> Result<RabbitMqQueue, QueueError> {
        self.open(name, SIBLING_PREFETCH, "", None).await
    }

    async fn open(
        &self,
        name: &str,
        prefetch: u16,
        exchange: &str,
        routing_key: Option<&str>,
    ) -> Result<RabbitMqQueue, QueueError> {
        let name = short("the queue's name", name)?;
        let live = self.receives().connection(clock::now()).await?;
        let exchange = ShortString::try_new(exchange).expect("the config's exchange is short");
        match exchange.as_str() {
            "" => drop(topology::depth(&live, &name).await?),
            _ => find_exchange(&live, &exchange).await?,
        }
        let routing_key = match routing_key {
            Some(key) => ShortString::try_new(key).expect("the config's routing key is short"),
            None => name.clone(),
        };
        Ok(RabbitMqQueue::new(self.clone(), name, prefetch, Destination { exchange, routing_key }))
    }

    /// Makes a queue. One that is there as it is to be is left as it is.
    ///
    /// # Errors
    /// RabbitMQ's word where a queue is there that differs, with what differs.
    pub async fn declare(&self, queue: &QueueTopology) -> Result<(), QueueError> {
        let live = self.receives().connection(clock::now()).await?;
        topology::declare(&live, queue).await
    }

    /// A queue of this name as the config has it made.
    pub fn topology(&self, name: &str) -> QueueTopology {
        let config = &self.0.config;
        QueueTopology {
            name: name.to_owned(),
            queue_type: config.queue_type,
            dead_letter_exchange: None,
            dead_letter_routing_key: None,
            delivery_limit: (config.queue_type == QueueType::Quorum).then_some(config.delivery_limit),
        }
    }

    /// The link of whatever asks for messages, and of every question.
    fn receives(&self) -> &Link {
        &self.0.receives
    }

    fn publisher(&self) -> &Publisher {
        &self.0.publisher
    }

    /// What all queues' URLs begin with.
    fn base(&self) -> String {
        let address = &self.0.settings.address;
        let scheme = if address.is_tls { "amqps" } else { "amqp" };
        let vhost = utf8_percent_encode(&address.vhost, NON_ALPHANUMERIC);
        format!("{scheme}://{}/{vhost}/", address.nodes())
    }

    /// What tells a queue from all others.
    fn url_of(&self, name: &str) -> String {
        format!("{}{}", self.base(), utf8_percent_encode(name, NON_ALPHANUMERIC))
    }

    /// The name in a queue's URL, or the name itself.
    fn name_of(&self, named: &str) -> String {
        match named.strip_prefix(&self.base()) {
            Some(name) => percent_decode_str(name).decode_utf8_lossy().into_owned(),
            None => named.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queues_url_has_its_name_and_no_password() {
        let rabbitmq = RabbitMq::new(RabbitMqConfig::new("amqp://u:pa55@a:1,b/%2F")).unwrap();
        let url = rabbitmq.url_of("orders/für-uns");
        assert_eq!(url, "amqp://a:1,b:5672/%2F/orders%2Ff%C3%BCr%2Duns");
        assert_eq!(rabbitmq.name_of(&url), "orders/für-uns");
        assert_eq!(rabbitmq.name_of("orders"), "orders");
    }

    #[test]
    fn wrong_settings_are_refused_before_anything_is_called() {
        for (config, expect) in [
            (RabbitMqConfig::new("http://u:pa55@a"), "neither amqp nor amqps"),
            (
                RabbitMqConfig { prefetch: Some(0), ..RabbitMqConfig::new("amqp://a") },
                "`prefetch` is 0: use 1 to 65535",
            ),
            (
                RabbitMqConfig { ca_file: Some("/nowhere".into()), ..RabbitMqConfig::new("amqps://a") },
                "`ca_file` /nowhere",
            ),
        ] {
            let Err(error) = RabbitMq::new(config) else { panic!("{expect}") };
            assert!(error.needs_other_settings() && error.to_string().contains(expect), "{error}");
        }
    }
}
