//! What holds messages back: pauses, breakers, permits. And the forms that pause and resume.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use maud::{Markup, html};
use wasq_core::message::UnixMs;
use wasq_core::pause::{NAME_MAX_BYTES, Pause};

use super::actions::FOR;
use super::banner::Done;
use super::chart::meter;
use super::components::signed;
use super::format;
use super::layout::{Tab, page as whole_page};
use super::limits;
use super::schedules;
use crate::admin::app::App;
use crate::admin::extractors::Viewer;
use crate::admission::breaker::status::BreakerStatus;
use crate::plugins::TypePattern;

pub async fn page(State(app): State<Arc<App>>, Viewer(visitor): Viewer, Query(done): Query<Done>) -> Markup {
    let services = &app.source.services;
    let now = services.clock.unix_ms();
    let token = app.form_token(&visitor);
    let schedules = app.schedules().await;
    let main = html! {
        (done.banner())
        h2 { "Paused" }
        (pauses(&services.pauses.current(now), token.as_deref(), now))
        @if let Some(token) = &token { (forms(&app, token)) }
        (schedules::section(&schedules, token.as_deref(), now))
        h2 { "Breakers" }
        (breakers(&services.breakers.status(services.clock.now())))
        h2 { "Permits" }
        (permits(&app))
        (limits::section(&services.rates.status(), &services.fleet_pools.status(), &services.keyed()))
        (limits::concurrency(&app.source.concurrency()))
        (limits::fair(&app.source.fair()))
        (limits::queues(&services.permits.queues()))
    };
    whole_page(&app, Tab::Control, "Control", Some(5), &main)
}

fn pauses(pauses: &[Pause], token: Option<&str>, now: UnixMs) -> Markup {
    html! {
        @if pauses.is_empty() {
            p .empty { "Nothing is paused." }
        } @else {
            div .scroll {
                table .stacked {
                    thead { tr { th { "What" } th { "By" } th { "Since" } th { "Until" } th {} } }
                    tbody {
                        @for pause in pauses {
                            tr {
                                th scope="row" { span .dim { (pause.target.what()) } " " (pause.target.name()) }
                                td data-name="by" { (pause.by) }
                                td data-name="since" title=(format::time(pause.at)) { (format::ago(pause.at, now)) }
                                td data-name="until" {
                                    @match (pause.until, pause.remaining(now)) {
                                        (Some(until), Some(left)) => { (format::time(until)) " UTC " span .dim { "in " (format::span(left)) } }
                                        _ => "it is resumed",
                                    }
                                }
                                td .does {
                                    @if let Some(token) = token {
                                        form method="post" action="/dashboard/resume" {
                                            (signed(token))
                                            input type="hidden" name="target" value=(pause.target);
                                            button type="submit" aria-label=(format!("Resume {}", pause.target)) { "Resume" }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn forms(app: &App, token: &str) -> Markup {
    let catalog = app.source.services.catalogs.current();
    let mut kinds: Vec<_> =
        catalog.plugins().flat_map(|plugin| plugin.manifest.types.iter()).filter_map(TypePattern::exact).collect();
    kinds.sort();
    kinds.dedup();
    let rest = html! {
        label { "For" select name="for" { @for (value, text, _) in FOR { option value=(value) { (text) } } } }
        label { "Your name" input name="by" maxlength="64" placeholder="optional" autocomplete="name"; }
    };
    html! {
        div .pair {
            form .card.stack method="post" action="/dashboard/pause" {
                h3 { "Pause a type" }
                p .dim { "Its messages are held: not run, not lost, no attempt counted." }
                (signed(token))
                input type="hidden" name="what" value="type";
                label { "Type"
                    input #pause-type name="name" list="types" required maxlength=(NAME_MAX_BYTES) autocomplete="off";
                    datalist #types { @for kind in kinds { option value=(kind) {} } }
                }
                (rest)
                button type="submit" { "Pause type" }
            }
            form .card.stack method="post" action="/dashboard/pause" {
                h3 { "Pause a queue" }
                p .dim { "No host of this service polls it until it is resumed." }
                (signed(token))
                input type="hidden" name="what" value="queue";
                label { "Queue" select name="name" { @for runtime in app.source.runtimes().iter() { option value=(runtime.name) { (runtime.name) } } } }
                (rest)
                button type="submit" { "Pause queue" }
            }
        }
    }
}

fn breakers(breakers: &[BreakerStatus]) -> Markup {
    html! {
        @if breakers.is_empty() {
            p .empty { "No dependency is failing." }
        } @else {
            div .scroll {
                table {
                    thead { tr { th { "Dependency" } th { "State" } th .num { "Failures in a row" } th { "Next probe" } th { "Plugin that waits" } } }
                    tbody {
                        @for breaker in breakers {
                            tr {
                                th scope="row" {
                                    (breaker.dependency)
                                    @if let Some(key) = &breaker.key { " " span .dim { "for " (key) } }
                                }
                                td {
                                    @match (breaker.open, breaker.probe_in_ms) {
                                        (false, _) => span .pill.plain { "closed" },
                                        (true, 0) => span .pill.warn { "half-open" },
                                        (true, _) => span .pill.bad { "open" },
                                    }
                                    @if breaker.open { " " span .dim { "for " (format::span(Duration::from_millis(breaker.open_for_ms))) } }
                                }
                                td .num { (breaker.failures) }
                                td {
                                    @match (breaker.open, breaker.probing, breaker.probe_in_ms) {
                                        (false, _, _) => "–",
                                        (true, true, _) => "under way",
                                        (true, false, 0) => "the next message",
                                        (true, false, ms) => { "in " (format::span(Duration::from_millis(ms))) }
                                    }
                                }
                                td { (breaker.plugin) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn permits(app: &App) -> Markup {
    html! {
        div .scroll {
            table {
                thead { tr { th { "Pool" } th { "Usage" } th .num { "In use" } th .num { "Limit" } } }
                tbody {
                    @for (name, usage) in app.source.permits() {
                        tr {
                            th scope="row" { (name) }
                            td .gauge { (meter("permits busy", usage.busy as f64, usage.limit as f64, if usage.busy >= usage.limit { "warn" } else { "s1" })) }
                            td .num { (format::count(usage.busy as u64)) }
                            td .num { (format::count(usage.limit as u64)) }
                        }
                    }
                }
            }
        }
    }
}
