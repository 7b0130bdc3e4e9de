//! The latest profile of each plugin. A profile takes longer than a request may: so one request
//! starts it, a task ends it when its time is over, and others ask for what came of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use wasq_core::clock;
use wasq_core::message::UnixMs;

use crate::profile::{Format, ProfileSummary};
use crate::sandbox::{self, Profile, Profiling};

/// The longest profile. No setting: a profile that is full ends earlier anyway.
pub const PROFILE_MAX: Duration = Duration::from_secs(10 * 60);
/// Profiles that are recorded or kept, each of a plugin of its own. The oldest gives way.
const PROFILES_MAX: usize = 16;

/// How the latest profile of a plugin stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProfileStatus {
    pub plugin: String,
    /// Tells it from others of the plugin.
    pub began_at: UnixMs,
    /// While it is recorded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remaining_ms: Option<u64>,
    /// Afterwards.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub summary: Option<ProfileSummary>,
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfilesError {
    #[error("this host has no plugin `{name}`; it has {known}")]
    NoPlugin { name: String, known: String },
    #[error("a profile takes up to {PROFILE_MAX:?}; give a time within that")]
    Duration,
    #[error("{PROFILES_MAX} profiles are being recorded; wait for the end of one")]
    TooMany,
    #[error(transparent)]
    Sandbox(#[from] sandbox::ProfileError),
    #[error("plugin `{0}` has not been profiled; `wasq profile {0}` does that")]
    None(String),
    #[error("the profile of plugin `{0}` is still being recorded")]
    Recording(String),
    #[error("plugin `{plugin}`: {summary}")]
    Empty { plugin: String, summary: ProfileSummary },
}

impl ProfilesError {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoPlugin { .. } | Self::None(_) | Self::Empty { .. } => StatusCode::NOT_FOUND,
            Self::Duration => StatusCode::BAD_REQUEST,
            Self::TooMany | Self::Recording(_) | Self::Sandbox(_) => StatusCode::CONFLICT,
        }
    }
}

impl IntoResponse for ProfilesError {
    fn into_response(self) -> Response {
        (self.status(), Json(serde_json::json!({ "error": self.to_string() }))).into_response()
    }
}

/// The latest profile of each plugin.
#[derive(Default)]
pub struct Profiles {
    latest: Mutex<BTreeMap<String, LatestProfile>>,
}

struct LatestProfile {
    began_at: UnixMs,
    state: ProfileState,
}

enum ProfileState {
    /// The task ends the recording.
    Recording {
        until: Instant,
        _task: AbortOnDropHandle<()>,
    },
    Finished(Arc<Profile>),
}

impl Profiles {
    /// How the latest profile of a plugin stands; none where there is none.
    pub fn status(&self, plugin: &str) -> Option<ProfileStatus> {
        self.latest.lock().get(plugin).map(|latest| latest.status(plugin))
    }

    /// The latest profile of a plugin, as a file.
    pub fn written(&self, plugin: &str, format: Format) -> Result<Response, ProfilesError> {
        let profile = match self.latest.lock().get(plugin).map(|latest| &latest.state) {
            None => return Err(ProfilesError::None(plugin.to_owned())),
            Some(ProfileState::Recording { .. }) => return Err(ProfilesError::Recording(plugin.to_owned())),
            Some(ProfileState::Finished(profile)) => profile.clone(),
        };
        if profile.stacks.samples.is_empty() {
            let summary = ProfileSummary::of(&profile);
            return Err(ProfilesError::Empty { plugin: plugin.to_owned(), summary });
        }
        let named = format!("inline; filename=\"{}\"", format.file_name(plugin));
        let head = [(header::CONTENT_TYPE, format.media_type().to_owned()), (header::CONTENT_DISPOSITION, named)];
        Ok((head, format.write(&profile)).into_response())
    }

    /// Keeps a profile whose recording has begun, and ends that in time.
    pub fn record(
        self: &Arc<Self>,
        profiling: Profiling,
        plugin: &str,
        time: Duration,
    ) -> Result<ProfileStatus, ProfilesError> {
        let mut latest = self.latest.lock();
        if latest.len() >= PROFILES_MAX && !latest.contains_key(plugin) {
            let finished = latest.iter().filter(|(_, latest)| matches!(latest.state, ProfileState::Finished(_)));
            let oldest = finished.min_by_key(|(_, latest)| latest.began_at).map(|(plugin, _)| plugin.clone());
            latest.remove(&oldest.ok_or(ProfilesError::TooMany)?);
        }
        let (began_at, until) = (clock::unix_ms(), clock::now() + time);
        let task = AbortOnDropHandle::new(tokio::spawn(end(Arc::downgrade(self), profiling, plugin.to_owned(), until)));
        let recorded = LatestProfile { began_at, state: ProfileState::Recording { until, _task: task } };
        let status = recorded.status(plugin);
        latest.insert(plugin.to_owned(), recorded);
        Ok(status)
    }
}

/// Ends a recording when its time is over. The task belongs to what it writes to, and ends with it.
async fn end(profiles: Weak<Profiles>, profiling: Profiling, plugin: String, until: Instant) {
    tokio::time::sleep_until(until).await;
    let Some(profiles) = profiles.upgrade() else { return };
    let profile = Arc::new(profiling.finish());
    if let Some(latest) = profiles.latest.lock().get_mut(&plugin) {
        latest.state = ProfileState::Finished(profile);
    }
}

impl LatestProfile {
    fn status(&self, plugin: &str) -> ProfileStatus {
        let (remaining_ms, summary) = match &self.state {
            ProfileState::Recording { until, .. } => {
                (Some(until.saturating_duration_since(clock::now()).as_millis() as u64), None)
            }
            ProfileState::Finished(profile) => (None, Some(ProfileSummary::of(profile))),
        };
        ProfileStatus { plugin: plugin.to_owned(), began_at: self.began_at, remaining_ms, summary }
    }
}
