//! The schedules, for scripts and for `wasq schedules`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use wasq_core::message::{MessageType, UnixMs};
use wasq_ledgers::LedgerError;

use super::app::App;
use super::extractors::ApiActor;
use crate::timers::TimerStore;
use crate::timers::schedules::outcome::{self, Outcome};
use crate::timers::schedules::{self, Change, Last, Record, Schedule};

/// A schedule as it stands.
#[derive(Debug, Serialize, Deserialize)]
pub struct ScheduleStatus {
    pub name: String,
    /// When it ticks, in the config's words.
    pub rule: String,
    pub queue: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// When its next message is sent; none while it is paused, and where no tick follows.
    pub next: Option<UnixMs>,
    pub is_paused: bool,
    /// The last tick whose message was sent.
    pub last: Option<Last>,
    /// How the last attempt at one of its messages ended, in each plugin of the type.
    pub outcomes: Vec<Outcome>,
}

/// Who asks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRequest {
    pub by: String,
}

/// What `POST /schedules/{name}/run` has done.
#[derive(Debug, Serialize, Deserialize)]
pub struct Started {
    /// The key of the message that is sent.
    pub key: String,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum SchedulesError {
    #[error("this host has no schedule `{name}`; it has {known}")]
    Unknown { name: String, known: String },
    #[error("the ledger keeps no timers, which schedules need")]
    NoTimers,
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
}

impl SchedulesError {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unknown { .. } => StatusCode::NOT_FOUND,
            Self::NoTimers | Self::Ledger(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for SchedulesError {
    fn into_response(self) -> Response {
        (self.status(), Json(serde_json::json!({ "error": self.to_string() }))).into_response()
    }
}

pub async fn list(State(app): State<Arc<App>>) -> Result<Json<serde_json::Value>, SchedulesError> {
    Ok(Json(serde_json::json!({ "schedules": app.schedules().await? })))
}

pub async fn pause(
    State(app): State<Arc<App>>,
    ApiActor(peer): ApiActor,
    Path(name): Path<String>,
    Json(asked): Json<ScheduleRequest>,
) -> Result<Json<ScheduleStatus>, SchedulesError> {
    app.change_schedule(&name, Change::Pause, &asked.by, peer).await.map(Json)
}

pub async fn resume(
    State(app): State<Arc<App>>,
    ApiActor(peer): ApiActor,
    Path(name): Path<String>,
    Json(asked): Json<ScheduleRequest>,
) -> Result<Json<ScheduleStatus>, SchedulesError> {
    app.change_schedule(&name, Change::Resume, &asked.by, peer).await.map(Json)
}

pub async fn run(
    State(app): State<Arc<App>>,
    ApiActor(peer): ApiActor,
    Path(name): Path<String>,
    Json(asked): Json<ScheduleRequest>,
) -> Result<Json<Started>, SchedulesError> {
    app.run_schedule(&name, &asked.by, peer).await.map(|key| Json(Started { key }))
}

impl App {
    /// All schedules of this host's config.
    pub async fn schedules(&self) -> Result<Vec<ScheduleStatus>, SchedulesError> {
        let mut all = Vec::new();
        for (name, schedule) in self.source.services.schedules.iter() {
            let store = self.timers()?;
            let timer = store.get(&schedules::timer_id(name)).await?;
            let record = timer.as_ref().and_then(|timer| Record::read(&timer.message));
            all.push(self.schedule(name, schedule, record, timer.map(|timer| timer.due)).await?);
        }
        Ok(all)
    }

    pub async fn change_schedule(
        &self,
        name: &str,
        change: Change,
        by: &str,
        from: SocketAddr,
    ) -> Result<ScheduleStatus, SchedulesError> {
        let schedule = self.known(name)?;
        let services = &self.source.services;
        let changed =
            schedules::change(self.timers()?.timers(), &services.schedules, name, change, services.clock.unix_ms())
                .await;
        let action = match change {
            Change::Pause => "pause",
            Change::Resume => "resume",
        };
        audit(action, name, by, from, changed.as_ref().err());
        let due = changed?.map(|(record, due)| (Some(record), Some(due)));
        let (record, due) = due.unwrap_or_default();
        self.schedule(name, schedule, record, due).await
    }

    /// Has its message sent out of turn. The answer is the message's key.
    pub async fn run_schedule(&self, name: &str, by: &str, from: SocketAddr) -> Result<String, SchedulesError> {
        let schedule = self.known(name)?;
        let now = self.source.services.clock.unix_ms();
        let started = schedules::run_now(self.timers()?.timers(), name, schedule, now).await;
        audit("run", name, by, from, started.as_ref().err());
        Ok(started?)
    }

    fn timers(&self) -> Result<&TimerStore, SchedulesError> {
        self.source.services.timers.as_deref().ok_or(SchedulesError::NoTimers)
    }

    fn known(&self, name: &str) -> Result<&Schedule, SchedulesError> {
        let schedules = &self.source.services.schedules;
        schedules.get(name).ok_or_else(|| {
            let known: Vec<_> = schedules.iter().map(|(name, _)| name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            SchedulesError::Unknown { name: name.to_owned(), known }
        })
    }

    async fn schedule(
        &self,
        name: &str,
        schedule: &Schedule,
        record: Option<Record>,
        due: Option<UnixMs>,
    ) -> Result<ScheduleStatus, SchedulesError> {
        let services = &self.source.services;
        let catalog = services.catalogs.current();
        let mut outcomes = Vec::new();
        for serving in catalog.route(&MessageType(schedule.config.kind.clone())) {
            let plugin = &serving.stable.manifest.name;
            outcomes.extend(outcome::last(&*services.ledger, &services.scope, name, plugin).await?);
        }
        let is_paused = record.as_ref().is_some_and(|record| record.is_paused);
        let ticks = record.as_ref().is_some_and(|record| record.tick.is_some());
        Ok(ScheduleStatus {
            name: name.to_owned(),
            rule: schedule.config.rule_in_words(),
            queue: schedule.config.queue.clone(),
            kind: schedule.config.kind.clone(),
            next: due.filter(|_| ticks && !is_paused),
            is_paused,
            last: record.and_then(|record| record.last),
            outcomes,
        })
    }
}

fn audit(action: &str, name: &str, by: &str, from: SocketAddr, error: Option<&LedgerError>) {
    match error {
        None => tracing::info!(target: "audit", action, who = by, %from, schedule = name, "a schedule"),
        Some(error) => tracing::warn!(target: "audit", action, who = by, %from, schedule = name, %error, "a schedule"),
    }
}
