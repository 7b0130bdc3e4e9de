//! A plugin's profile, on its card: the button that starts one, and the picture of the latest.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::components::signed;
use super::format;
use super::layout::PageError;
use crate::admin::app::App;
use crate::admin::extractors::{Action, Viewer};
use crate::admin::profiles::ProfilesError;
use crate::profile::Format;

/// For how long a profile can be recorded here: the form's value, its words, and the time.
/// `wasq profile` takes any time.
const FOR: [(&str, &str, Duration); 4] = [
    ("30s", "30 seconds", Duration::from_secs(30)),
    ("1s", "1 second", Duration::from_secs(1)),
    ("10s", "10 seconds", Duration::from_secs(10)),
    ("5m", "5 minutes", Duration::from_secs(5 * 60)),
];

#[derive(Deserialize)]
pub struct Start {
    plugin: String,
    #[serde(rename = "for")]
    time: String,
}

pub async fn start(State(app): State<Arc<App>>, act: Action<Start>) -> Result<Redirect, PageError> {
    let Start { plugin, time } = act.form;
    let (_, _, time) = FOR.iter().find(|(value, _, _)| *value == time).ok_or(ProfilesError::Duration)?;
    let started = app.profile(&plugin, *time, act.visitor.peer)?;
    Ok(Redirect::to(&format!("/dashboard/plugins?done=profiling#{}", started.plugin)))
}

/// The address names the profile, so that the page that is loaded again and again loads its picture
/// once.
pub async fn written(
    State(app): State<Arc<App>>,
    _viewer: Viewer,
    Path((plugin, format)): Path<(String, Format)>,
) -> Result<Response, PageError> {
    let mut response = app.profiles.written(&plugin, format)?;
    let kept = HeaderValue::from_static("private, max-age=3600");
    response.headers_mut().insert(header::CACHE_CONTROL, kept);
    Ok(response)
}

/// `token` is what a form carries; none where nothing may be done.
pub fn section(app: &App, plugin: &str, token: Option<&str>) -> Markup {
    let latest = app.profiles.status(plugin);
    let is_recorded = latest.as_ref().is_some_and(|latest| latest.remaining_ms.is_some());
    html! {
        div .profile id=(plugin) {
            @if let Some(token) = token.filter(|_| !is_recorded) {
                form method="post" action="/dashboard/profile" {
                    (signed(token))
                    input type="hidden" name="plugin" value=(plugin);
                    button type="submit" aria-label=(format!("Profile {plugin}")) { "Profile" }
                    label { "for " select name="for" { @for (value, text, _) in FOR { option value=(value) { (text) } } } }
                }
            }
            @if let Some(ms) = latest.as_ref().and_then(|latest| latest.remaining_ms) {
                p .dim role="status" { "A profile is being recorded for another " (format::span(Duration::from_millis(ms))) "." }
            }
            @if let Some((latest, summary)) = latest.as_ref().and_then(|latest| Some((latest, latest.summary.as_ref()?))) {
                @let href = |format: &str| format!("/dashboard/profile/{plugin}/{format}?at={}", latest.began_at.0);
                @if summary.samples == 0 {
                    p .dim { "Profile of " (format::time(latest.began_at)) " UTC: " (summary) "." }
                } @else {
                    figure {
                        a href=(href("svg")) { img src=(href("svg")) alt=(format!("Flame graph of {plugin}: {summary}")); }
                        figcaption .dim {
                            "Profile of " (format::time(latest.began_at)) " UTC. The picture by itself shows each bar's name and time; the same "
                            a href=(href("firefox")) download { "for the Firefox profiler" } "."
                        }
                    }
                }
            }
        }
    }
}
