//! The settings of queues on RabbitMQ.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wasq_core::schema::Time;
use wasq_core::secret::Secret;

/// The largest prefetch: AMQP has 16 bits for it.
pub const PREFETCH_MAX: u16 = u16::MAX;
/// Shorter heartbeats end connections that are only slow; RabbitMQ's page "Heartbeats" names 5 s.
const HEARTBEAT_MIN: Duration = Duration::from_secs(5);
/// A node that is gone is noticed after two heartbeats.
const HEARTBEAT_MAX: Duration = Duration::from_secs(10 * 60);
const CONNECT_TIMEOUT_MIN: Duration = Duration::from_millis(100);
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// How often a message on a quorum queue may come back before RabbitMQ itself drops it or
/// dead-letters it. RabbitMQ counts deliveries, the host counts attempts; 4.x has 20 where a queue
/// does not say so.
pub const DELIVERY_LIMIT: u32 = 1_000;

/// A RabbitMQ, and how its queues are used.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RabbitMqConfig {
    /// `amqp://USER:PASSWORD@HOST:PORT/VHOST`, or `amqps://` for TLS. Several nodes of one cluster
    /// are separated by commas: `amqp://u:p@a:5672,b:5672/v`. Letters like `@ / ? # ,` in user,
    /// password and vhost are written as `%40 %2F %3F %23 %2C`. Without a vhost it is `/`, without
    /// a port 5672, with TLS 5671.
    ///
    /// The config has it beside this table.
    #[serde(skip)]
    pub url: Secret,
    /// The queue's name there. Default: the name of its table in the config.
    pub queue: Option<String>,
    /// Messages that a queue has handed to this host and that are not settled: 1 to 65,535.
    /// Default: the queue's concurrency.
    pub prefetch: Option<u16>,
    /// How often each side says that it is there: whole seconds, 5 s to 10 min. After two of them
    /// without a word the connection has ended. Default 30 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub heartbeat: Duration,
    /// How long one node may take until it is connected: 100 ms to 60 s. Default 5 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub connect_timeout: Duration,
    /// The exchange that messages are sent to. Default: the default exchange, which has each
    /// message in the queue that its routing key names.
    pub exchange: String,
    /// What messages are sent with. Default: the queue's name.
    pub routing_key: Option<String>,
    /// The type of a queue that is made: `quorum` or `classic`. Default `quorum`.
    pub queue_type: QueueType,
    /// The `x-delivery-limit` of a quorum queue that is made, how often a message may come back: 1
    /// or more. Default 1,000.
    pub delivery_limit: u32,
    /// A PEM file of certificates that TLS trusts beside the system's own.
    pub ca_file: Option<PathBuf>,
}

/// How a queue is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
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

impl Default for RabbitMqConfig {
    fn default() -> Self {
        Self {
            url: Secret(String::new()),
            queue: None,
            prefetch: None,
            heartbeat: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            exchange: String::new(),
            routing_key: None,
            queue_type: QueueType::default(),
            delivery_limit: DELIVERY_LIMIT,
            ca_file: None,
        }
    }
}

impl RabbitMqConfig {
    /// With the defaults for all but the URL.
    pub fn new(url: &str) -> Self {
        Self { url: Secret(url.to_owned()), ..Self::default() }
    }

    /// What is out of its bounds: the key, its value, and the rule.
    pub fn fault(&self) -> Option<(&'static str, String, String)> {
        if self.prefetch == Some(0) {
            return Some(("prefetch", "0".into(), format!("use 1 to {PREFETCH_MAX}")));
        }
        let heartbeat = self.heartbeat;
        if !(HEARTBEAT_MIN..=HEARTBEAT_MAX).contains(&heartbeat) || heartbeat.subsec_nanos() > 0 {
            let rule = format!("use {HEARTBEAT_MIN:?} to 10 min, in whole seconds");
            return Some(("heartbeat", format!("{heartbeat:?}"), rule));
        }
        let timeout = self.connect_timeout;
        if !(CONNECT_TIMEOUT_MIN..=CONNECT_TIMEOUT_MAX).contains(&timeout) {
            let rule = format!("use {CONNECT_TIMEOUT_MIN:?} to {CONNECT_TIMEOUT_MAX:?}");
            return Some(("connect_timeout", format!("{timeout:?}"), rule));
        }
        if self.delivery_limit == 0 {
            return Some(("delivery_limit", "0".into(), "use 1 or more".into()));
        }
        let short = [
            ("queue", self.queue.as_ref()),
            ("exchange", Some(&self.exchange)),
            ("routing_key", self.routing_key.as_ref()),
        ];
        let long = short.into_iter().find(|(_, value)| value.is_some_and(|value| value.len() > usize::from(u8::MAX)));
        let (name, _) = long?;
        Some((name, "too long".into(), "AMQP takes at most 255 bytes".into()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(table: Value) -> Result<RabbitMqConfig, String> {
        serde_json::from_value(table).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_needs_to_be_said_and_the_url_is_not_shown() {
        let config = RabbitMqConfig::new("amqp://u:pa55@a/v");
        assert_eq!(RabbitMqConfig { url: config.url.clone(), ..parse(json!({})).unwrap() }, config);
        assert!(!format!("{config:?}").contains("pa55"));
        assert_eq!(config.fault(), None);
        assert!(parse(json!({ "prefetched": 1 })).unwrap_err().contains("unknown field"));
    }

    #[test]
    fn what_is_out_of_its_bounds_is_named_with_them() {
        for (more, expect) in [
            (json!({ "prefetch": 0 }), "prefetch is 0: use 1 to 65535"),
            (json!({ "heartbeat": "4s" }), "heartbeat is 4s: use 5s to 10 min"),
            (json!({ "heartbeat": "601s" }), "heartbeat is 601s"),
            (json!({ "heartbeat": "5500ms" }), "whole seconds"),
            (json!({ "connect_timeout": "99ms" }), "connect_timeout is 99ms: use 100ms to 60s"),
            (json!({ "connect_timeout": "61s" }), "connect_timeout is 61s"),
            (json!({ "delivery_limit": 0 }), "delivery_limit is 0"),
            (json!({ "exchange": "x".repeat(256) }), "exchange is too long: AMQP takes at most 255 bytes"),
            (json!({ "routing_key": "x".repeat(256) }), "routing_key is too long"),
        ] {
            let (name, value, rule) = parse(more).unwrap().fault().expect(expect);
            let fault = format!("{name} is {value}: {rule}");
            assert!(fault.contains(expect), "{expect}: {fault}");
        }
        let all = json!({
            "prefetch": 65_535, "heartbeat": "10m", "connect_timeout": "60s", "queue_type": "classic", "delivery_limit": 1
        });
        assert_eq!(parse(all).unwrap().fault(), None);
    }
}
