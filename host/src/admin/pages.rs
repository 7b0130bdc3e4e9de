//! The dashboard's pages: HTML and SVG that the server renders. All text goes through [`maud`],
//! which escapes it.

mod actions;
mod banner;
mod chart;
mod components;
mod control;
mod format;
mod groups;
mod keys;
pub mod layout;
mod letter;
mod letters;
mod limits;
mod live;
mod login;
mod overview;
mod plugins;
mod profile;
mod schedules;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};

use super::app::App;

/// A form with an edited body: SQS's 1 MiB, each byte of it escaped in three.
const FORM_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Nothing comes from elsewhere, and nothing runs or is styled that is not in a file of ours.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const SCRIPT: &str = include_str!("pages/dashboard.js");
const STYLE: &str = include_str!("pages/dashboard.css");
const ICON: &str = include_str!("pages/icon.svg");

pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(|| async { Redirect::to("/dashboard") }))
        .route("/dashboard", get(overview::page))
        .route("/dashboard/plugins", get(plugins::page))
        .route("/dashboard/profile", post(profile::start))
        .route("/dashboard/profile/{plugin}/{format}", get(profile::written))
        .route("/dashboard/letters", get(letters::queues))
        .route("/dashboard/letters/{queue}", get(letters::groups))
        .route("/dashboard/letters/{queue}/group", get(letters::group))
        .route("/dashboard/letters/{queue}/letter", get(letter::page))
        .route("/dashboard/letters/{queue}/replay", post(actions::replay))
        .route("/dashboard/letters/{queue}/discard", post(actions::discard))
        .route("/dashboard/letters/{queue}/replay-group", post(actions::replay_group))
        .route("/dashboard/letters/{queue}/discard-group", post(actions::discard_group))
        .route("/dashboard/groups", get(groups::page))
        .route("/dashboard/groups/group", get(groups::group))
        .route("/dashboard/control", get(control::page))
        .route("/dashboard/pause", post(actions::pause))
        .route("/dashboard/resume", post(actions::resume))
        .route("/dashboard/schedule", post(actions::schedule))
        .route("/dashboard/live", get(live::page))
        .route("/dashboard/login", get(login::page).post(login::login))
        .route("/dashboard/logout", post(login::logout))
        .route("/assets/dashboard.js", get(|| async { asset("text/javascript; charset=utf-8", SCRIPT) }))
        .route("/assets/dashboard.css", get(|| async { asset("text/css; charset=utf-8", STYLE) }))
        .route("/assets/icon.svg", get(|| async { asset("image/svg+xml", ICON) }))
        // A picture by itself, such as a profile's, has no link to it.
        .route("/favicon.ico", get(|| async { asset("image/svg+xml", ICON) }))
        .layer(DefaultBodyLimit::max(FORM_MAX_BYTES))
        .layer(map_response(secured))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

/// What every page says to browsers.
async fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // A form's `Origin` is checked, and `no-referrer` would take it away.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
