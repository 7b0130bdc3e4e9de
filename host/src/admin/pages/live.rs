//! The live tail: how deliveries end, as they do. It is kept only while somebody looks.

use std::sync::Arc;

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;

use super::components;
use super::layout::{Tab, page as whole_page};
use crate::admin::app::App;
use crate::admin::extractors::Looker;
use crate::flow::recent;

/// Outcomes that the page shows, of those that are kept.
const SHOWN_MAX: usize = 100;

#[derive(Deserialize)]
pub struct Which {
    only: Option<String>,
}

pub async fn page(State(app): State<Arc<App>>, _looker: Looker, Query(which): Query<Which>) -> Markup {
    let services = &app.source.services;
    let failures_only = which.only.as_deref() == Some("failures");
    let all = services.recent.watch(services.clock.unix_ms());
    let shown = recent::by_message(if failures_only { services.recent.failures() } else { all });
    let main = html! {
        nav .window aria-label="Outcomes shown" {
            a href="/dashboard/live" aria-current=[(!failures_only).then_some("true")] { "All" }
            a href="/dashboard/live?only=failures" aria-current=[failures_only.then_some("true")] { "Failures" }
        }
        @if shown.is_empty() {
            p .empty { "Nothing yet. Outcomes show here from the moment somebody looks; failures are always kept." }
        } @else {
            (components::outcomes(&shown[..shown.len().min(SHOWN_MAX)], None))
        }
    };
    whole_page(&app, Tab::Live, "Live", Some(2), &main)
}
