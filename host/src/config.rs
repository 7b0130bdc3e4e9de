//! The operator's config, `wasq.toml`: every limit with its default and its bounds.

mod bounds;
mod egress;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

pub use egress::{Egress, SecretSource};

/// The whole of `wasq.toml`. Unknown keys are errors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Part of every ledger key, so that two services can share one ledger.
    #[serde(default = "default_scope")]
    pub scope: String,
    /// Where the plugins are: each a `.wasm` file.
    #[serde(default = "default_plugins_dir")]
    pub plugins_dir: PathBuf,
    /// Where compiled code is kept from one start to the next. Only this user may write there.
    #[serde(default = "default_compile_cache")]
    pub compile_cache: PathBuf,
    /// The `wasq` binary, which compiles components in a process of its own. The command line sets it; without it they are
    /// compiled here, without bounds.
    #[serde(skip)]
    pub compiler: Option<PathBuf>,
    /// Grants every plugin what its manifest asks for. For development; in production grant plugin by plugin.
    #[serde(default)]
    pub grant_all: bool,
    /// How long the host waits at shutdown for what runs, before it interrupts it.
    #[serde(default = "default_drain_s")]
    pub drain_s: u64,
    #[serde(default)]
    pub aws: Aws,
    #[serde(default)]
    pub ledger: LedgerConfig,
    #[serde(default)]
    pub admin: Admin,
    #[serde(default)]
    pub egress: Egress,
    /// Secrets that header templates name, each with the place where it is.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretSource>,
    #[serde(default)]
    pub limits: Limits,
    /// Permits that plugins share, by the names that their manifests use: `smtp = 10`.
    #[serde(default)]
    pub pools: BTreeMap<String, usize>,
    /// The queues, by the names that the outbox and the command line use.
    pub queues: BTreeMap<String, QueueConfig>,
    /// What the operator says about single plugins, by their names.
    #[serde(default)]
    pub plugins: BTreeMap<String, PluginConfig>,
}

/// Where AWS is. What is not said here comes from the SDK's own chain.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Aws {
    pub endpoint_url: Option<String>,
    pub region: Option<String>,
}

/// The ledger.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "store", rename_all = "lowercase")]
pub enum LedgerConfig {
    /// Embedded, in a directory that one host owns.
    Local { path: PathBuf },
    /// A table in DynamoDB, for any number of hosts.
    Dynamodb(DynamodbConfig),
    /// A Redis or Valkey server, for any number of hosts.
    Redis(RedisConfig),
    /// A schema in a PostgreSQL database, for any number of hosts.
    Postgres(PostgresConfig),
}

/// A ledger in DynamoDB. Region, credentials and endpoint are those of `[aws]` and the SDK's own chain.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DynamodbConfig {
    /// Default `wasq-ledger`.
    pub table: String,
    /// Makes the table if it is not there: for development. In production a template makes it.
    pub create: bool,
    /// DynamoDB's endpoint, where it is not the region's own.
    pub endpoint_url: Option<String>,
}

/// The longest value that the ledger in DynamoDB keeps: an item has at most 400 KB, its keys and names included
/// (DynamoDB's quotas, "Item size").
pub const DYNAMODB_VALUE_MAX_BYTES: usize = 396 * 1024;

/// A ledger in Redis.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisConfig {
    /// `redis://HOST:PORT/DB`, or `rediss://` for TLS. Default: the environment's `WASQ_LEDGER_URL`.
    pub url: Option<Secret>,
    /// What every name in the store begins with. Default `wasq`.
    pub prefix: String,
}

/// A ledger in PostgreSQL.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresConfig {
    /// `postgres://USER@HOST/DATABASE`. Default: the environment's `WASQ_LEDGER_URL`.
    pub url: Option<Secret>,
    /// Where its tables are; made if it is not there. Default `wasq`.
    pub schema: String,
    /// Connections that this host opens at most: 1 to 100. Default 8.
    pub max_connections: usize,
}

impl Default for DynamodbConfig {
    fn default() -> Self {
        Self { table: "wasq-ledger".into(), create: false, endpoint_url: None }
    }
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self { url: None, prefix: "wasq".into() }
    }
}

impl Default for PostgresConfig {
    fn default() -> Self {
        Self { url: None, schema: "wasq".into(), max_connections: 8 }
    }
}

/// A text that no log and no error shows.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self::Local { path: ".wasq/ledger".into() }
    }
}

/// The admin port.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    pub listen: SocketAddr,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], ADMIN_PORT)) }
    }
}

/// The port of the admin server.
pub const ADMIN_PORT: u16 = 9325;
/// The port of the local queue.
pub const LOCAL_SQS_PORT: u16 = 9324;

/// How a producer's envelope is recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Envelope {
    /// The body is the message.
    #[default]
    Plain,
    /// An SNS notification.
    Sns,
    /// An EventBridge event.
    Eventbridge,
    /// A structured-mode CloudEvents 1.0 event in JSON.
    Cloudevents,
    /// Whichever of these it looks like.
    Auto,
}

/// What becomes of a message that would go to the DLQ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnExhausted {
    /// It goes there, and on a FIFO queue its group goes on without it.
    #[default]
    DeadLetter,
    /// FIFO queues only: it keeps its place, and its group waits behind it. It is tried again at its plugin's longest interval.
    BlockGroup,
}

/// One queue.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// The queue's URL; or leave it out and its name in SQS is the table's name.
    pub url: Option<String>,
    /// The DLQ: a name or URL. Default: the target of the queue's redrive policy.
    pub dlq: Option<String>,
    pub envelope: Envelope,
    /// The type of a message that names none.
    pub default_type: Option<String>,
    /// Deliveries in hand at once: 1 to 10,000. Default 64.
    pub concurrency: usize,
    /// Calls to receive that wait at once: 1 to 64. Default 8; the host uses fewer while little arrives.
    pub max_pollers: usize,
    /// The lease: 2 s to 12 h, whole seconds. Default 60 s.
    #[serde(with = "humantime_serde")]
    pub visibility: Duration,
    /// How long a receive waits for a message: 0 to 20 s. Default 20 s.
    #[serde(with = "humantime_serde")]
    pub wait: Duration,
    /// After how long in the queue an unroutable message is dead-lettered. Default 24 h.
    #[serde(with = "humantime_serde")]
    pub unroutable_after: Duration,
    /// What becomes of a message that would go to the DLQ. Default `dead-letter`.
    pub on_exhausted: OnExhausted,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            url: None,
            dlq: None,
            envelope: Envelope::default(),
            default_type: None,
            concurrency: 64,
            max_pollers: 8,
            visibility: Duration::from_secs(60),
            wait: Duration::from_secs(20),
            unroutable_after: Duration::from_secs(24 * 60 * 60),
            on_exhausted: OnExhausted::default(),
        }
    }
}

/// What the operator says about one plugin. Where the manifest sets a limit too, the stricter one holds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PluginConfig {
    #[serde(with = "humantime_serde")]
    pub timeout: Option<Duration>,
    pub memory: Option<ByteSize>,
    pub max_concurrency: Option<usize>,
    /// Grants these destinations; replaces what the manifest asks for.
    pub allowed_outbound_hosts: Option<Vec<String>>,
    /// Grants these queues to its outbox; replaces what the manifest asks for.
    pub queues: Option<Vec<String>>,
    /// Overrides the manifest's variables, one by one.
    pub variables: BTreeMap<String, String>,
    /// Headers that the host sets on requests to one destination, `scheme://host:port`. `{secret:NAME}` in a value stands
    /// for that secret, which the handler never sees.
    pub headers: BTreeMap<String, BTreeMap<String, Secret>>,
    /// The component's blake3, 64 hexadecimal digits: another file of this name is refused. `wasq plugins` shows it.
    pub blake3: Option<String>,
}

/// Limits on what one message may use, and on what the host keeps.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Instances alive at once, over all plugins: 1 to 10,000. Default 512.
    pub max_instances: u32,
    /// The longest timeout that a manifest may ask for: a run may use this much of a core too. Default 12 h.
    #[serde(with = "humantime_serde")]
    pub max_timeout: Duration,
    /// The largest memory that a manifest may ask for, all of an instance's memories together. Default 256 MiB.
    pub max_memory: ByteSize,
    /// The largest component file. Default 64 MiB.
    pub max_component: ByteSize,
    /// CPU time for compiling one component: at least 1 s, whole seconds. Default 60 s.
    #[serde(with = "humantime_serde")]
    pub compile_time: Duration,
    /// Memory for compiling one component. Default 2 GiB.
    pub compile_memory: ByteSize,
    /// Core instances that one component may be made of; a Rust one has 3. Default 16.
    pub core_instances: u32,
    /// Memories that one component may have; a Rust one has 1. Default 2.
    pub memories: u32,
    /// Tables that one component may have; a Rust one has 2. Default 4.
    pub tables: u32,
    /// Elements in all of an instance's tables. Default 20,000.
    pub table_elements: usize,
    /// Handles (requests, streams, pollables, resources of its own) that one instance may hold at once. Default 1,024.
    pub open_handles: usize,
    /// The longest idempotency key. Default 1 KiB.
    pub key_bytes: usize,
    /// The longest result kept with a completion. Default 4 KiB.
    pub result_bytes: usize,
    /// The longest reason that a guest gives. What is longer is cut. Default 4 KiB.
    pub reason_bytes: usize,
    /// Bytes that a message's handler may log. Default 64 KiB.
    pub log_bytes: usize,
    /// Records that a message's handler may log. Default 1,000.
    pub log_records: usize,
    /// Random bytes in one call. Default 64 KiB.
    pub random_bytes: u64,
    /// Bytes that one call may lift out of the guest: bodies, results, logs. Default 8 MiB.
    pub hostcall_bytes: usize,
    /// Steps that one run may record. Default 64.
    pub steps: usize,
    /// Bytes of one step's value. Default 256 KiB.
    pub step_bytes: usize,
    /// Bytes of all values that one run may record. Default 4 MiB.
    pub step_total_bytes: usize,
    /// Messages in one run's outbox. Default 100.
    pub outbox_messages: usize,
    /// Bytes of all bodies, attributes and names in one run's outbox. Default 16 MiB.
    pub outbox_bytes: usize,
    /// Outbound requests of one message: 0 to 100,000. Default 100.
    pub requests: usize,
    /// Outbound requests of one message at once, until each's response is read or dropped: 1 to 1,000. Default 16.
    pub requests_at_once: usize,
    /// Bytes of one request's body: to 1 GiB. Default 16 MiB.
    pub request_bytes: usize,
    /// Bytes of one response's body: to 1 GiB. Default 16 MiB.
    pub response_bytes: usize,
    /// Headers of one request or response: 1 to 1,000. Default 100.
    pub headers: usize,
    /// Bytes of one request's or response's headers: 1 KiB to 1 MiB. Default 32 KiB.
    pub header_bytes: usize,
    /// Bytes of one request's URL: 64 to 65,000. Default 8 KiB.
    pub url_bytes: usize,
    /// From the request to its response's headers: 1 ms to 12 h. Default 30 s. A handler may ask for less.
    #[serde(with = "humantime_serde")]
    pub first_byte: Duration,
    /// How long a response's body may pause: 1 ms to 12 h. Default 30 s. A handler may ask for less.
    #[serde(with = "humantime_serde")]
    pub between_bytes: Duration,
    /// From the request to its response's last byte: 1 ms to 12 h. Default 5 min.
    #[serde(with = "humantime_serde")]
    pub request_time: Duration,
    /// How long a delivery waits for its plugin's permit before it is put back. Default 5 s.
    #[serde(with = "humantime_serde")]
    pub permit_wait: Duration,
    /// How long a lease is kept past a handler's timeout, for settling. Default 30 s.
    #[serde(with = "humantime_serde")]
    pub settle_grace: Duration,
    /// Claims that ended without a finish before a message is dead-lettered as `host-crash`. Default 3.
    pub max_crashes: u32,
    /// Failures in a row that open a dependency's breaker. Default 5.
    pub breaker_failures: u32,
    /// How long an open breaker waits for its first probe; doubles up to a minute. Default 2 s.
    #[serde(with = "humantime_serde")]
    pub breaker_probe: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_instances: 512,
            max_timeout: Duration::from_secs(12 * 60 * 60),
            max_memory: ByteSize::mib(256),
            max_component: ByteSize::mib(64),
            compile_time: Duration::from_secs(60),
            compile_memory: ByteSize::gib(2),
            core_instances: 16,
            memories: 2,
            tables: 4,
            table_elements: 20_000,
            open_handles: 1_024,
            key_bytes: 1024,
            result_bytes: 4 * 1024,
            reason_bytes: 4 * 1024,
            log_bytes: 64 * 1024,
            log_records: 1_000,
            random_bytes: 64 * 1024,
            hostcall_bytes: 8 * 1024 * 1024,
            steps: 64,
            step_bytes: 256 * 1024,
            step_total_bytes: 4 * 1024 * 1024,
            outbox_messages: 100,
            outbox_bytes: 16 * 1024 * 1024,
            requests: 100,
            requests_at_once: 16,
            request_bytes: 16 * 1024 * 1024,
            response_bytes: 16 * 1024 * 1024,
            headers: 100,
            header_bytes: 32 * 1024,
            url_bytes: 8 * 1024,
            first_byte: Duration::from_secs(30),
            between_bytes: Duration::from_secs(30),
            request_time: Duration::from_secs(5 * 60),
            permit_wait: Duration::from_secs(5),
            settle_grace: Duration::from_secs(30),
            max_crashes: 3,
            breaker_failures: 5,
            breaker_probe: Duration::from_secs(2),
        }
    }
}

fn default_scope() -> String {
    "wasq".into()
}

fn default_plugins_dir() -> PathBuf {
    "plugins".into()
}

fn default_compile_cache() -> PathBuf {
    ".wasq/cache".into()
}

fn default_drain_s() -> u64 {
    20
}

/// What is wrong with the config, and where.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {source}; name another file with --config, or make one (see `wasq run --help`)")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: {source}")]
    Syntax { path: PathBuf, source: Box<toml::de::Error> },
    #[error("{path}: `{key}` is {value}: {rule}")]
    Bounds { path: PathBuf, key: String, value: String, rule: String },
}

impl Config {
    /// Reads and checks a config file. Relative paths in it count from its directory.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut config = Self::parse(&text, path)?;
        let base = path.parent().unwrap_or(Path::new("."));
        config.plugins_dir = base.join(&config.plugins_dir);
        config.compile_cache = base.join(&config.compile_cache);
        if let LedgerConfig::Local { path } = &mut config.ledger {
            *path = base.join(&*path);
        }
        config.egress.rebase(base);
        config.secrets.values_mut().for_each(|secret| secret.rebase(base));
        Ok(config)
    }

    /// Reads and checks a config; `path` is for errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)
            .map_err(|source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) })?;
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let refuse = |key: String, value: String, rule: &str| {
            Err(ConfigError::Bounds { path: path.to_owned(), key, value, rule: rule.to_owned() })
        };
        if self.queues.is_empty() {
            return refuse("queues".into(), "empty".into(), "name at least one queue, as [queues.NAME]");
        }
        if self.scope.is_empty() {
            return refuse("scope".into(), "empty".into(), "give the service a name");
        }
        if let Err(out) = bounds::check(self) {
            return refuse(out.key, out.value, &out.rule);
        }
        let compile_time = self.limits.compile_time;
        if compile_time < Duration::from_secs(1) || compile_time.subsec_nanos() != 0 {
            return refuse(
                "limits.compile_time".into(),
                format!("{compile_time:?}"),
                "use whole seconds, at least 1 s",
            );
        }
        let secrets = self.secrets.iter().find_map(|(name, source)| source.fault(name));
        if let Some((key, value, rule)) = self.limits.http_fault().or_else(|| self.egress.fault()).or(secrets) {
            return refuse(key, value, rule);
        }
        if let LedgerConfig::Postgres(postgres) = &self.ledger
            && !(1..=100).contains(&postgres.max_connections)
        {
            return refuse("ledger.max_connections".into(), postgres.max_connections.to_string(), "use 1 to 100");
        }
        if let LedgerConfig::Dynamodb(_) = &self.ledger
            && self.limits.step_bytes > DYNAMODB_VALUE_MAX_BYTES
        {
            let rule = "the ledger in DynamoDB takes steps of at most 405504 bytes (396 KiB)";
            return refuse("limits.step_bytes".into(), self.limits.step_bytes.to_string(), rule);
        }
        if let Some((name, _)) = self.pools.iter().find(|(_, size)| !(1..=10_000).contains(*size)) {
            return refuse(format!("pools.{name}"), self.pools[name].to_string(), "use 1 to 10000");
        }
        for (name, queue) in &self.queues {
            let key = |field: &str| format!("queues.{name}.{field}");
            if !(1..=10_000).contains(&queue.concurrency) {
                return refuse(key("concurrency"), queue.concurrency.to_string(), "use 1 to 10000");
            }
            if !(1..=64).contains(&queue.max_pollers) {
                return refuse(key("max_pollers"), queue.max_pollers.to_string(), "use 1 to 64");
            }
            let whole = queue.visibility.subsec_nanos() == 0;
            if !whole || !(2..=43_200).contains(&queue.visibility.as_secs()) {
                return refuse(key("visibility"), format!("{:?}", queue.visibility), "use whole seconds, 2 s to 12 h");
            }
            if queue.wait > Duration::from_secs(20) {
                return refuse(key("wait"), format!("{:?}", queue.wait), "SQS waits at most 20 s");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_file_line_and_key() {
        let check = |text: &str, expect: &[&str]| {
            let error = Config::parse(text, Path::new("wasq.toml")).unwrap_err().to_string();
            for part in expect {
                assert!(error.contains(part), "{text:?} gave {error:?}, wanted {part:?}");
            }
        };
        check("[queues.a]\nconcurency = 3", &["wasq.toml", "line 2", "concurency"]);
        check("[queues.a]\nconcurrency = 0", &["wasq.toml", "queues.a.concurrency", "1 to 10000"]);
        check("scope = \"x\"", &["queues"]);
        check("[queues.a]\nwait = \"30s\"", &["queues.a.wait", "20 s"]);
        check("[queues.a]\nvisibility = \"1500ms\"", &["queues.a.visibility"]);
        check("[queues.a\n", &["line 1"]);
        check("[queues.a]\n[limits]\nheaders = 1001", &["limits.headers", "1001", "1 to 1000"]);
        check("[queues.a]\n[limits]\nrequests_at_once = 0", &["limits.requests_at_once", "1 to 1000"]);
        check("[queues.a]\n[limits]\nbetween_bytes = '13h'", &["limits.between_bytes", "1 ms to 12 h"]);
        check("[queues.a]\n[egress]\nidle_timeout = '2h'", &["egress.idle_timeout", "1 s to 1 h"]);
        check("[queues.a]\n[secrets]\nTOKEN = {}", &["secrets.TOKEN", "env", "file"]);
        check("[queues.a]\n[secrets]\nTOKEN = { env = 'A', file = 'b' }", &["secrets.TOKEN", "both"]);
        check(
            "ledger = { store = 'dynamodb' }\nlimits = { step_bytes = 500000 }\n[queues.a]",
            &["limits.step_bytes", "405504"],
        );
    }

    #[test]
    fn the_smallest_config_gets_every_default() {
        let config = Config::parse("[queues.orders]", Path::new("wasq.toml")).unwrap();
        assert_eq!(config.queues["orders"].concurrency, 64);
        assert_eq!(config.admin.listen.port(), ADMIN_PORT);
    }
}
