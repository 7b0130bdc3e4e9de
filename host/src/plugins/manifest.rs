//! A plugin's manifest: what it handles, what it asks for, and how its failures are retried.

use std::collections::BTreeMap;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wasq_core::message::{KeySource, Message, MessageType};
use wasq_core::schema::{Size, Time};

use super::rate_use::RateUse;
use super::type_pattern::TypePattern;
use crate::admission::permits::Priority;
use crate::config::{KeyTemplate, PoolScope};

/// A `plugin.toml`. Every key but `name` and `types` has a default; an unknown key is an error.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Names the plugin in config, logs and the ledger: 1 to 64 of `a-z`, `0-9`, `-`, `_`.
    pub name: String,
    /// The blake3 of the component that this manifest stands beside, 64 hexadecimal digits: it is
    /// no other component's. A manifest inside of a component needs none. Required of a signed
    /// manifest that stands beside its component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_blake3: Option<String>,
    /// The message types it handles; a `*` at the end stands for any rest. Of all plugins, those
    /// whose pattern is the most specific get a message.
    pub types: Vec<TypePattern>,
    /// How long one attempt may take by the wall clock: 1 ms to 12 h. Default 30 s.
    #[serde(default = "default_timeout", with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub timeout: Duration,
    /// How much linear memory an instance may have: 64 KiB to 4 GiB. Default 64 MiB.
    #[serde(default = "default_memory")]
    #[schemars(with = "Size")]
    pub memory: ByteSize,
    /// The largest body that it takes: 1 KiB to 1 GiB. Default 1 MiB, which is SQS's own limit.
    /// What is larger comes by S3.
    #[serde(default = "default_max_body")]
    #[schemars(with = "Size")]
    pub max_body: ByteSize,
    /// Attempts at once on this host. Default: `limits.max_instances`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<usize>,
    /// Attempts at once for each value of a key, on this host or on all hosts together. Default: no
    /// such limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyed_concurrency: Option<KeyedConcurrency>,
    /// Permits shared across plugins; their sizes are the operator's.
    #[serde(default)]
    pub pools: Vec<String>,
    /// Rates that its runs keep to, by their names in the operator's config: `stripe`, or
    /// `stripe:{/account_id}` for one rate a key.
    #[serde(default)]
    pub rates: Vec<RateUse>,
    /// Whose messages get a free permit first. Default `normal`.
    #[serde(default)]
    pub priority: Priority,
    /// A message older than this is not run. Default: never too old.
    #[serde(default, with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Time>")]
    pub max_age: Option<Duration>,
    /// What happens to a message that is too old.
    #[serde(default)]
    pub on_expired: OnExpired,
    /// `scheme://host:port` that the handler wants to call; `*.` before a host allows its
    /// subdomains.
    #[serde(default)]
    pub allowed_outbound_hosts: Vec<String>,
    /// Queues that the handler wants to send to, by their names in the operator's config; `self` is
    /// the one that its message came from.
    #[serde(default)]
    pub queues: Vec<String>,
    /// Secrets, by their names in the operator's config, that the handler's requests need in a
    /// header. The handler never has them.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Environment variables of the handler. The operator may override each.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// By what `wasq top` tells its messages apart: JSON pointers into the body and names of
    /// attributes, in braces. Operators see its values. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_key: Option<KeyTemplate>,
    #[serde(default)]
    pub retry: Retry,
    #[serde(default)]
    pub idempotency: Idempotency,
    /// How `wasq build` makes the component. The host does not read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
}

/// How a project is built. Without it, by its language: Cargo.toml, package.json or pyproject.toml.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Build {
    /// A command for `sh`, run in the project's directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The component that it makes. Default: `dist/NAME.wasm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Files and directories that it is made from. Default: the whole project.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub watch: Vec<String>,
}

/// How many attempts there are at once for each key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyedConcurrency {
    /// JSON pointers into the body and names of attributes, in braces: `{/tenant}`.
    pub key: KeyTemplate,
    /// Attempts at once for each value of it: 1 to 10,000.
    pub max: usize,
    /// Whose attempts are counted together. Default `host`.
    #[serde(default)]
    pub scope: PoolScope,
}

/// What happens to a message older than `max_age`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnExpired {
    /// It goes to the DLQ.
    #[default]
    DeadLetter,
    /// It is deleted.
    Discard,
}

/// How failed attempts are repeated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Counted attempts, the first included: 1 to 100. Default 5.
    pub max_attempts: u32,
    /// The delay after the first failure. Default 1 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub initial_interval: Duration,
    /// How much longer each further delay is: 1 to 10. Default 2.
    pub backoff_coefficient: f64,
    /// The longest delay: at most 12 h. Default 15 min.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub maximum_interval: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 5,
            initial_interval: Duration::from_secs(1),
            backoff_coefficient: 2.0,
            maximum_interval: Duration::from_secs(15 * 60),
        }
    }
}

/// How a message's key is made, and how long its completion is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Idempotency {
    /// JSON pointers into the body, in braces: `receipt:{/order_id}`. Default: the message's own
    /// key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyTemplate>,
    /// How long a completion is kept: 1 min to 10 years. Default 14 days.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub ttl: Duration,
    /// What the ledger is told of its messages. Default `full`.
    pub mode: IdempotencyMode,
}

/// What the ledger is told of a plugin's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IdempotencyMode {
    /// A claim before each run and a completion behind it. What is done does not run again.
    #[default]
    Full,
    /// The completion alone. What is done does not run again; two deliveries that overlap may both
    /// run.
    Completion,
    /// Nothing, for work that is idempotent by itself. Every delivery runs.
    None,
}

impl IdempotencyMode {
    /// Its name, where it keeps no steps: a step is recorded under a claim.
    pub fn without_steps(self) -> Option<&'static str> {
        match self {
            Self::Full => None,
            Self::Completion => Some("completion"),
            Self::None => Some("none"),
        }
    }
}

impl Default for Idempotency {
    fn default() -> Self {
        Self { key: None, ttl: Duration::from_secs(14 * 24 * 60 * 60), mode: IdempotencyMode::default() }
    }
}

impl Idempotency {
    /// The text of a message's key, and where it comes from: the template, else the message.
    pub fn key_of(&self, message: &Message) -> (String, KeySource) {
        let own = self.key.as_ref().and_then(|template| template.render(&message.body, &message.attributes));
        own.map_or_else(|| (message.key.clone(), message.key_source), |key| (key, KeySource::Template))
    }
}

pub(super) fn default_timeout() -> Duration {
    Duration::from_secs(30)
}

pub(super) fn default_memory() -> ByteSize {
    ByteSize::mib(64)
}

fn default_max_body() -> ByteSize {
    ByteSize::mib(1)
}

/// What is wrong with a manifest, in words that name the key.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not TOML, or not this shape. The message has line, column and key.
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    /// A value outside its bounds.
    #[error("`{key}` is {value}: {rule}")]
    Bounds { key: &'static str, value: String, rule: &'static str },
}

impl Manifest {
    /// Reads and checks a manifest.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self = match toml::from_str(text) {
            Ok(manifest) => manifest,
            Err(error) => without_retired(text).ok_or(error)?,
        };
        manifest.check()?;
        Ok(manifest)
    }

    /// Whether it names a type, be it with a `*`.
    pub fn handles(&self, kind: &MessageType) -> bool {
        self.types.iter().any(|pattern| pattern.matches(kind))
    }

    fn check(&self) -> Result<(), ManifestError> {
        let name_ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(name_ok) {
            return bounds("name", &self.name, "use 1 to 64 of a-z, 0-9, `-` and `_`");
        }
        if self.types.is_empty() {
            return bounds("types", "empty", "name at least one message type");
        }
        in_range("timeout", self.timeout, Duration::from_millis(1), HOURS_12, "use 1 ms to 12 h")?;
        let memory = self.memory.as_u64();
        if !(64 * 1024..=4 * 1024 * 1024 * 1024).contains(&memory) {
            return bounds("memory", &self.memory.to_string(), "use 64 KiB to 4 GiB");
        }
        if !(ByteSize::kib(1)..=ByteSize::gib(1)).contains(&self.max_body) {
            return bounds("max_body", &self.max_body.to_string(), "use 1 KiB to 1 GiB");
        }
        if self.max_concurrency == Some(0) {
            return bounds("max_concurrency", "0", "use 1 or more; remove the plugin to stop it");
        }
        if let Some(KeyedConcurrency { max, .. }) = self.keyed_concurrency.as_ref().filter(|keyed| !keyed.is_possible())
        {
            let rule = "use 1 to 10000: so many attempts at once for each key";
            return bounds("keyed_concurrency.max", &max.to_string(), rule);
        }
        if self.rates.len() > RATES_MAX {
            return bounds("rates", &format!("a list of {}", self.rates.len()), "name at most 8 rates");
        }
        let twice = self.rates.iter().enumerate().find(|(at, rate)| self.rates[..*at].contains(rate));
        if let Some((_, rate)) = twice {
            return bounds("rates", &format!("{rate} twice"), "a run keeps to it once; take one of them away");
        }
        if !(1..=100).contains(&self.retry.max_attempts) {
            return bounds("retry.max_attempts", &self.retry.max_attempts.to_string(), "use 1 to 100");
        }
        if !(1.0..=10.0).contains(&self.retry.backoff_coefficient) {
            return bounds("retry.backoff_coefficient", &self.retry.backoff_coefficient.to_string(), "use 1.0 to 10.0");
        }
        in_range("retry.initial_interval", self.retry.initial_interval, Duration::ZERO, HOURS_12, "use 0 s to 12 h")?;
        in_range("retry.maximum_interval", self.retry.maximum_interval, Duration::ZERO, HOURS_12, "use 0 s to 12 h")?;
        if self.idempotency.mode == IdempotencyMode::None && !self.queues.is_empty() {
            let rule = "an outbox is recorded before it is sent: take `idempotency.mode = \"none\"` away, or `queues`";
            return bounds("queues", &self.queues.join(", "), rule);
        }
        let (min, max) = (Duration::from_secs(60), Duration::from_secs(10 * 366 * 24 * 60 * 60));
        in_range("idempotency.ttl", self.idempotency.ttl, min, max, "use 1 min to 10 years")
    }
}

impl KeyedConcurrency {
    fn is_possible(&self) -> bool {
        (1..=KEYED_MAX).contains(&self.max)
    }
}

/// Attempts at once for one key.
const KEYED_MAX: usize = 10_000;

/// Keys of earlier versions that have no effect any more. A component that has one inside goes on
/// working.
const RETIRED: [&str; 1] = ["empty_interfaces"];

/// The manifest without the retired keys that it has; none where it has none, or is no manifest
/// without them either.
fn without_retired(text: &str) -> Option<Manifest> {
    let mut table: toml::Table = text.parse().ok()?;
    let had = table.len();
    RETIRED.iter().for_each(|key| drop(table.remove(*key)));
    if table.len() == had {
        return None;
    }
    Manifest::deserialize(table).ok()
}

/// Rates of one plugin: its runs wait until all of them let one start.
const RATES_MAX: usize = 8;
const HOURS_12: Duration = Duration::from_secs(12 * 60 * 60);

fn in_range(
    key: &'static str,
    value: Duration,
    min: Duration,
    max: Duration,
    rule: &'static str,
) -> Result<(), ManifestError> {
    if (min..=max).contains(&value) { Ok(()) } else { bounds(key, &format!("{value:?}"), rule) }
}

fn bounds(key: &'static str, value: &str, rule: &'static str) -> Result<(), ManifestError> {
    Err(ManifestError::Bounds { key, value: value.to_owned(), rule })
}

#[cfg(test)]
mod tests;
