//! What is paused, for scripts and for `wasq pause` and `wasq resume`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use wasq_core::message::UnixMs;
use wasq_core::pause::{Pause, Target};

use super::app::App;
use super::extractors::ApiActor;
use crate::admission::pauses;

/// What `POST /pauses` is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    pub target: Target,
    /// Who asks.
    pub by: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<UnixMs>,
}

/// What `POST /pauses/resume` is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeRequest {
    pub target: Target,
    pub by: String,
}

/// What was done; `note` is what its user should know.
#[derive(Debug, Serialize, Deserialize)]
pub struct Paused {
    pub pause: Pause,
    pub note: Option<String>,
}

/// The pause that there was, if there was one.
#[derive(Debug, Serialize, Deserialize)]
pub struct Resumed {
    pub resumed: Option<Pause>,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    #[error(transparent)]
    Pause(#[from] wasq_core::pause::PauseError),
    #[error(transparent)]
    Pausing(#[from] pauses::PausingError),
    #[error("this host has no queue `{name}`; it has {known}")]
    NoQueue { name: String, known: String },
}

impl IntoResponse for ActionError {
    fn into_response(self) -> Response {
        let code = match &self {
            Self::Pause(_) => StatusCode::BAD_REQUEST,
            Self::NoQueue { .. } => StatusCode::NOT_FOUND,
            Self::Pausing(pauses::PausingError::TooMany) => StatusCode::CONFLICT,
            Self::Pausing(pauses::PausingError::Ledger(_)) => StatusCode::SERVICE_UNAVAILABLE,
        };
        (code, Json(serde_json::json!({ "error": self.to_string() }))).into_response()
    }
}

pub async fn list(State(app): State<Arc<App>>) -> Json<serde_json::Value> {
    let services = &app.source.services;
    Json(serde_json::json!({ "pauses": services.pauses.current(services.clock.unix_ms()) }))
}

pub async fn pause(
    State(app): State<Arc<App>>,
    ApiActor(peer): ApiActor,
    Json(asked): Json<PauseRequest>,
) -> Result<Json<Paused>, ActionError> {
    app.pause(asked.target, &asked.by, asked.until, peer).await.map(Json)
}

pub async fn resume(
    State(app): State<Arc<App>>,
    ApiActor(peer): ApiActor,
    Json(asked): Json<ResumeRequest>,
) -> Result<Json<Resumed>, ActionError> {
    app.resume(&asked.target, &asked.by, peer).await.map(Json)
}

impl App {
    /// Pauses, on this host at once.
    pub async fn pause(
        &self,
        target: Target,
        by: &str,
        until: Option<UnixMs>,
        from: SocketAddr,
    ) -> Result<Paused, ActionError> {
        let (services, now) = (&self.source.services, self.source.services.clock.unix_ms());
        let note = match &target {
            Target::Queue(name) if !services.queue_names.contains(name) => {
                let known: Vec<_> = services.queue_names.iter().map(String::as_str).collect();
                return Err(ActionError::NoQueue { name: name.clone(), known: known.join(", ") });
            }
            Target::Type(kind) => {
                let kind = wasq_core::message::MessageType(kind.clone());
                let unknown = services.catalogs.current().route(&kind).is_empty();
                unknown.then(|| format!("no plugin of this host handles the type `{kind}`; it is paused all the same"))
            }
            Target::Queue(_) => None,
        };
        let pause = Pause::new(target, by, now, until)?;
        pauses::pause(&*services.ledger, &services.scope, &pause, &from.to_string()).await?;
        self.refresh(now).await;
        Ok(Paused { pause, note })
    }

    /// Resumes, on this host at once.
    pub async fn resume(&self, target: &Target, by: &str, from: SocketAddr) -> Result<Resumed, ActionError> {
        let (services, now) = (&self.source.services, self.source.services.clock.unix_ms());
        let resumed = pauses::resume(&*services.ledger, &services.scope, target, by, &from.to_string()).await?;
        self.refresh(now).await;
        Ok(Resumed { resumed })
    }

    async fn refresh(&self, now: UnixMs) {
        let services = &self.source.services;
        if let Err(error) = services.pauses.refresh(&*services.ledger, &services.scope, now).await {
            tracing::warn!(%error, "what is paused cannot be read; it is read again soon");
        }
    }
}
