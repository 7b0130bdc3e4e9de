//! The dashboard's pages: HTML and SVG that the server renders. All text goes through [`maud`], which escapes it.

mod actions;
mod chart;
mod components;
mod control;
mod format;
mod letter;
mod letters;
mod live;
mod login;
mod overview;
mod plugins;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::{DOCTYPE, Markup, html};

use super::App;
use super::letters::LettersError;

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
        .route("/dashboard/letters", get(letters::queues))
        .route("/dashboard/letters/{queue}", get(letters::groups))
        .route("/dashboard/letters/{queue}/group", get(letters::group))
        .route("/dashboard/letters/{queue}/letter", get(letter::page))
        .route("/dashboard/letters/{queue}/replay", post(actions::replay))
        .route("/dashboard/letters/{queue}/discard", post(actions::discard))
        .route("/dashboard/letters/{queue}/replay-group", post(actions::replay_group))
        .route("/dashboard/letters/{queue}/discard-group", post(actions::discard_group))
        .route("/dashboard/control", get(control::page))
        .route("/dashboard/pause", post(actions::pause))
        .route("/dashboard/resume", post(actions::resume))
        .route("/dashboard/live", get(live::page))
        .route("/dashboard/login", get(login::page).post(login::login))
        .route("/dashboard/logout", post(login::logout))
        .route("/assets/dashboard.js", get(|| async { asset("text/javascript; charset=utf-8", SCRIPT) }))
        .route("/assets/dashboard.css", get(|| async { asset("text/css; charset=utf-8", STYLE) }))
        .route("/assets/icon.svg", get(|| async { asset("image/svg+xml", ICON) }))
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

/// Where the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tab {
    Overview,
    Plugins,
    Letters,
    Control,
    Live,
}

const TABS: [(Tab, &str, &str); 5] = [
    (Tab::Overview, "Overview", "/dashboard"),
    (Tab::Plugins, "Plugins", "/dashboard/plugins"),
    (Tab::Letters, "Dead letters", "/dashboard/letters"),
    (Tab::Control, "Control", "/dashboard/control"),
    (Tab::Live, "Live", "/dashboard/live"),
];

/// A page of the dashboard. With `refresh_s` it is loaded again and again.
fn page(app: &App, tab: Tab, title: &str, refresh_s: Option<u32>, main: &Markup) -> Markup {
    let verdict = app.source.ready();
    let paused = verdict.notes.len();
    let body = html! {
        header .top {
            a .brand href="/dashboard" { img src="/assets/icon.svg" alt="" width="22" height="22"; "wasq" }
            span .scope { (app.source.services.scope) }
            nav aria-label="Pages" {
                @for (which, name, href) in TABS {
                    a href=(href) aria-current=[(which == tab).then_some("page")] { (name) }
                }
            }
            span .states #states {
                @if paused > 0 { a .pill.warn href="/dashboard/control" { (paused) " paused" } }
                @if verdict.ok { span .pill.good { "ready" } } @else { span .pill.bad { "not ready" } }
            }
            @if app.access.has_token() {
                form method="post" action="/dashboard/logout" { button .quiet type="submit" { "Log out" } }
            }
        }
        main #main data-refresh-s=[refresh_s] {
            h1 { (title) }
            (main)
        }
        footer {
            "wasq " (env!("CARGO_PKG_VERSION"))
            @if refresh_s.is_some() { " · " span { "as of " time #as-of { (format::clock(app.source.services.clock.unix_ms())) " UTC" } } }
            @if !app.access.allows_actions() { " · read-only" }
        }
    };
    document(title, refresh_s, &body)
}

/// Why there is no page, or no action.
enum PageError {
    NoQueue,
    /// What was asked makes no sense, and why.
    Refused(String),
    Letters(LettersError),
}

impl From<LettersError> for PageError {
    fn from(error: LettersError) -> Self {
        Self::Letters(error)
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (code, words) = match self {
            Self::NoQueue => (StatusCode::NOT_FOUND, "This host has no such queue.".to_owned()),
            Self::Refused(why) => (StatusCode::BAD_REQUEST, why),
            Self::Letters(error) => {
                let code = match &error {
                    LettersError::Queue(_) | LettersError::Panicked => StatusCode::SERVICE_UNAVAILABLE,
                    LettersError::Gone => StatusCode::NOT_FOUND,
                    LettersError::Kept(_) | LettersError::Busy => StatusCode::CONFLICT,
                };
                (code, error.to_string())
            }
        };
        (code, message("That did not work", &words)).into_response()
    }
}

/// A page with words alone.
pub fn message(title: &str, words: &str) -> Markup {
    let body = html! {
        main .narrow { h1 { (title) } p { (words) } p { a href="/dashboard" { "To the overview" } } }
    };
    document(title, None, &body)
}

fn document(title: &str, refresh_s: Option<u32>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · wasq" }
                link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/assets/dashboard.css";
                script src="/assets/dashboard.js" defer {}
                @if refresh_s.is_some() { noscript { meta http-equiv="refresh" content="10"; } }
            }
            body { (body) }
        }
    }
}
