//! What every page of the dashboard has: its head, its tabs, its foot; and the page that says why
//! there is none.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::format;
use crate::admin::app::App;
use crate::admin::letters::LettersError;
use crate::admin::profiles::ProfilesError;

/// Where the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    Overview,
    Plugins,
    Letters,
    Groups,
    Control,
    Live,
}

const TABS: [(Tab, &str, &str); 6] = [
    (Tab::Overview, "Overview", "/dashboard"),
    (Tab::Plugins, "Plugins", "/dashboard/plugins"),
    (Tab::Letters, "Dead letters", "/dashboard/letters"),
    (Tab::Groups, "Groups", "/dashboard/groups"),
    (Tab::Control, "Control", "/dashboard/control"),
    (Tab::Live, "Live", "/dashboard/live"),
];

/// A page of the dashboard. With `refresh_s` it is loaded again and again.
pub fn page(app: &App, tab: Tab, title: &str, refresh_s: Option<u32>, main: &Markup) -> Markup {
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
pub enum PageError {
    NoQueue,
    /// What was asked makes no sense, and why.
    Refused(String),
    Letters(LettersError),
    Profile(ProfilesError),
    /// It cannot be read, and why.
    Unread(StatusCode, String),
}

impl From<ProfilesError> for PageError {
    fn from(error: ProfilesError) -> Self {
        Self::Profile(error)
    }
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
            Self::Profile(error) => (error.status(), error.to_string()),
            Self::Unread(code, why) => (code, why),
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

pub fn document(title: &str, refresh_s: Option<u32>, body: &Markup) -> Markup {
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
