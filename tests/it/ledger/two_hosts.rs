//! Two hosts' ledgers in one store, for the contracts of what a ledger keeps beside claims.

use std::sync::Arc;

use wasq_ledgers::Ledger;

use super::dynamodb as on_dynamodb;
use super::local as on_local;
use super::postgres as on_postgres;
use super::redis as on_redis;

pub struct TwoHosts {
    pub one: Arc<dyn Ledger>,
    pub other: Arc<dyn Ledger>,
    /// Where a store is that ends with its hosts.
    pub kept: Option<tempfile::TempDir>,
}

impl TwoHosts {
    pub async fn local() -> Self {
        let (ledger, dir) = on_local::open_shared().await;
        Self { one: ledger.clone(), other: ledger, kept: Some(dir) }
    }

    pub async fn redis() -> Self {
        let (one, other, ()) = on_redis::open_two().await;
        Self { one, other, kept: None }
    }

    pub async fn postgres() -> Self {
        let (one, other, ()) = on_postgres::open_two().await;
        Self { one, other, kept: None }
    }

    pub async fn moto() -> Self {
        let (one, other, ()) = on_dynamodb::open_two_on_moto().await;
        Self { one, other, kept: None }
    }

    pub async fn dynalite() -> Self {
        let (one, other, ()) = on_dynamodb::open_two_on_dynalite().await;
        Self { one, other, kept: None }
    }
}
