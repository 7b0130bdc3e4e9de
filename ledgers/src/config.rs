//! Where the ledger is.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use wasq_core::secret::Secret;

/// The ledger.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, tag = "store", rename_all = "lowercase")]
pub enum LedgerConfig {
    /// Embedded, in a directory that one host owns.
    Local {
        /// Default `.wasq/ledger`.
        #[serde(default = "default_path")]
        path: PathBuf,
    },
    /// A table in DynamoDB, for any number of hosts.
    Dynamodb(DynamodbConfig),
    /// A Redis or Valkey server, for any number of hosts.
    Redis(RedisConfig),
    /// A schema in a PostgreSQL database, for any number of hosts.
    Postgres(PostgresConfig),
}

/// A ledger in DynamoDB. Region, credentials and endpoint are those of `[aws]` and the SDK's own
/// chain.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DynamodbConfig {
    /// Default `wasq-ledger`.
    pub table: String,
    /// Makes the table if it is not there: for development. In production a template makes it.
    pub create: bool,
    /// DynamoDB's endpoint, where it is not the region's own.
    pub endpoint_url: Option<String>,
}

/// The longest value that the ledger in DynamoDB keeps: an item has at most 400 KB, its keys and
/// names included (DynamoDB's quotas, "Item size").
pub const DYNAMODB_VALUE_MAX_BYTES: usize = 396 * 1024;

/// A ledger in Redis.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedisConfig {
    /// `redis://HOST:PORT/DB`, or `rediss://` for TLS. Default: the environment's
    /// `WASQ_LEDGER_URL`.
    pub url: Option<Secret>,
    /// What every name in the store begins with. Default `wasq`.
    pub prefix: String,
}

/// A ledger in PostgreSQL.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresConfig {
    /// `postgres://USER@HOST/DATABASE`. Default: the environment's `WASQ_LEDGER_URL`.
    pub url: Option<Secret>,
    /// Where its tables are; made if it is not there. Default `wasq`.
    pub schema: String,
    /// Connections that this host opens at most: 1 to 100. Default 8.
    pub max_connections: usize,
}

impl LedgerConfig {
    /// The store's name, as `store` in `[ledger]` has it.
    pub fn store(&self) -> &'static str {
        match self {
            Self::Local { .. } => "local",
            Self::Dynamodb(_) => "dynamodb",
            Self::Redis(_) => "redis",
            Self::Postgres(_) => "postgres",
        }
    }
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self::Local { path: default_path() }
    }
}

fn default_path() -> PathBuf {
    ".wasq/ledger".into()
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
