//! Metrics for CloudWatch without a collector: lines of its embedded metric format on stdout, which
//! a log driver carries there.
//!
//! The format is that of "Specification: Embedded metric format" in CloudWatch's user guide.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use serde_json::{Map, Value, json};
use wasq_core::message::UnixMs;

use super::Source;
use crate::flow::QueueRuntime;

/// How often: CloudWatch's own resolution.
const INTERVAL: Duration = Duration::from_secs(60);
/// SQS's limits on messages in flight, of a standard queue and of a FIFO queue.
const IN_FLIGHT_MAX: f64 = 120_000.0;
const IN_FLIGHT_MAX_FIFO: f64 = 20_000.0;

/// What counters said at the last writing, by queue: CloudWatch adds up what is written, so that it
/// is told the growth.
#[derive(Default)]
pub struct Before(HashMap<String, CounterValues>);

#[derive(Clone, Copy, Default)]
struct CounterValues {
    lease_losses: u64,
    settle_failures: u64,
}

/// Writes them, minute by minute, if the config says so.
pub async fn write_emf(source: Source, is_wanted: bool) {
    if !is_wanted {
        return;
    }
    let mut before = Before::default();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let text = emf(&source, &mut before).iter().map(|line| format!("{line}\n")).collect::<String>();
        // Whoever reads stdout may be slow.
        let written = tokio::task::spawn_blocking(move || std::io::stdout().lock().write_all(text.as_bytes())).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "metrics cannot be written to stdout (telemetry.emf)");
        }
    }
}

/// A line for the service, and one for each queue.
pub fn emf(source: &Source, before: &mut Before) -> Vec<Value> {
    let services = &source.services;
    let now_ms = services.clock.unix_ms().0;
    let open = services.breakers.count_open();
    let wanted = source.scale.load_full().map(|scale| scale.hosts_wanted as f64 / scale.hosts as f64);
    let of_service = [("BreakersOpen", "Count", Some(open as f64)), ("HostsWantedShare", "None", wanted)];
    let mut lines = vec![line(now_ms, &[("service", &services.scope)], &of_service)];
    for runtime in source.runtimes().iter() {
        let dimensions = [("service", services.scope.as_str()), ("queue", runtime.name.as_str())];
        let paused = services.pauses.of_queue(&runtime.name, UnixMs(now_ms)).is_some();
        lines.push(line(now_ms, &dimensions, &queue(runtime, paused, now_ms, before)));
    }
    lines
}

type Metric = (&'static str, &'static str, Option<f64>);

fn queue(runtime: &QueueRuntime, paused: bool, now_ms: u64, before: &mut Before) -> [Metric; 8] {
    let meters = &runtime.meters;
    let now = CounterValues {
        lease_losses: meters.lease_losses.get(),
        settle_failures: meters.failed_deletes.get() + meters.failed_visibility_changes.get(),
    };
    let before = before.0.insert(runtime.name.clone(), now).unwrap_or_default();
    let in_flight = meters.in_flight.get();
    let backlog = meters.visible.get().zip(in_flight).map(|(visible, in_flight)| visible + in_flight);
    let in_flight_max = if runtime.queue.is_fifo() { IN_FLIGHT_MAX_FIFO } else { IN_FLIGHT_MAX };
    let since_poll_s = match paused {
        // Nobody is to be woken up for it.
        true => Some(0.0),
        false => meters.last_poll_s.get().map(|polled_s| (now_ms as f64 / 1_000.0 - polled_s).max(0.0)),
    };
    [
        ("DlqMessages", "Count", meters.dead_letters.get()),
        ("DlqOldestAgeSeconds", "Seconds", meters.oldest_dead_letter_s.get()),
        ("LagSeconds", "Seconds", meters.lag_s.get()),
        ("BacklogPerTask", "Count", backlog),
        ("LeaseLosses", "Count", Some((now.lease_losses - before.lease_losses) as f64)),
        ("SettleFailures", "Count", Some((now.settle_failures - before.settle_failures) as f64)),
        ("LastPollAgeSeconds", "Seconds", since_poll_s),
        ("InFlightShare", "None", in_flight.map(|in_flight| in_flight / in_flight_max)),
    ]
}

/// What is not known is left out. The first dimension is also one alone, over all of the others.
fn line(now_ms: u64, dimensions: &[(&str, &str)], metrics: &[Metric]) -> Value {
    let known = || metrics.iter().filter_map(|(name, unit, value)| Some((*name, *unit, (*value)?)));
    let sets: Vec<Vec<&str>> =
        (1..=dimensions.len()).map(|count| dimensions[..count].iter().map(|(name, _)| *name).collect()).collect();
    let definitions: Vec<_> = known().map(|(name, unit, _)| json!({ "Name": name, "Unit": unit })).collect();
    let head = json!({
        "Timestamp": now_ms,
        "CloudWatchMetrics": [{ "Namespace": "wasq", "Dimensions": sets, "Metrics": definitions }],
    });
    let mut line = Map::from_iter([("_aws".to_owned(), head)]);
    line.extend(dimensions.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
    line.extend(known().map(|(name, _, value)| (name.to_owned(), json!(value))));
    Value::Object(line)
}
