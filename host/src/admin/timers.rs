//! What waits in the ledger for its time, for scripts and for `wasq timers`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use wasq_core::message::UnixMs;
use wasq_ledgers::LedgerError;
use wasq_ledgers::timers::{Cancelled, LIST_MAX, Place, TimerId, Timers};

use super::app::App;
use super::extractors::{ApiActor, ApiLooker};

/// Timers that are listed where the client does not say how many.
const LIMIT: usize = 100;

/// A part of all timers, the first to be due first.
#[derive(Debug, Serialize, Deserialize)]
pub struct TimerList {
    /// How many there are, and how many of them are overdue.
    pub all: u64,
    pub overdue: u64,
    /// Whether counting ended before their end.
    pub is_at_least: bool,
    pub timers: Vec<TimerStatus>,
    /// What `after` takes for the next part; none at the end.
    pub next: Option<String>,
}

/// A timer.
#[derive(Debug, Serialize, Deserialize)]
pub struct TimerStatus {
    pub id: String,
    pub due: UnixMs,
    /// The queue's name in the config.
    pub queue: String,
    /// The stored message's length.
    pub bytes: usize,
    /// Whether a host has it in hand.
    pub is_taken: bool,
}

/// Which part is asked for.
#[derive(Debug, Deserialize)]
pub struct Part {
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    after: Option<String>,
}

/// What `POST /timers/cancel` is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelRequest {
    pub id: String,
    /// Who asks.
    pub by: String,
}

/// What became of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct CancelAnswer {
    pub was: Was,
}

/// What a timer was that is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Was {
    /// Its message is not sent.
    Waiting,
    /// Its message may have been sent.
    Taken,
    /// There was none.
    Gone,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum TimersError {
    #[error("the ledger keeps no timers")]
    NoTimers,
    #[error("`after` is no place in the list; take it from the list before")]
    NoPlace,
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
}

impl IntoResponse for TimersError {
    fn into_response(self) -> Response {
        let code = match self {
            Self::NoPlace => StatusCode::BAD_REQUEST,
            Self::NoTimers | Self::Ledger(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        (code, Json(serde_json::json!({ "error": self.to_string() }))).into_response()
    }
}

/// Ids of an outbox's timers hold keys. So it is for those who may see letters.
pub async fn list(
    State(app): State<Arc<App>>,
    _looker: ApiLooker,
    Query(part): Query<Part>,
) -> Result<Json<TimerList>, TimersError> {
    let timers = timers(&app)?;
    let after: Option<Place> = part.after.map(|after| after.parse().map_err(|_| TimersError::NoPlace)).transpose()?;
    let counts = timers.counts().await?;
    let list = timers.list(part.limit.unwrap_or(LIMIT).clamp(1, LIST_MAX), after.as_ref()).await?;
    let status = |timer: wasq_ledgers::timers::Listed| TimerStatus {
        id: timer.id.0,
        due: timer.due,
        queue: timer.queue,
        bytes: timer.bytes,
        is_taken: timer.is_taken,
    };
    Ok(Json(TimerList {
        all: counts.all,
        overdue: counts.overdue,
        is_at_least: counts.is_at_least,
        timers: list.timers.into_iter().map(status).collect(),
        next: list.next.map(|next| next.to_string()),
    }))
}

pub async fn cancel(
    State(app): State<Arc<App>>,
    ApiActor(peer): ApiActor,
    Json(asked): Json<CancelRequest>,
) -> Result<Json<CancelAnswer>, TimersError> {
    let CancelRequest { id, by } = asked;
    match timers(&app)?.cancel(&TimerId(id.clone())).await {
        Ok(cancelled) => {
            let was = match cancelled {
                Cancelled::Waiting => Was::Waiting,
                Cancelled::Taken => Was::Taken,
                Cancelled::Gone => Was::Gone,
            };
            tracing::info!(target: "audit", action = "cancel", who = by, from = %peer, id, ?was, "a timer");
            Ok(Json(CancelAnswer { was }))
        }
        Err(error) => {
            tracing::warn!(target: "audit", action = "cancel", who = by, from = %peer, id, %error, "a timer");
            Err(error.into())
        }
    }
}

fn timers(app: &App) -> Result<&dyn Timers, TimersError> {
    app.source.services.timers.as_ref().map(|store| store.timers()).ok_or(TimersError::NoTimers)
}
