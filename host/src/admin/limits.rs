//! `/limits`: what the whole fleet may do, and who does it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use crate::admission::fleet_pools::FleetPoolStatus;
use crate::admission::rates::RateStatus;
use crate::telemetry::export::Source;

/// What `/limits` answers: what this host has, and for a pool what all hosts have.
#[derive(Serialize, Deserialize)]
pub struct LimitsStatus {
    /// This host, as the others know it.
    pub host: Option<String>,
    pub rates: Vec<RateStatus>,
    pub pools: Vec<PoolStatus>,
}

/// A fleet's pool.
#[derive(Serialize, Deserialize)]
pub struct PoolStatus {
    #[serde(flatten)]
    pub here: FleetPoolStatus,
    /// What each host has leased; none where the ledger does not answer.
    pub holders: Option<BTreeMap<String, usize>>,
}

pub async fn limits(State(source): State<Source>) -> Json<LimitsStatus> {
    let services = &source.services;
    let pools = services.fleet_pools.status().into_iter().map(|here| async move {
        let holders = match &services.quotas {
            Some(quotas) => quotas.holders(&here.name).await.ok(),
            None => None,
        };
        let holders = holders.map(|document| {
            document.hosts.into_iter().map(|(host, lease)| (host, lease.permits)).collect::<BTreeMap<_, _>>()
        });
        PoolStatus { here, holders }
    });
    let pools = join_all(pools).await;
    let host = services.quotas.as_ref().map(|quotas| quotas.host().to_owned());
    Json(LimitsStatus { host, rates: services.rates.status(), pools })
}
