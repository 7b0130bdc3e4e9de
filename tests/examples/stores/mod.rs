//! The stores that are measured, each started for it.

#![allow(dead_code, reason = "no example measures all of them")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result};
use tempfile::TempDir;
use wasq::config::{AwsConfig, DynamodbConfig, PostgresConfig, RedisConfig, Secret};
use wasq_ledgers::Ledger;
use wasq_ledgers::dynamodb::DynamodbLedger;
use wasq_ledgers::local::LocalLedger;
use wasq_ledgers::postgres::PostgresLedger;
use wasq_ledgers::redis::RedisLedger;
use wasq_tests::servers::Server;

/// A store. It ends with this.
pub enum Stores {
    Local(TempDir),
    Redis(Server),
    Postgres(Server),
    Dynalite(Dynalite),
}

impl Stores {
    pub fn local() -> Result<Self> {
        Ok(Self::Local(tempfile::tempdir()?))
    }

    pub fn redis() -> Result<Self> {
        Ok(Self::Redis(Server::redis()?))
    }

    pub fn postgres() -> Result<Self> {
        Ok(Self::Postgres(Server::postgres_with(&[])?))
    }

    pub fn dynalite() -> Result<Self> {
        Ok(Self::Dynalite(Dynalite::start()?))
    }

    /// A host's way to it.
    pub async fn ledger(&self) -> Result<Arc<dyn Ledger>> {
        Ok(match self {
            Self::Local(dir) => Arc::new(LocalLedger::open(dir.path())?),
            Self::Redis(server) => {
                let config = RedisConfig { url: Some(Secret(server.url())), ..RedisConfig::default() };
                Arc::new(RedisLedger::open(&config).await?)
            }
            Self::Postgres(server) => {
                let config = PostgresConfig { url: Some(Secret(server.url())), ..PostgresConfig::default() };
                Arc::new(PostgresLedger::open(&config).await?)
            }
            Self::Dynalite(dynalite) => {
                let endpoint_url = Some(dynalite.url.clone());
                let config = DynamodbConfig { create: true, endpoint_url, ..DynamodbConfig::default() };
                Arc::new(DynamodbLedger::open(&config, &AwsConfig::default()).await?)
            }
        })
    }
}

/// It dies when this is dropped.
pub struct Dynalite {
    child: Child,
    url: String,
}

impl Dynalite {
    fn start() -> Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/dynalite.mjs");
        let mut child = Command::new("node").arg(script).stdout(Stdio::piped()).spawn()?;
        let said = child.stdout.take().context("it is piped")?;
        for line in BufReader::new(said).lines() {
            if let Some((_, address)) = line?.split_once("Running on http://") {
                return Ok(Self { child, url: format!("http://{}", address.trim()) });
            }
        }
        anyhow::bail!("dynalite does not start; `cargo xtask setup` installs it")
    }
}

impl Drop for Dynalite {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
