//! The overview: rates, lag, depth, permits and failures, and a line for each queue and type.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;
use wasq_core::message::UnixMs;

use super::chart::{Chart, SERIES_MAX, Series, TONES, meter};
use super::layout::Tab;
use super::{components, format};
use crate::admin::app::App;
use crate::admin::extractors::Viewer;
use crate::admin::history::{SAMPLES_MAX, STEP, Sample};
use crate::flow::unroutable::UnroutableType;
use crate::flow::{QueueRuntime, recent};
use crate::telemetry::stats::LineStats;

/// Samples of the short view: a quarter of an hour.
const SHORT: usize = 180;
/// Samples that a chart has room for at least: two minutes.
const SHORTEST: usize = 24;
const FAILURES_SHOWN: usize = 6;

#[derive(Deserialize)]
pub struct Window {
    window: Option<String>,
}

fn content(app: &App, samples_shown: usize) -> Markup {
    let samples = app.history.latest(samples_shown + 1);
    let now = Sample::now(&app.source);
    let services = &app.source.services;
    let failures = recent::by_message(services.recent.failures());
    html! {
        (reasons(app))
        (tiles(app, &samples, &now))
        nav .window aria-label="Time shown" {
            a href="/dashboard" aria-current=[(samples_shown == SHORT).then_some("true")] { "15 min" }
            a href="/dashboard?window=1h" aria-current=[(samples_shown != SHORT).then_some("true")] { "1 h" }
        }
        div .charts { (charts(app, &samples, samples_shown)) }
        h2 { "Queues" }
        (queues(app))
        (unroutable(&app.source.unroutable(), now.at))
        h2 { "Types" }
        (types(&services.stats.snapshot()))
        h2 { "Latest failures" }
        @if failures.is_empty() {
            p .empty { "None since the host started." }
        } @else {
            (components::outcomes(&failures[..failures.len().min(FAILURES_SHOWN)], Some(now.at)))
        }
    }
}

pub async fn page(State(app): State<Arc<App>>, _viewer: Viewer, Query(window): Query<Window>) -> Markup {
    let shown = if window.window.as_deref() == Some("1h") { SAMPLES_MAX } else { SHORT };
    let main = content(&app, shown);
    super::layout::page(&app, Tab::Overview, "Overview", Some(5), &main)
}

fn reasons(app: &App) -> Markup {
    let verdict = app.source.ready();
    html! {
        @if !verdict.ok {
            div .banner.bad role="alert" {
                b { "Not ready" }
                ul { @for reason in &verdict.reasons { li { (reason) } } }
            }
        }
        @if !verdict.notes.is_empty() {
            div .banner.warn {
                b { "Paused" }
                ul { @for note in &verdict.notes { li { (note) } } }
            }
        }
    }
}

fn tiles(app: &App, samples: &[Arc<Sample>], now: &Sample) -> Markup {
    // Over the last minute, or as long as there is.
    let minute = (60 / STEP.as_secs()) as usize;
    let before = samples.get(samples.len().saturating_sub(minute)).map_or(now, |sample| sample);
    let span_s = now.at.0.saturating_sub(before.at.0) as f64 / 1_000.0;
    let a_minute = |a: u64, b: u64| if span_s > 1.0 { b.saturating_sub(a) as f64 * 60.0 / span_s } else { 0.0 };
    let done = a_minute(before.counts.done, now.counts.done);
    let failed = a_minute(before.counts.failed, now.counts.failed);
    let sum = |of: fn(&crate::admin::history::QueueSample) -> Option<f64>| {
        now.queues.iter().filter_map(of).reduce(|a, b| a + b)
    };
    let lag = now.queues.iter().filter_map(|queue| queue.lag_s).reduce(f64::max);
    let letters = sum(|queue| queue.dead_letters);
    let permits = app.source.services.permits.usage();
    html! {
        div .tiles {
            (components::tile("Done a minute", &format::number(done.round()), &format!("{} in all", format::count(now.counts.done)), ""))
            (components::tile("Failed a minute", &format::number(failed.round()), &format!("{} in all", format::count(now.counts.failed)), if failed >= 1.0 { "warn" } else { "" }))
            (components::tile("Waiting", &format::known(sum(|queue| queue.visible)), "visible in the queues", ""))
            (components::tile("Lag", &lag.map_or_else(|| "–".into(), |s| format::span(Duration::from_secs_f64(s))), "age of what was received last", ""))
            (components::tile("Running", &permits.busy.to_string(), &format!("of {} permits", format::count(permits.limit as u64)), ""))
            (components::tile("Dead letters", &format::known(letters), &format!("{} since the start", format::count(now.counts.dead_lettered)), if letters.unwrap_or(0.0) > 0.0 { "bad" } else { "" }))
        }
    }
}

fn charts(app: &App, samples: &[Arc<Sample>], shown: usize) -> Markup {
    // A host that has just started fills its charts with what there is.
    let shown = shown.min(samples.len().max(SHORTEST));
    let since = format!("{} ago", format::span(STEP * shown as u32));
    let rate = |name: &str, tone, of: fn(&Sample) -> u64| {
        let values = samples.windows(2).map(|pair| {
            let span_s = (pair[1].at.0.saturating_sub(pair[0].at.0) as f64 / 1_000.0).max(0.001);
            Some(of(&pair[1]).saturating_sub(of(&pair[0])) as f64 / span_s)
        });
        Series { name: name.to_owned(), tone, values: filled(values.collect(), shown) }
    };
    let runtimes = app.source.runtimes();
    let by_queue = |of: &dyn Fn(&Sample, usize) -> Option<f64>| -> Vec<Series> {
        let named = runtimes.iter().zip(TONES).enumerate().take(SERIES_MAX);
        named.map(|(n, (runtime, tone))| series(&runtime.name, tone, samples, shown, |sample| of(sample, n))).collect()
    };
    let depth = |tone, name: &str, of: fn(&crate::admin::history::QueueSample) -> Option<f64>| {
        series(name, tone, samples, shown, |sample| sample.queues.iter().filter_map(of).reduce(|a, b| a + b))
    };
    let permits = app.source.services.permits.usage();
    let chart = |title, unit: fn(f64) -> String, at_least, limit, series| {
        Chart { title, unit, at_least, limit, series, since: since.clone() }.render()
    };
    let per_s: fn(f64) -> String = |value| format!("{}/s", format::number(value));
    let seconds: fn(f64) -> String = |value| format::span(Duration::from_secs_f64(value.max(0.0)));
    let busy = series("Running", "s1", samples, shown, |sample| Some(sample.busy as f64));
    let most_busy = busy.values.iter().flatten().fold(0.0_f64, |a, b| a.max(*b));
    // A limit that is far away would press the line to the ground.
    let limit = Some(permits.limit as f64).filter(|limit| most_busy * 4.0 >= *limit);
    html! {
        (chart("Throughput", per_s, 1.0, None, vec![rate("done", "good", |s| s.counts.done)]))
        (chart("Failures", per_s, 0.2, None, vec![rate("failed", "warn", |s| s.counts.failed), rate("dead-lettered", "bad", |s| s.counts.dead_lettered)]))
        (chart("Lag", seconds, 1.0, None, by_queue(&|sample, n| sample.queues.get(n)?.lag_s)))
        (chart("Depth", format::number, 10.0, None, vec![depth("s1", "visible", |q| q.visible), depth("s2", "in flight", |q| q.in_flight)]))
        (chart("Running", format::number, 4.0, limit, vec![busy]))
        (chart("Dead letters", format::number, 10.0, None, by_queue(&|sample, n| sample.queues.get(n)?.dead_letters)))
    }
}

fn series(
    name: &str,
    tone: &'static str,
    samples: &[Arc<Sample>],
    shown: usize,
    of: impl Fn(&Sample) -> Option<f64>,
) -> Series {
    let latest = samples.iter().skip(samples.len().saturating_sub(shown));
    Series { name: name.to_owned(), tone, values: filled(latest.map(|sample| of(sample)).collect(), shown) }
}

/// What was before the host started is not known.
fn filled(values: Vec<Option<f64>>, shown: usize) -> Vec<Option<f64>> {
    let mut filled = vec![None; shown.saturating_sub(values.len())];
    filled.extend(values);
    filled
}

fn queues(app: &App) -> Markup {
    let services = &app.source.services;
    let now = services.clock.unix_ms();
    let state = |runtime: &QueueRuntime| services.pauses.of_queue(&runtime.name, now);
    html! {
        div .scroll {
            table .stacked {
                thead { tr { th { "Queue" } th { "State" } th .num { "Visible" } th .num { "In flight" } th .num { "Delayed" } th .num { "Lag" } th { "In hand" } th .num { "Dead letters" } } }
                tbody {
                    @for runtime in app.source.runtimes().iter() {
                        @let held = runtime.keeper.in_progress();
                        tr {
                            th scope="row" { (runtime.name) }
                            td { @if state(runtime).is_some() { span .pill.warn { "paused" } } @else { span .pill.good { "polling" } } }
                            td .num data-name="visible" { (format::known(runtime.meters.visible.get())) }
                            td .num data-name="in flight" { (format::known(runtime.meters.in_flight.get())) }
                            td .num data-name="delayed" { (format::known(runtime.meters.delayed.get())) }
                            td .num data-name="lag" { (runtime.meters.lag_s.get().map_or_else(|| "–".into(), |s| format::span(Duration::from_secs_f64(s)))) }
                            td .gauge data-name="in hand" { (meter("deliveries in hand", held as f64, runtime.limit.limit() as f64, "s1")) span { (held) " of " (runtime.limit.limit()) } }
                            td .num data-name="dead letters" { a href=(super::letters::queue_href(&runtime.name)) { (format::known(runtime.meters.dead_letters.get())) } }
                        }
                    }
                }
            }
        }
    }
}

/// What came and has no plugin, if there is such.
fn unroutable(types: &[UnroutableType], now: UnixMs) -> Markup {
    html! {
        @if !types.is_empty() {
            h2 { "Unroutable" }
            div .scroll {
                table .stacked {
                    thead { tr { th { "Type" } th { "Queue" } th .num { "Looks" } th { "First" } th { "Last" } th { "Reason" } } }
                    tbody {
                        @for row in types {
                            tr {
                                th scope="row" { (format::cut(&row.kind, 60)) }
                                td { (row.queue) }
                                td .num data-name="looks" { (format::count(row.deliveries)) }
                                td .when data-name="first" { (format::ago(row.first_at, now)) }
                                td .when data-name="last" { (format::ago(row.last_at, now)) }
                                td .reason { span .pill.warn { "unroutable" } " " (row.reason) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn types(lines: &[LineStats]) -> Markup {
    html! {
        @if lines.is_empty() {
            p .empty { "No message has come yet." }
        } @else {
            div .scroll {
                table .stacked {
                    thead { tr { th { "Type" } th { "Plugin" } th .num { "Done" } th .num { "Put back" } th .num { "Duplicates" } th .num { "Dead-lettered" } th .num { "Run p50" } th .num { "Run p99" } th .num { "Sent to done p50" } th .num { "p99" } } }
                    tbody {
                        @for line in lines {
                            tr {
                                th scope="row" { (format::cut(&line.kind, 60)) }
                                td { @if line.plugin.is_empty() { span .dim { "none" } } @else { (line.plugin) } }
                                td .num data-name="done" { (format::count(line.exits.get("done").copied().unwrap_or(0))) }
                                td .num data-name="put back" { (format::count(line.delayed)) }
                                td .num data-name="duplicates" { (format::count(line.duplicates)) }
                                td .num data-name="dead-lettered" { (format::count(line.dead_lettered)) }
                                td .num data-name="run p50" { (format::ms(line.run_p50_ms)) }
                                td .num data-name="p99" { (format::ms(line.run_p99_ms)) }
                                td .num data-name="sent to done p50" { (format::ms(line.sent_to_done_p50_ms)) }
                                td .num data-name="p99" { (format::ms(line.sent_to_done_p99_ms)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
