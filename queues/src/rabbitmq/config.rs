//! The settings of queues on RabbitMQ.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasq_core::secret::Secret;

/// The largest prefetch: AMQP has 16 bits for it.
pub const PREFETCH_MAX: u16 = u16::MAX;
/// Shorter heartbeats end connections that are only slow; RabbitMQ's page "Heartbeats" names 5 s.
const HEARTBEAT_MIN: Duration = Duration::from_secs(5);
/// A node that is gone is noticed after two heartbeats.
const HEARTBEAT_MAX: Duration = Duration::from_secs(10 * 60);
const CONNECT_TIMEOUT_MIN: Duration = Duration::from_millis(100);
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// How often a message on a quorum queue is delivered before RabbitMQ itself drops it or
/// dead-letters it. RabbitMQ counts deliveries, the host counts attempts; 4.x has 20 where a queue
/// does not say so.
pub const DELIVERY_LIMIT: u32 = 1_000;

/// A RabbitMQ, and how its queues are used.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RabbitMqConfig {
    /// `amqp://USER:PASSWORD@HOST:PORT/VHOST`, or `amqps://` for TLS. Several nodes of one cluster
    /// are separated by commas: `amqp://u:p@a:5672,b:5672/v`. Letters like `@ / ? # ,` in user,
    /// password and vhost are written as `%40 %2F %3F %23 %2C`. Without a vhost it is `/`, without
    /// a port 5672, with TLS 5671.
    pub url: Secret,
    /// Messages that a queue has handed to this host and that are not settled: 1 to 65,535.
    /// Default: the queue's concurrency.
    #[serde(default)]
    pub prefetch: Option<u16>,
    /// How often each side says that it is there: whole seconds, 5 s to 10 min. After two of them
    /// without a word the connection has ended. Default 30 s.
    #[serde(default = "heartbeat", with = "humantime_serde")]
    pub heartbeat: Duration,
    /// How long one node may take until it is connected: 100 ms to 60 s. Default 5 s.
    #[serde(default = "connect_timeout", with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// The exchange that messages are sent to. Default: the default exchange, which has each
    /// message in the queue that its routing key names.
    #[serde(default)]
    pub exchange: String,
    /// What messages are sent with. Default: the queue's name.
    #[serde(default)]
    pub routing_key: Option<String>,
    /// The type of a queue that is made: `quorum` or `classic`. Default `quorum`.
    #[serde(default)]
    pub queue_type: QueueType,
    /// The `x-delivery-limit` of a quorum queue that is made: 1 or more. Default 1,000.
    #[serde(default = "delivery_limit")]
    pub delivery_limit: u32,
    /// A PEM file of certificates that TLS trusts beside the system's own.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// How a queue is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueType {
    /// On a majority of the cluster's nodes.
    #[default]
    Quorum,
    /// On one node.
    Classic,
}

impl QueueType {
    /// As `x-queue-type` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quorum => "quorum",
            Self::Classic => "classic",
        }
    }
}

fn heartbeat() -> Duration {
    Duration::from_secs(30)
}

fn connect_timeout() -> Duration {
    Duration::from_secs(5)
}

fn delivery_limit() -> u32 {
    DELIVERY_LIMIT
}

impl RabbitMqConfig {
    /// With the defaults for all but the URL.
    pub fn new(url: &str) -> Self {
        Self {
            url: Secret(url.to_owned()),
            prefetch: None,
            heartbeat: heartbeat(),
            connect_timeout: connect_timeout(),
            exchange: String::new(),
            routing_key: None,
            queue_type: QueueType::default(),
            delivery_limit: DELIVERY_LIMIT,
            ca_file: None,
        }
    }

    /// What is out of its bounds, and what they are.
    pub fn fault(&self) -> Option<String> {
        if self.prefetch == Some(0) {
            return Some(format!("`prefetch` is 0; it is 1 to {PREFETCH_MAX}"));
        }
        let heartbeat = self.heartbeat;
        if !(HEARTBEAT_MIN..=HEARTBEAT_MAX).contains(&heartbeat) || heartbeat.subsec_nanos() > 0 {
            return Some(format!("`heartbeat` is {heartbeat:?}; it is {HEARTBEAT_MIN:?} to 10 min, in whole seconds"));
        }
        let timeout = self.connect_timeout;
        if !(CONNECT_TIMEOUT_MIN..=CONNECT_TIMEOUT_MAX).contains(&timeout) {
            return Some(format!(
                "`connect_timeout` is {timeout:?}; it is {CONNECT_TIMEOUT_MIN:?} to {CONNECT_TIMEOUT_MAX:?}"
            ));
        }
        if self.delivery_limit == 0 {
            return Some("`delivery_limit` is 0; it is 1 or more".into());
        }
        let short = [("exchange", Some(&self.exchange)), ("routing_key", self.routing_key.as_ref())];
        let long = short.iter().find(|(_, value)| value.is_some_and(|value| value.len() > usize::from(u8::MAX)));
        long.map(|(name, _)| format!("`{name}` has more than 255 bytes, which AMQP does not take"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(more: Value) -> Result<RabbitMqConfig, String> {
        let mut config = json!({ "url": "amqp://u:pa55@a/v" });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(config).map_err(|error| error.to_string())
    }

    #[test]
    fn a_url_is_enough_and_is_not_shown() {
        let config = parse(json!({})).unwrap();
        assert_eq!(
            format!("{config:?}"),
            format!("{:?}", RabbitMqConfig::new("amqp://x")),
            "the defaults are the same"
        );
        assert!(!format!("{config:?}").contains("pa55"));
        assert_eq!(config.fault(), None);
        assert!(parse(json!({ "prefetched": 1 })).unwrap_err().contains("unknown field"));
    }

    #[test]
    fn what_is_out_of_its_bounds_is_named_with_them() {
        for (more, expect) in [
            (json!({ "prefetch": 0 }), "`prefetch` is 0; it is 1 to 65535"),
            (json!({ "heartbeat": "4s" }), "`heartbeat` is 4s; it is 5s to 10 min"),
            (json!({ "heartbeat": "601s" }), "`heartbeat` is 601s"),
            (json!({ "heartbeat": "5500ms" }), "whole seconds"),
            (json!({ "connect_timeout": "99ms" }), "`connect_timeout` is 99ms; it is 100ms to 60s"),
            (json!({ "connect_timeout": "61s" }), "`connect_timeout` is 61s"),
            (json!({ "delivery_limit": 0 }), "`delivery_limit` is 0"),
            (json!({ "exchange": "x".repeat(256) }), "`exchange` has more than 255 bytes"),
            (json!({ "routing_key": "x".repeat(256) }), "`routing_key` has more than 255 bytes"),
        ] {
            let fault = parse(more).unwrap().fault().unwrap_or_default();
            assert!(fault.contains(expect), "{expect}: {fault}");
        }
        let all = json!({
            "prefetch": 65_535, "heartbeat": "10m", "connect_timeout": "60s", "queue_type": "classic", "delivery_limit": 1
        });
        assert_eq!(parse(all).unwrap().fault(), None);
    }
}
