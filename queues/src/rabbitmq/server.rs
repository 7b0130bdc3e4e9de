//! What all queues of one RabbitMQ share: its settings, and the connections.

use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::config::RabbitMqConfig;
use super::handshake::Settings;
use super::link::Link;
use super::publisher::Publisher;
use crate::queue::QueueError;

/// One vhost of a RabbitMQ.
pub struct Server {
    pub config: RabbitMqConfig,
    settings: Arc<Settings>,
    /// The link of whatever asks for messages, and of every question.
    pub receives: Link,
    pub publisher: Publisher,
}

impl Server {
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(config: RabbitMqConfig) -> Result<Self, QueueError> {
        let settings = Arc::new(Settings::of(&config)?);
        let receives = Link::new(settings.clone(), "wasq: receives");
        let publisher = Publisher::new(Link::new(settings.clone(), "wasq: sends"));
        Ok(Self { config, settings, receives, publisher })
    }

    /// What all queues' URLs begin with.
    fn base(&self) -> String {
        let address = &self.settings.address;
        let scheme = if address.is_tls { "amqps" } else { "amqp" };
        let vhost = utf8_percent_encode(&address.vhost, NON_ALPHANUMERIC);
        format!("{scheme}://{}/{vhost}/", address.nodes())
    }

    /// What tells a queue from all others.
    pub fn url_of(&self, name: &str) -> String {
        format!("{}{}", self.base(), utf8_percent_encode(name, NON_ALPHANUMERIC))
    }

    /// The name in a queue's URL, or the name itself.
    pub fn name_of(&self, named: &str) -> String {
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
        let rabbitmq = Server::new(RabbitMqConfig::new("amqp://u:pa55@a:1,b/%2F")).unwrap();
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
            let Err(error) = Server::new(config) else { panic!("{expect}") };
            assert!(error.needs_other_settings() && error.to_string().contains(expect), "{error}");
        }
    }
}
