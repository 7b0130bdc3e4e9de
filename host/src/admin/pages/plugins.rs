//! The plugins: versions, times, what they compute and what they wait for, memory, failures and
//! grants.

use std::sync::Arc;

use axum::extract::{Query, State};
use maud::{Markup, html};
use wasq_core::message::UnixMs;

use super::banner::Done;
use super::chart::meter;
use super::layout::{Tab, page as whole_page};
use super::{components, format, keys, profile};
use crate::admin::app::App;
use crate::admin::extractors::Viewer;
use crate::admin::status::{PluginStatus, plugin_statuses};
use crate::flow::recent::{self, RecentOutcome};
use crate::telemetry::metrics::Snapshot;
use crate::telemetry::stats::{Line, LineStats};
use crate::telemetry::top_keys::TopKeys;

const FAILURES_SHOWN: usize = 5;
/// Digits of a digest that tell versions apart.
const DIGEST_DIGITS: usize = 12;

type Measured = (LineStats, Arc<Line>);

pub async fn page(State(app): State<Arc<App>>, Viewer(visitor): Viewer, Query(done): Query<Done>) -> Markup {
    let services = &app.source.services;
    let token = app.form_token(&visitor);
    let catalog = services.catalogs.current();
    let now = services.clock.unix_ms();
    let failures = services.recent.failures();
    let lines: Vec<Measured> =
        services.stats.snapshot().into_iter().zip(services.stats.lines().into_values()).collect();
    let ranked = services.stats.all_keys();
    let main = html! {
        (done.banner())
        @for failure in catalog.failures() {
            div .banner.bad {
                b { (failure.path.display()) " cannot be loaded" }
                p { (failure.reason) }
                @if let Some(digest) = &failure.still_serving { p { "The earlier version " code { (short(digest)) } " goes on serving." } }
            }
        }
        @let plugins = plugin_statuses(&catalog);
        @if plugins.is_empty() { p .empty { "No plugin is loaded." } }
        @for plugin in &plugins {
            @let own: Vec<_> = lines.iter().filter(|(stats, _)| stats.plugin == plugin.name).collect();
            @let failed: Vec<_> = failures.iter().filter(|f| f.plugin == plugin.name).take(FAILURES_SHOWN).cloned().collect();
            @let profile = profile::section(&app, &plugin.name, token.as_deref());
            (card(plugin, &own, ranked.get(&plugin.name).map(Arc::as_ref), &failed, now, &profile))
        }
    };
    whole_page(&app, Tab::Plugins, "Plugins", Some(5), &main)
}

fn card(
    plugin: &PluginStatus,
    lines: &[&Measured],
    keys: Option<&TopKeys>,
    failed: &[RecentOutcome],
    now: UnixMs,
    profile: &Markup,
) -> Markup {
    html! {
        section .card {
            header {
                h2 { (plugin.name) }
                code title=(plugin.digest) { (short(&plugin.digest)) }
                span .dim { (plugin.types.join(", ")) }
                span .gauge { (meter("permits busy", plugin.busy as f64, plugin.max_concurrency as f64, "s1")) span { (plugin.busy) " of " (format::count(plugin.max_concurrency as u64)) " permits" } }
            }
            @if let Some(canary) = &plugin.canary {
                p .banner.warn {
                    "On trial: " code { (short(&canary.digest)) } " gets " (canary.share) " of the messages, for "
                    (format::span(std::time::Duration::from_secs(canary.elapsed_s))) " now: "
                    (canary.failures) " of " (canary.runs) " first runs failed, of the earlier version's "
                    (canary.stable_failures) " of " (canary.stable_runs) "."
                }
            }
            @if lines.is_empty() { p .empty { "It has run nothing yet." } } @else { (times(lines)) }
            @if let Some(keys) = keys { (keys::table(keys)) }
            @if !failed.is_empty() {
                details { summary { "Latest failures (" (failed.len()) ")" } (components::outcomes(&recent::by_message(failed.iter().cloned()), Some(now))) }
            }
            (profile)
            details { summary { "Grants and limits" } (grants(plugin)) }
        }
    }
}

fn times(lines: &[&Measured]) -> Markup {
    html! {
        div .scroll {
            table .stacked {
                thead { tr { th { "Type" } th .num { "Runs" } th .num { "p50" } th .num { "p99" } th { "Computing and waiting" } th .num { "Memory p50" } th .num { "p99" } th .num { "HTTP calls" } th .num { "Sent" } th .num { "Received" } } }
                tbody {
                    @for (stats, line) in lines {
                        @let (cpu, run, memory) = (line.guest_cpu.read(), line.run.read(), line.guest_memory.read());
                        tr {
                            th scope="row" { (format::cut(&stats.kind, 60)) }
                            td .num data-name="runs" { (format::count(stats.runs)) }
                            td .num data-name="p50" { (format::ms(stats.run_p50_ms)) }
                            td .num data-name="p99" { (format::ms(stats.run_p99_ms)) }
                            td .gauge {
                                (meter("share of the time that it computes", cpu.sum, run.sum, "s2"))
                                span { (format::ms(mean_ms(&cpu))) " computing, " (format::ms((mean_ms(&run) - mean_ms(&cpu)).max(0.0))) " waiting" }
                            }
                            td .num data-name="memory p50" { (at_most(&memory, 0.5)) }
                            td .num data-name="p99" { (at_most(&memory, 0.99)) }
                            td .num data-name="HTTP calls" { (format::count(line.http_calls())) }
                            td .num data-name="sent" { (format::bytes(line.sent_bytes.get() as f64)) }
                            td .num data-name="received" { (format::bytes(line.received_bytes.get() as f64)) }
                        }
                    }
                }
            }
        }
    }
}

fn mean_ms(times: &Snapshot) -> f64 {
    if times.count() == 0 { 0.0 } else { times.sum / times.count() as f64 * 1_000.0 }
}

/// The bound under which this part of the observations fell.
fn at_most(memory: &Snapshot, part: f64) -> String {
    let wanted = (memory.count() as f64 * part).ceil() as u64;
    let mut seen = 0;
    let bucket = memory.counts.iter().position(|count| {
        seen += count;
        seen >= wanted
    });
    match bucket.map(|bucket| memory.bounds.get(bucket)) {
        _ if wanted == 0 => "–".into(),
        Some(Some(bound)) => format!("≤ {}", format::bytes(*bound)),
        Some(None) | None => "more".into(),
    }
}

fn grants(plugin: &PluginStatus) -> Markup {
    let or_none = |list: &[String]| if list.is_empty() { "none".to_owned() } else { list.join(", ") };
    html! {
        dl {
            dt { "May call" } dd { (or_none(&plugin.allowed_outbound_hosts)) }
            dt { "May send to" } dd { (or_none(&plugin.queues)) }
            dt { "Secrets in its requests" } dd { (or_none(&plugin.secrets)) }
            dt { "Signed for AWS" } dd { (or_none(&plugin.signed)) }
            dt { "Variables" } dd { (or_none(&plugin.variables)) }
            dt { "Pools" } dd { (or_none(&plugin.pools)) }
            dt { "Timeout" } dd { (format::ms(plugin.timeout_ms as f64)) }
            dt { "Memory" } dd { (format::bytes(plugin.memory_bytes as f64)) }
            dt { "From" } dd { code { (plugin.path) } }
            dt { "Digest" } dd { code .long { (plugin.digest) } }
        }
    }
}

fn short(digest: &str) -> String {
    digest.chars().take(DIGEST_DIGITS).collect()
}
