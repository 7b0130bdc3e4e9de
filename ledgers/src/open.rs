//! Opens the store that the config names.

use std::sync::Arc;

use wasq_core::aws::AwsConfig;

use crate::config::LedgerConfig;
use crate::ledger::Ledger;
use crate::{dynamodb, local, postgres, redis};

/// Opens the ledger that the config names.
pub async fn open(config: &LedgerConfig, aws: &AwsConfig) -> Result<Arc<dyn Ledger>, OpenError> {
    Ok(match config {
        LedgerConfig::Local { path } => Arc::new(local::LocalLedger::open(path)?),
        LedgerConfig::Dynamodb(config) => Arc::new(dynamodb::DynamodbLedger::open(config, aws).await?),
        LedgerConfig::Redis(config) => Arc::new(redis::RedisLedger::open(config).await?),
        LedgerConfig::Postgres(config) => Arc::new(postgres::PostgresLedger::open(config).await?),
    })
}

/// Why the ledger could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Dynamodb(#[from] dynamodb::OpenError),
    #[error(transparent)]
    Local(#[from] local::OpenError),
    #[error(transparent)]
    Postgres(#[from] postgres::OpenError),
    #[error(transparent)]
    Redis(#[from] redis::OpenError),
}
