//! The settings of queues on Kafka. They are read in every build: one without Kafka says so.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wasq_core::schema::Time;
use wasq_core::secret::Secret;

use crate::broker::KAFKA_MESSAGE_MAX_BYTES;

/// The longest name of a topic (Kafka's `Topic.MAX_NAME_LENGTH`).
const TOPIC_MAX_BYTES: usize = 249;
/// A group's name has no limit of Kafka's own; ACLs and tools show it in one line.
const GROUP_MAX_BYTES: usize = 255;
/// Kafka refuses shorter ones as it comes: `group.min.session.timeout.ms`.
const SESSION_TIMEOUT_MIN: Duration = Duration::from_secs(6);
/// Kafka refuses longer ones as it comes (30 min); a host that has died keeps its partitions so long.
const SESSION_TIMEOUT_MAX: Duration = Duration::from_secs(30 * 60);
const CONNECT_TIMEOUT_MIN: Duration = Duration::from_millis(100);
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// What stands in a gap is in this host's memory, or was.
const GAP_MAX: u32 = 1_000_000;
/// librdkafka's own bounds on `message.max.bytes`, and no message of ours is smaller than 1 KiB.
const MESSAGE_BYTES_MIN: usize = 1_024;
const MESSAGE_BYTES_MAX: usize = 1_000_000_000;
/// No cluster has topics of more.
const PARTITIONS_MAX: u32 = 100_000;
/// More copies than any cluster has brokers for.
const REPLICATION_MAX: u16 = 64;

/// A Kafka, and how its topics are used.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaConfig {
    /// `kafka://HOST:PORT,HOST:PORT`, or `kafkas://` for TLS. With `USER:PASSWORD@` before the
    /// hosts the host says who it is by SASL; letters like `@ / ? # ,` in it are written as `%40
    /// %2F %3F %23 %2C`. Without a port it is 9092, with TLS 9093.
    ///
    /// The config has it beside this table.
    #[serde(skip)]
    pub url: Secret,
    /// The topic's name. Default: the name of its table in the config.
    pub topic: Option<String>,
    /// The consumer group: hosts with the same one share the topic's messages. A queue needs it.
    pub group: Option<String>,
    /// Makes the host a static member of the group under this name, which no other host may have:
    /// one that starts again within `session_timeout` keeps its partitions.
    pub group_instance_id: Option<String>,
    /// `key`: messages of one key are worked on in their order. `none`: in any. Default `key`.
    pub order: KafkaOrder,
    /// Where a group begins that has read nothing yet: `earliest` or `latest`. Default `earliest`.
    pub start_from: StartFrom,
    /// Messages of a partition from the first that is not done to the last that was read: 1 to
    /// 1,000,000. Then the partition waits. Default 10,000.
    pub max_gap: u32,
    /// After how long without a sign of life a host loses its partitions: 6 s to 30 min. Default 45
    /// s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub session_timeout: Duration,
    /// How long a broker may take to answer a question: 100 ms to 60 s. Default 5 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub connect_timeout: Duration,
    /// The largest message that the topic takes, its `max.message.bytes`: 1,024 to 1,000,000,000.
    /// Default 1,000,000.
    pub message_max_bytes: usize,
    /// How the user in the URL is shown to be the one: `scram-sha-512`, `scram-sha-256` or `plain`.
    /// Default `scram-sha-512`.
    pub sasl_mechanism: SaslMechanism,
    /// A PEM file of the certificates that TLS trusts. Default: the system's.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the host's own certificate, where Kafka asks for one.
    pub certificate_file: Option<PathBuf>,
    /// A PEM file with that certificate's key.
    pub key_file: Option<PathBuf>,
    /// The partitions of a topic that is made: 1 to 100,000. Default: the cluster's
    /// `num.partitions`.
    pub partitions: Option<u32>,
    /// The copies of a topic that is made: 1 to 64. Default: the cluster's
    /// `default.replication.factor`.
    pub replication_factor: Option<u16>,
}

/// In which order messages are worked on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KafkaOrder {
    /// Those of one key one after the other, those without a key in any.
    #[default]
    Key,
    /// All of them in any.
    None,
}

/// Where a group begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StartFrom {
    /// With the oldest message that the topic still has.
    #[default]
    Earliest,
    /// With what comes from then on.
    Latest,
}

/// How a user is shown to be the one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SaslMechanism {
    #[default]
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// By the password itself: use it with TLS.
    Plain,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            url: Secret(String::new()),
            topic: None,
            group: None,
            group_instance_id: None,
            order: KafkaOrder::default(),
            start_from: StartFrom::default(),
            max_gap: 10_000,
            session_timeout: Duration::from_secs(45),
            connect_timeout: Duration::from_secs(5),
            message_max_bytes: KAFKA_MESSAGE_MAX_BYTES,
            sasl_mechanism: SaslMechanism::default(),
            ca_file: None,
            certificate_file: None,
            key_file: None,
            partitions: None,
            replication_factor: None,
        }
    }
}

impl KafkaConfig {
    /// With the defaults for all but the URL.
    pub fn new(url: &str) -> Self {
        Self { url: Secret(url.to_owned()), ..Self::default() }
    }

    /// What is out of its bounds: the key, its value, and the rule.
    pub fn fault(&self) -> Option<(&'static str, String, String)> {
        if let Some(topic) = &self.topic
            && let Some(rule) = topic_rule(topic)
        {
            return Some(("topic", format!("{topic:?}"), rule.into()));
        }
        let names = [("group", &self.group), ("group_instance_id", &self.group_instance_id)];
        for (name, value) in names {
            if let Some(value) = value
                && (value.is_empty() || value.len() > GROUP_MAX_BYTES)
            {
                return Some((name, format!("{} bytes long", value.len()), format!("use 1 to {GROUP_MAX_BYTES}")));
            }
        }
        let session = self.session_timeout;
        if !(SESSION_TIMEOUT_MIN..=SESSION_TIMEOUT_MAX).contains(&session) {
            let rule = format!("use {SESSION_TIMEOUT_MIN:?} to 30 min");
            return Some(("session_timeout", format!("{session:?}"), rule));
        }
        let connect = self.connect_timeout;
        if !(CONNECT_TIMEOUT_MIN..=CONNECT_TIMEOUT_MAX).contains(&connect) {
            let rule = format!("use {CONNECT_TIMEOUT_MIN:?} to {CONNECT_TIMEOUT_MAX:?}");
            return Some(("connect_timeout", format!("{connect:?}"), rule));
        }
        let numbers = [
            ("max_gap", Some(self.max_gap as usize), 1, GAP_MAX as usize),
            ("message_max_bytes", Some(self.message_max_bytes), MESSAGE_BYTES_MIN, MESSAGE_BYTES_MAX),
            ("partitions", self.partitions.map(|number| number as usize), 1, PARTITIONS_MAX as usize),
            ("replication_factor", self.replication_factor.map(usize::from), 1, REPLICATION_MAX.into()),
        ];
        for (name, value, least, most) in numbers {
            if let Some(value) = value.filter(|value| !(least..=most).contains(value)) {
                return Some((name, value.to_string(), format!("use {least} to {most}")));
            }
        }
        if self.certificate_file.is_some() != self.key_file.is_some() {
            let (there, missing) = match self.key_file {
                None => ("certificate_file", "key_file"),
                Some(_) => ("key_file", "certificate_file"),
            };
            return Some((there, "there by itself".into(), format!("say `{missing}`, too")));
        }
        None
    }
}

/// A topic as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicTopology {
    pub name: String,
    /// None leaves it to the cluster.
    pub partitions: Option<u32>,
    /// None leaves it to the cluster.
    pub replication_factor: Option<u16>,
}

impl TopicTopology {
    /// A topic of this name as the config has it made.
    pub fn of(config: &KafkaConfig, name: &str) -> Self {
        let KafkaConfig { partitions, replication_factor, .. } = *config;
        Self { name: name.to_owned(), partitions, replication_factor }
    }
}

/// Why Kafka has no topic of this name.
pub fn topic_rule(name: &str) -> Option<&'static str> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let fits = (1..=TOPIC_MAX_BYTES).contains(&name.len()) && name.chars().all(is_legal) && name != "." && name != "..";
    (!fits).then_some("a topic's name has 1 to 249 letters, digits and . _ -, in ASCII")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(table: Value) -> Result<KafkaConfig, String> {
        serde_json::from_value(table).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_needs_to_be_said_and_the_url_is_not_shown() {
        let config = KafkaConfig::new("kafka://u:pa55@a");
        assert_eq!(KafkaConfig { url: config.url.clone(), ..parse(json!({})).unwrap() }, config);
        assert!(!format!("{config:?}").contains("pa55"));
        assert_eq!(config.fault(), None);
        assert!(parse(json!({ "topics": 1 })).unwrap_err().contains("unknown field"));
    }

    #[test]
    fn what_is_out_of_its_bounds_is_named_with_them() {
        for (more, expect) in [
            (json!({ "topic": "a b" }), "topic is \"a b\": a topic's name has 1 to 249"),
            (json!({ "topic": "" }), "topic is \"\""),
            (json!({ "topic": ".." }), "topic is \"..\""),
            (json!({ "topic": "x".repeat(250) }), "249"),
            (json!({ "group": "" }), "group is 0 bytes long: use 1 to 255"),
            (json!({ "group_instance_id": "x".repeat(256) }), "group_instance_id is 256 bytes long"),
            (json!({ "max_gap": 0 }), "max_gap is 0: use 1 to 1000000"),
            (json!({ "session_timeout": "5s" }), "session_timeout is 5s: use 6s to 30 min"),
            (json!({ "session_timeout": "31m" }), "session_timeout is 1860s"),
            (json!({ "connect_timeout": "99ms" }), "connect_timeout is 99ms: use 100ms to 60s"),
            (json!({ "message_max_bytes": 1_023 }), "message_max_bytes is 1023: use 1024 to 1000000000"),
            (json!({ "partitions": 0 }), "partitions is 0: use 1 to 100000"),
            (json!({ "replication_factor": 65 }), "replication_factor is 65: use 1 to 64"),
            (json!({ "key_file": "k" }), "key_file is there by itself: say `certificate_file`"),
            (json!({ "certificate_file": "c" }), "certificate_file is there by itself: say `key_file`"),
        ] {
            let (name, value, rule) = parse(more).unwrap().fault().expect(expect);
            let fault = format!("{name} is {value}: {rule}");
            assert!(fault.contains(expect), "{expect}: {fault}");
        }
        let all = json!({
            "topic": "shop.orders_1-a", "group": "shop", "group_instance_id": "host-1", "order": "none",
            "start_from": "latest", "max_gap": 1_000_000, "session_timeout": "30m", "connect_timeout": "60s",
            "message_max_bytes": 1_000_000_000, "sasl_mechanism": "scram-sha-256", "certificate_file": "c",
            "key_file": "k", "partitions": 100_000, "replication_factor": 64
        });
        assert_eq!(parse(all).unwrap().fault(), None);
    }
}
