//! The settings of queues on Redis.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wasq_core::secret::Secret;

use super::fields::is_reserved;
use crate::broker::REDIS_HIDES_UP_TO;

/// The shortest visibility of a queue: what waits in Redis is hidden for a part of it.
pub const VISIBILITY_MIN: Duration = REDIS_HIDES_UP_TO;

/// A Redis, and how its streams are used.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedisConfig {
    /// `redis://USER:PASSWORD@HOST:PORT/DB`, or `rediss://` for TLS. Letters like `@ / ? #` in user
    /// and password are written as `%40 %2F %3F %23`. Without a port it is 6379, without a database
    /// 0.
    ///
    /// The config has it beside this table.
    #[serde(skip)]
    pub url: Secret,
    /// The stream's key there. Default: the name of its table in the config.
    pub stream: Option<String>,
    /// The consumer group that all hosts of the queue read by. Default `wasq`.
    pub group: String,
    /// Whether a message that is done is deleted from the stream. `false` only acknowledges it, for
    /// a stream that other groups read too. Default `true`.
    pub delete: bool,
    /// The field of an entry that is a message's body. Default `body`.
    pub body_field: String,
    /// About how many entries the stream keeps when the host adds one: 1 or more. Redis deletes the
    /// oldest beyond it, done or not. Default: no bound.
    pub maxlen: Option<NonZeroU64>,
    /// Whether the stream's messages come one after the other. Default `none`.
    pub order: RedisOrder,
    /// A PEM file of certificates that TLS trusts beside the system's own.
    pub ca_file: Option<PathBuf>,
}

/// In which order messages come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RedisOrder {
    /// As they are due.
    #[default]
    None,
    /// That of the stream: the next one when the one before it is done.
    Stream,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            url: Secret(String::new()),
            stream: None,
            group: "wasq".into(),
            delete: true,
            body_field: "body".into(),
            maxlen: None,
            order: RedisOrder::None,
            ca_file: None,
        }
    }
}

impl RedisConfig {
    /// With the defaults for all but the URL.
    pub fn new(url: &str) -> Self {
        Self { url: Secret(url.to_owned()), ..Self::default() }
    }

    /// The part of it that says which server it is, and not which stream.
    pub fn server(&self) -> Self {
        Self { url: self.url.clone(), ca_file: self.ca_file.clone(), ..Self::default() }
    }

    /// What is out of its bounds: the key, its value, and the rule.
    pub fn fault(&self) -> Option<(&'static str, String, String)> {
        let names = [("stream", self.stream.as_deref()), ("group", Some(self.group.as_str()))];
        let names = names.into_iter().chain([("body_field", Some(self.body_field.as_str()))]);
        for (name, value) in names {
            if value == Some("") {
                return Some((name, "empty".into(), "write a name, or take the key away".into()));
            }
        }
        if is_reserved(&self.body_field) {
            let rule = "the host keeps other things of a message in fields whose names begin so; take another";
            return Some(("body_field", format!("{:?}", self.body_field), rule.into()));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(table: Value) -> Result<RedisConfig, String> {
        serde_json::from_value(table).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_needs_to_be_said_and_the_url_is_not_shown() {
        let config = RedisConfig::new("redis://u:pa55@a/1");
        assert_eq!(RedisConfig { url: config.url.clone(), ..parse(json!({})).unwrap() }, config);
        assert!(!format!("{config:?}").contains("pa55"));
        assert_eq!(config.fault(), None);
        assert!(parse(json!({ "streams": 1 })).unwrap_err().contains("unknown field"));
        assert!(parse(json!({ "maxlen": 0 })).unwrap_err().contains("nonzero"));
    }

    #[test]
    fn what_is_out_of_its_bounds_is_named_with_them() {
        for (more, expect) in [
            (json!({ "stream": "" }), "stream is empty"),
            (json!({ "group": "" }), "group is empty"),
            (json!({ "body_field": "" }), "body_field is empty"),
            (json!({ "body_field": "wasq-group" }), "body_field is \"wasq-group\": the host keeps"),
            (json!({ "body_field": "wasq-attribute:x" }), "body_field"),
        ] {
            let (name, value, rule) = parse(more).unwrap().fault().expect(expect);
            let fault = format!("{name} is {value}: {rule}");
            assert!(fault.contains(expect), "{expect}: {fault}");
        }
    }

    #[test]
    fn streams_of_one_server_share_its_connection() {
        let one = RedisConfig { stream: Some("a".into()), delete: false, ..RedisConfig::new("redis://a") };
        let other = RedisConfig { group: "b".into(), ..RedisConfig::new("redis://a") };
        assert_eq!(one.server(), other.server());
        assert_ne!(one.server(), RedisConfig::new("redis://b").server());
    }
}
