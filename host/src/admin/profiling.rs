//! Profiles of plugins, for `wasq profile`; the dashboard starts them by the same [`App::profile`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::app::App;
use super::extractors::{ApiActor, ApiLooker};
use super::profiles::{PROFILE_MAX, ProfileStatus, ProfilesError};
use crate::profile::Format;

/// What `POST /profiles` is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileRequest {
    pub plugin: String,
    pub seconds: f64,
}

pub async fn start(
    State(app): State<Arc<App>>,
    ApiActor(peer): ApiActor,
    Json(asked): Json<ProfileRequest>,
) -> Result<Json<ProfileStatus>, ProfilesError> {
    let time = Duration::try_from_secs_f64(asked.seconds).map_err(|_| ProfilesError::Duration)?;
    app.profile(&asked.plugin, time, peer).map(Json)
}

pub async fn status(
    State(app): State<Arc<App>>,
    _looker: ApiLooker,
    Path(plugin): Path<String>,
) -> Result<Json<ProfileStatus>, ProfilesError> {
    app.profiles.status(&plugin).map(Json).ok_or(ProfilesError::None(plugin))
}

pub async fn written(
    State(app): State<Arc<App>>,
    _looker: ApiLooker,
    Path((plugin, format)): Path<(String, Format)>,
) -> Result<Response, ProfilesError> {
    app.profiles.written(&plugin, format)
}

impl App {
    /// Begins to record a profile, of all versions of the plugin that serve now.
    pub fn profile(&self, plugin: &str, time: Duration, from: SocketAddr) -> Result<ProfileStatus, ProfilesError> {
        if time.is_zero() || time > PROFILE_MAX {
            return Err(ProfilesError::Duration);
        }
        let services = &self.source.services;
        let catalog = services.catalogs.current();
        let Some(serving) = catalog.serving().find(|serving| serving.stable.manifest.name == plugin) else {
            let known: Vec<_> = catalog.plugins().map(|plugin| plugin.manifest.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(ProfilesError::NoPlugin { name: plugin.to_owned(), known });
        };
        let versions = [Some(&serving.stable), serving.rollout.as_ref().map(|rollout| &rollout.candidate)];
        let profilers = versions.into_iter().flatten().map(|version| version.policy.profiler.clone()).collect();
        let status = self.profiles.record(services.sandbox.profile(plugin, profilers)?, plugin, time)?;
        tracing::info!(target: "audit", action = "profile", who = %from, what = plugin, ?time, "profile");
        Ok(status)
    }
}
