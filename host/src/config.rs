//! The operator's config, `wasq.toml`: every limit with its default and its bounds.

mod admin;
pub mod bounds;
mod claim_check;
mod concurrency;
mod egress;
mod environment;
mod ingress;
mod key_line;
mod key_template;
mod limits;
mod load;
mod location;
mod oci;
mod outlet;
mod plugin;
mod pressure;
mod queue_url;
mod rate;
mod rings;
mod rollout;
mod schedule;
mod sign;
mod signer;
mod telemetry;
mod type_from;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wasq_core::schema::{Size, Time};

pub use admin::Admin;
pub use claim_check::ClaimCheck;
pub use concurrency::Concurrency;
pub use egress::{AwsSecretLocation, Egress, SecretLocation, SecretSource};
pub use ingress::{Ingress, IngressTypeConfig, SignatureConfig, TokenConfig};
pub use key_template::KeyTemplate;
pub use limits::Limits;
pub use load::ConfigError;
pub use location::Location;
pub use oci::{BadReference, OciConfig, OciReference, is_digest};
pub use outlet::OutletConfig;
pub use plugin::PluginConfig;
pub use pressure::{OnOutage, POOL_SIZE_MAX, PoolConfig, PoolScope, RateConfig};
pub use queue_url::QueueUrl;
pub use rate::Rate;
pub use rings::{DeadLetterEdge, dead_letter_ring, ring_rule};
pub use rollout::{Percent, RolloutConfig};
pub use schedule::{CatchUp, Rule, ScheduleConfig};
pub use sign::{RequestPattern, SignConfig, SignFault, SignRule};
pub use signer::SignerKey;
pub use telemetry::{LogFormat, Telemetry};
pub use type_from::{TypeFrom, TypeSource};
pub use wasq_core::aws::AwsConfig;
pub use wasq_core::secret::Secret;
pub use wasq_ledgers::config::{DYNAMODB_VALUE_MAX_BYTES, DynamodbConfig, LedgerConfig, PostgresConfig, RedisConfig};
pub use wasq_queues::kafka::KafkaConfig;
pub use wasq_queues::rabbitmq::RabbitMqConfig;
pub use wasq_queues::redis::RedisConfig as RedisQueueConfig;
pub use wasq_queues::{BadQueueRef, Broker, QueueRef};

use outlet::CLAIM_CHECK_OVER;

/// The whole of `wasq.toml`. Unknown keys are errors.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Part of every ledger key, so that two services can share one ledger.
    #[serde(default = "default_scope")]
    pub scope: String,
    /// Where the plugins are: each a `.wasm` file.
    #[serde(default = "default_plugins_dir")]
    pub plugins_dir: PathBuf,
    /// minisign public keys. Set, a plugin's files are loaded only with a signature beside them
    /// that one of these has made.
    #[serde(default)]
    pub plugins_signed_by: Option<Vec<SignerKey>>,
    /// Where compiled code is kept from one start to the next. Only this user may write there.
    #[serde(default = "default_compile_cache")]
    pub compile_cache: PathBuf,
    /// The `wasq` binary, which compiles components in a process of its own. The command line sets
    /// it; without it they are compiled here, without bounds.
    #[serde(skip)]
    pub compiler: Option<PathBuf>,
    /// Grants every plugin what its manifest asks for. For development; in production grant plugin
    /// by plugin.
    #[serde(default)]
    pub grant_all: bool,
    /// How long the host waits at shutdown for what runs, before it interrupts it.
    #[serde(default = "default_drain_s")]
    pub drain_s: u64,
    /// Does not start where a queue or an outlet cannot be opened. Without it the others work, and
    /// those are opened as soon as they can be.
    #[serde(default)]
    pub strict_start: bool,
    #[serde(default)]
    pub aws: AwsConfig,
    #[serde(default)]
    pub ledger: LedgerConfig,
    /// Plugins that are in registries.
    #[serde(default)]
    pub oci: OciConfig,
    #[serde(default)]
    pub admin: Admin,
    #[serde(default)]
    pub ingress: Ingress,
    #[serde(default)]
    pub egress: Egress,
    #[serde(default)]
    pub telemetry: Telemetry,
    /// Secrets that header templates name, each with the place where it is.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretSource>,
    /// Where secrets are asked for, if not at `aws`: `wasq dev` has its queues on this machine, and
    /// not these.
    #[serde(skip)]
    pub secrets_aws: Option<AwsConfig>,
    #[serde(default)]
    pub limits: Limits,
    /// Permits that plugins share, by the names that their manifests use: `smtp = 10`.
    #[serde(default)]
    pub pools: BTreeMap<String, PoolConfig>,
    /// How often runs may start on all hosts together, by the names that manifests use.
    #[serde(default)]
    pub rates: BTreeMap<String, RateConfig>,
    /// The queues, by the names that the outbox and the command line use.
    pub queues: BTreeMap<String, QueueConfig>,
    /// Queues that are only sent to, by the names that the outbox uses. Nothing is received from
    /// them.
    #[serde(default)]
    pub outlets: BTreeMap<String, OutletConfig>,
    /// Messages that are sent again and again, by their schedules' names.
    #[serde(default)]
    pub schedules: BTreeMap<String, ScheduleConfig>,
    /// How new versions of plugins with a `canary` are judged.
    #[serde(default)]
    pub rollout: RolloutConfig,
    /// What the operator says about single plugins, by their names.
    #[serde(default)]
    pub plugins: BTreeMap<String, PluginConfig>,
}

/// The port of the admin server.
pub const ADMIN_PORT: u16 = 9325;
/// The port of the local queue.
pub const LOCAL_SQS_PORT: u16 = 9324;

/// How a producer's envelope is recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Envelope {
    /// The body is the message.
    #[default]
    Plain,
    /// An SNS notification.
    Sns,
    /// An EventBridge event.
    Eventbridge,
    /// A CloudEvents event: JSON in structured mode, a batch of them, or message attributes.
    Cloudevents,
    /// Whichever of these it looks like, one in another too; and what AWS's services say, by its
    /// shape.
    Auto,
}

/// What becomes of a message that would go to the DLQ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnExhausted {
    /// It goes there, and on a FIFO queue its group goes on without it.
    #[default]
    DeadLetter,
    /// FIFO queues only: it keeps its place, and its group waits behind it. It is tried again at
    /// its plugin's longest interval.
    BlockGroup,
}

/// What a message's key is where neither it nor an outbox names one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyFrom {
    /// SQS's id of the message: each message that SQS has accepted is a message of its own.
    #[default]
    MessageId,
    /// FIFO queues only: the deduplication id, within one `deduplication_window`.
    DeduplicationId,
}

/// One queue.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// Who has the queue: `sqs`, `rabbitmq`, `redis` or `kafka`. Default `sqs`.
    pub broker: Broker,
    /// On SQS the queue: its name, URL or ARN; default: the table's name. Elsewhere the server.
    pub url: Option<QueueUrl>,
    /// How a queue on RabbitMQ is used.
    pub rabbitmq: Option<RabbitMqConfig>,
    /// How a queue on Redis is used.
    pub redis: Option<RedisQueueConfig>,
    /// How a topic of Kafka is used.
    pub kafka: Option<KafkaConfig>,
    /// The DLQ: a name; on SQS also a URL or an ARN. Default on SQS: the redrive policy's target.
    pub dlq: Option<String>,
    /// How a producer's envelope is recognised. Default `plain`.
    pub envelope: Envelope,
    /// Where a message's type is, in the order in which the places are tried. Default
    /// `["attribute:type", "envelope", "/type"]`.
    pub type_from: TypeFrom,
    /// Types as they are found, and what they are to be called here.
    pub type_map: BTreeMap<String, String>,
    /// Stands before every type that is found and not in `type_map`.
    pub type_prefix: Option<String>,
    /// The type of a message that names none.
    pub default_type: Option<String>,
    /// Makes each record of a batch in one body (S3, CloudEvents) a message of its own.
    pub split: bool,
    /// Records of a batch with `split`: 1 to 10,000. Default 1,000.
    pub split_max: usize,
    /// The S3 bucket of bodies that are too large for the queue: pointers to it are followed, and
    /// what outboxes and `wasq send` send goes there if it is larger than `claim_check_over`.
    pub claim_check_bucket: Option<String>,
    /// Bytes of a message, attributes included: 1 KiB to 1 MiB. Default 256 KiB.
    #[schemars(with = "Size")]
    pub claim_check_over: ByteSize,
    /// Deletes a body from the bucket once its message is done and deleted.
    pub delete_payload: bool,
    /// Confirms SNS's subscriptions to the topics in `topics`.
    pub confirm_subscriptions: bool,
    /// The ARNs of these topics; `*` at the end stands for any rest.
    pub topics: Vec<String>,
    /// What a message's key is where neither it nor an outbox names one. Default `message-id`.
    pub key_from: KeyFrom,
    /// With `key_from = "deduplication-id"`: 1 min to 14 days, whole seconds. Default 5 min, as
    /// SQS's own.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub deduplication_window: Duration,
    /// Deliveries in hand at once: 1 to 10,000. Default 64. With `"auto"`, or `{ min = 4, max = 256
    /// }`, the host finds out how many do not slow its handlers down.
    #[schemars(extend("default" = 64))]
    pub concurrency: Concurrency,
    /// Whose runs get the host's permits first while they are short: 0 to 100. Default 0.
    pub priority: u32,
    /// The share of the host's permits that is kept for its runs: 0 to 0.9. Default 0.1 at most,
    /// where queues have different priorities.
    pub min_share: Option<f64>,
    /// What tells its messages apart that take turns, as `{/tenant}`: no key's messages wait behind
    /// all of another's. Default: none, they go as they come.
    pub fair_by: Option<KeyTemplate>,
    /// Calls to receive that wait at once: 1 to 64. Default 8; the host uses fewer while little
    /// arrives.
    pub max_pollers: usize,
    /// The lease: 2 s to 12 h, whole seconds. Default 60 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub visibility: Duration,
    /// How long a receive waits for a message: 0 to 20 s. Default 20 s. See
    /// [`QueueConfig::poll_wait`].
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub wait: Duration,
    /// After how long in the queue an unroutable message is dead-lettered. Default 24 h; on a FIFO
    /// queue 5 min, since its group waits behind it.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub unroutable_after: Duration,
    /// What becomes of a message that would go to the DLQ. Default `dead-letter`.
    pub on_exhausted: OnExhausted,
}

/// How long an unroutable message waits unless the config says it: a plugin may be deployed within
/// a day, and a FIFO group cannot wait for that.
const UNROUTABLE_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
const UNROUTABLE_AFTER_FIFO: Duration = Duration::from_secs(5 * 60);

impl QueueConfig {
    /// Whether `unroutable_after` is what it is where the config does not say it, of either kind of
    /// queue.
    pub fn has_default_unroutable_after(&self) -> bool {
        [UNROUTABLE_AFTER, UNROUTABLE_AFTER_FIFO].contains(&self.unroutable_after)
    }
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            broker: Broker::default(),
            url: None,
            rabbitmq: None,
            redis: None,
            kafka: None,
            dlq: None,
            envelope: Envelope::default(),
            type_from: TypeFrom::default(),
            type_map: BTreeMap::new(),
            type_prefix: None,
            default_type: None,
            split: false,
            split_max: 1_000,
            claim_check_bucket: None,
            claim_check_over: CLAIM_CHECK_OVER,
            delete_payload: false,
            confirm_subscriptions: false,
            topics: Vec::new(),
            key_from: KeyFrom::default(),
            deduplication_window: Duration::from_secs(5 * 60),
            concurrency: Concurrency::DEFAULT,
            priority: 0,
            min_share: None,
            fair_by: None,
            max_pollers: 8,
            visibility: Duration::from_secs(60),
            wait: Duration::from_secs(20),
            unroutable_after: UNROUTABLE_AFTER,
            on_exhausted: OnExhausted::default(),
        }
    }
}

impl QueueConfig {
    /// What a type that was found is called here.
    pub fn renamed(&self, kind: String) -> String {
        match (self.type_map.get(&kind), &self.type_prefix) {
            (Some(name), _) => name.clone(),
            (None, Some(prefix)) => format!("{prefix}{kind}"),
            (None, None) => kind,
        }
    }

    /// How long a receive really waits: `wait`, but never more than half of the visibility, in the
    /// whole seconds that SQS takes.
    ///
    /// A delivery's lease counts from when its receive was sent. A message that arrives at the end
    /// of a poll must have enough of its lease left to be run.
    pub fn poll_wait(&self) -> Duration {
        Duration::from_secs(self.wait.min(self.visibility / 2).as_secs())
    }
}

/// What manifests, grants and handlers call the queue that a handler's message came from.
pub const OWN_QUEUE: &str = "self";

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

impl Config {
    /// Whether an outbox can send to a queue of this name.
    pub fn is_sent_to(&self, queue: &str) -> bool {
        queue == OWN_QUEUE || self.queues.contains_key(queue) || self.outlets.contains_key(queue)
    }
}
