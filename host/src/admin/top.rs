//! `/top`: what handlers have used since the host started, by type and by key. Two answers have
//! between them what was used in a time.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use wasq_core::clock;
use wasq_core::message::UnixMs;

use super::extractors::ApiLooker;
use crate::telemetry::export::Source;
use crate::telemetry::stats::{Line, Stats};
use crate::telemetry::top_keys::{By, KeyUsage};
use crate::telemetry::usage::CALLS;

/// What `/top` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Top {
    pub at: UnixMs,
    /// Processor time of the whole process.
    pub process_cpu_s: f64,
    pub lines: Vec<LineUsage>,
    /// All keys of one ranking, where a manifest has a `cost_key`.
    pub keys: Vec<PluginKey>,
}

/// What one plugin's runs of one type have used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LineUsage {
    #[serde(rename = "type")]
    pub kind: String,
    pub plugin: String,
    pub runs: u64,
    /// Of runs that go on, too.
    pub cpu_s: f64,
    /// From their messages' sending to their start.
    pub wait_s: f64,
    /// From their start to their end.
    pub run_s: f64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// By the call's name.
    pub calls: BTreeMap<String, u64>,
}

/// What messages with one key have used in one plugin, since the key is in the ranking.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginKey {
    pub plugin: String,
    #[serde(flatten)]
    pub usage: KeyUsage,
}

#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    by: By,
}

/// A key is a part of a body: it is for those who may see letters.
pub async fn top(State(source): State<Source>, _looker: ApiLooker, Query(asked): Query<Asked>) -> Json<Top> {
    let services = &source.services;
    let (lines, keys) = (lines(&services.stats), keys(&services.stats, asked.by));
    // Behind what it is the sum of.
    Json(Top { at: services.clock.unix_ms(), process_cpu_s: clock::process_cpu().as_secs_f64(), lines, keys })
}

fn lines(stats: &Stats) -> Vec<LineUsage> {
    let usage = |((kind, plugin), line): ((String, String), std::sync::Arc<Line>)| {
        let (run, wait) = (line.run.read(), line.queue_wait.read());
        LineUsage {
            kind,
            plugin,
            runs: run.count(),
            cpu_s: line.cpu_ns.get() as f64 / 1e9,
            wait_s: wait.sum,
            run_s: run.sum,
            sent_bytes: line.sent_bytes.get(),
            received_bytes: line.received_bytes.get(),
            calls: CALLS.iter().zip(&line.calls).map(|(call, count)| ((*call).to_owned(), count.get())).collect(),
        }
    };
    // What no plugin handles uses nothing.
    stats.lines().into_iter().filter(|((_, plugin), _)| !plugin.is_empty()).map(usage).collect()
}

/// Of all plugins, in one ranking.
fn keys(stats: &Stats, by: By) -> Vec<PluginKey> {
    let ranked = stats.all_keys().into_iter().map(|(plugin, keys)| (plugin, keys.ranked(by)));
    ranked
        .flat_map(|(plugin, keys)| keys.into_iter().map(move |usage| PluginKey { plugin: plugin.clone(), usage }))
        .collect()
}
