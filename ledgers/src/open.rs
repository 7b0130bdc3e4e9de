//! Opens the store that the config names.

use std::sync::Arc;

use wasq_core::aws::AwsConfig;

use crate::config::LedgerConfig;
#[cfg(feature = "dynamodb")]
use crate::dynamodb;
use crate::ledger::Ledger;
#[cfg(feature = "local")]
use crate::local;
#[cfg(feature = "postgres")]
use crate::postgres;
#[cfg(feature = "redis")]
use crate::redis;

/// Opens the ledger that the config names.
///
/// # Errors
/// [`OpenError::NotBuilt`] when this build has no such store: each is behind a cargo feature of its
/// name.
#[cfg_attr(not(feature = "dynamodb"), allow(unused_variables, reason = "only DynamoDB is asked as AWS says"))]
pub async fn open(config: &LedgerConfig, aws: &AwsConfig) -> Result<Arc<dyn Ledger>, OpenError> {
    match config {
        #[cfg(feature = "local")]
        LedgerConfig::Local { path } => Ok(Arc::new(local::LocalLedger::open(path)?)),
        #[cfg(feature = "dynamodb")]
        LedgerConfig::Dynamodb(config) => Ok(Arc::new(dynamodb::DynamodbLedger::open(config, aws).await?)),
        #[cfg(feature = "redis")]
        LedgerConfig::Redis(config) => Ok(Arc::new(redis::RedisLedger::open(config).await?)),
        #[cfg(feature = "postgres")]
        LedgerConfig::Postgres(config) => Ok(Arc::new(postgres::PostgresLedger::open(config).await?)),
        #[cfg(not(all(feature = "local", feature = "dynamodb", feature = "redis", feature = "postgres")))]
        other => Err(OpenError::NotBuilt { store: other.store() }),
    }
}

/// Why the ledger could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("this build has no ledger in `{store}`; build wasq-ledgers with its feature `{store}`")]
    NotBuilt { store: &'static str },
    #[cfg(feature = "dynamodb")]
    #[error(transparent)]
    Dynamodb(#[from] dynamodb::OpenError),
    #[cfg(feature = "local")]
    #[error(transparent)]
    Local(#[from] local::OpenError),
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Postgres(#[from] postgres::OpenError),
    #[cfg(feature = "redis")]
    #[error(transparent)]
    Redis(#[from] redis::OpenError),
}
