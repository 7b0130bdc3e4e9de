//! `/limits`: what the whole fleet may do and each key, and who does it; and setting it while the
//! hosts run.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use wasq_core::message::UnixMs;

use super::app::App;
use super::extractors::ApiActor;
use crate::admission::fair_queue::FairStatus;
use crate::admission::fleet_pools::FleetPoolStatus;
use crate::admission::key_limits::KeyedStatus;
use crate::admission::permits::QueueShare;
use crate::admission::queue_limit::AutoStatus;
use crate::admission::rates::RateStatus;
use crate::admission::set_limits::{self, Operator, SetLimitError};
use crate::quotas::QuotaStore;
use crate::quotas::limit_document::{LimitName, SetLimit};
use crate::telemetry::export::Source;

/// What `/limits` answers: what this host has, and for a pool what all hosts have.
#[derive(Serialize, Deserialize)]
pub struct LimitsStatus {
    /// This host, as the others know it.
    pub host: Option<String>,
    pub rates: Vec<RateStatus>,
    pub pools: Vec<PoolStatus>,
    /// What operators have set in place of the config's, by `rate:NAME` and `pool:NAME`.
    #[serde(default)]
    pub set: BTreeMap<LimitName, SetLimit>,
    /// The host's permits by queue, where queues have priorities.
    #[serde(default)]
    pub queues: Vec<QueueShare>,
    /// The queues whose limit goes by what runs take (`concurrency = "auto"`).
    #[serde(default)]
    pub concurrency: Vec<AutoStatus>,
    /// Turns by key, of the queues with `fair_by`.
    #[serde(default)]
    pub fair: Vec<FairStatus>,
    /// Concurrency by key, of the plugins that have it.
    #[serde(default)]
    pub keyed: Vec<KeyedStatus>,
}

/// What `POST /limits/set` is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetRequest {
    /// A rate or a pool of the config; `rate:NAME` or `pool:NAME` where both have the name.
    pub name: String,
    /// As the config would have it: `50/s` of a rate, `20` of a pool.
    pub value: String,
    /// Who asks.
    pub by: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<UnixMs>,
}

/// What `POST /limits/reset` is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResetRequest {
    pub name: String,
    pub by: String,
}

/// What was set, or what was set before it was reset.
#[derive(Debug, Serialize, Deserialize)]
pub struct Set {
    pub name: LimitName,
    pub limit: Option<SetLimit>,
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
    let set = services.set_limits.current(services.clock.unix_ms()).set;
    Json(LimitsStatus {
        host,
        rates: services.rates.status(),
        pools,
        set,
        queues: services.permits.queues(),
        concurrency: source.concurrency(),
        fair: source.fair(),
        keyed: services.keyed(),
    })
}

pub async fn set(
    State(app): State<Arc<App>>,
    ApiActor(from): ApiActor,
    Json(asked): Json<SetRequest>,
) -> Result<Json<Set>, SetLimitError> {
    let SetRequest { name, value, by, until } = asked;
    app.set_limit(&name, &value, &by, until, from).await.map(Json)
}

pub async fn reset(
    State(app): State<Arc<App>>,
    ApiActor(from): ApiActor,
    Json(ResetRequest { name, by }): Json<ResetRequest>,
) -> Result<Json<Set>, SetLimitError> {
    app.reset_limit(&name, &by, from).await.map(Json)
}

impl App {
    /// Sets a limit, on this host at once.
    pub async fn set_limit(
        &self,
        name: &str,
        value: &str,
        by: &str,
        until: Option<UnixMs>,
        from: SocketAddr,
    ) -> Result<Set, SetLimitError> {
        let (name, store) = self.limit(name)?;
        let now = self.source.services.clock.unix_ms();
        let limit = set_limits::set(store, &name, value, until, now, Operator { by, from }).await?;
        self.follow_limits(store, now).await;
        Ok(Set { name, limit: Some(limit) })
    }

    /// Resets a limit, on this host at once.
    pub async fn reset_limit(&self, name: &str, by: &str, from: SocketAddr) -> Result<Set, SetLimitError> {
        let (name, store) = self.limit(name)?;
        let now = self.source.services.clock.unix_ms();
        let limit = set_limits::reset(store, &name, now, Operator { by, from }).await?;
        self.follow_limits(store, now).await;
        Ok(Set { name, limit })
    }

    fn limit(&self, name: &str) -> Result<(LimitName, &QuotaStore), SetLimitError> {
        let services = &self.source.services;
        let name = set_limits::find(name, &services.rates, &services.fleet_pools)?;
        Ok((name, services.quotas.as_deref().ok_or(SetLimitError::NotKept)?))
    }

    async fn follow_limits(&self, store: &QuotaStore, now: UnixMs) {
        let services = &self.source.services;
        if let Err(error) = services.set_limits.refresh(store, &services.rates, &services.fleet_pools, now).await {
            tracing::warn!(%error, "what limits are set cannot be read; they are read again soon");
        }
    }
}

impl IntoResponse for SetLimitError {
    fn into_response(self) -> Response {
        let code = match &self {
            Self::Unknown { .. } => StatusCode::NOT_FOUND,
            Self::Ambiguous { .. } | Self::Value { .. } | Self::Over => StatusCode::BAD_REQUEST,
            Self::TooMany(_) | Self::NotKept => StatusCode::CONFLICT,
            Self::Ledger(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        (code, Json(serde_json::json!({ "error": self.to_string() }))).into_response()
    }
}
