//! `/status` and `/plugins`: what scripts and the command line read.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use wasq_core::pause::Pause;

use crate::admission::fair_queue::FairStatus;
use crate::admission::fleet_pools::FleetPoolStatus;
use crate::admission::key_limits::KeyedStatus;
use crate::admission::permits::{QueueShare, Usage};
use crate::admission::rates::RateStatus;
use crate::flow::QueueRuntime;
use crate::flow::recent::{self, MessageOutcome};
use crate::flow::unroutable::UnroutableType;
use crate::plugins::Catalog;
use crate::plugins::rollout::{Rollout, Runs};
use crate::telemetry::export::Source;
use crate::telemetry::health::Verdict;
use crate::telemetry::metrics::Gauge;

/// What `/status` answers.
#[derive(Serialize)]
pub struct Status {
    ready: Verdict,
    queues: Vec<QueueStatus>,
    lines: Vec<crate::telemetry::stats::LineStats>,
    /// Types that came and that no plugin handles.
    unroutable: Vec<UnroutableType>,
    breakers: Vec<crate::admission::breaker::status::BreakerStatus>,
    hidden: HiddenStatus,
    paused: Vec<Pause>,
    permits: Vec<PermitStatus>,
    /// What the whole fleet may do, as this host has it.
    rates: Vec<RateStatus>,
    fleet_pools: Vec<FleetPoolStatus>,
    keyed: Vec<KeyedStatus>,
    /// Turns by key, of the queues with `fair_by`.
    fair: Vec<FairStatus>,
    /// The host's permits by queue, where queues have priorities.
    queue_shares: Vec<QueueShare>,
    /// The latest, newest first; a message once for all plugins in which it failed alike.
    failures: Vec<MessageOutcome>,
}

/// Hidden messages that this host shows again when what holds them back is gone.
#[derive(Serialize)]
struct HiddenStatus {
    /// How many there are now, and how many it has shown so far.
    messages: usize,
    shown: u64,
}

/// Failures that `/status` shows.
const FAILURES_SHOWN: usize = 10;

/// Some permits, as `/status` shows them: of the host, of `plugin:NAME`, of `pool:NAME`.
#[derive(Serialize)]
struct PermitStatus {
    name: String,
    busy: usize,
    limit: usize,
}

/// One queue, as `/status` shows it. Its counts and its DLQ's are those of the last sample
/// (`telemetry.sample_interval`).
#[derive(Serialize)]
struct QueueStatus {
    name: String,
    queue: String,
    dlq: String,
    in_hand: usize,
    concurrency: usize,
    lag_s: Option<f64>,
    visible: Option<u64>,
    in_flight: Option<u64>,
    delayed: Option<u64>,
    dead_letters: Option<u64>,
}

/// One plugin, as `/plugins` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PluginStatus {
    pub name: String,
    pub types: Vec<String>,
    pub digest: String,
    pub path: String,
    pub timeout_ms: u64,
    pub memory_bytes: u64,
    pub max_concurrency: usize,
    pub busy: usize,
    /// Where it may call, and the queues that it may send to.
    pub allowed_outbound_hosts: Vec<String>,
    pub queues: Vec<String>,
    /// The names of the secrets in its requests' headers.
    pub secrets: Vec<String>,
    /// Destinations whose requests the host signs for AWS.
    pub signed: Vec<String>,
    /// The names of its variables; their values may be the operator's.
    pub variables: Vec<String>,
    pub pools: Vec<String>,
    /// A new version on trial.
    pub canary: Option<CanaryStatus>,
}

/// A new version on trial beside the one that serves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CanaryStatus {
    pub digest: String,
    /// The share of messages that it gets, as `10%`.
    pub share: String,
    pub elapsed_s: u64,
    /// First runs on it and on the version that serves, and how many failed.
    pub runs: u64,
    pub failures: u64,
    pub stable_runs: u64,
    pub stable_failures: u64,
}

impl CanaryStatus {
    fn of(rollout: &Rollout) -> Self {
        let Runs { stable, candidate } = rollout.runs();
        Self {
            digest: rollout.candidate.digest.clone(),
            share: rollout.share().to_string(),
            elapsed_s: rollout.elapsed().as_secs(),
            runs: candidate.runs,
            failures: candidate.failures,
            stable_runs: stable.runs,
            stable_failures: stable.failures,
        }
    }
}

/// Answered from what the host knows: whoever asks again and again costs no call to SQS.
pub async fn status(State(source): State<Source>) -> Json<Status> {
    let services = &source.services;
    let (messages, shown) = services.hidden.counts();
    Json(Status {
        ready: source.ready(),
        queues: source.runtimes().iter().map(|runtime| QueueStatus::of(runtime)).collect(),
        lines: services.stats.snapshot(),
        unroutable: source.unroutable(),
        breakers: services.breakers.status(services.clock.now()),
        hidden: HiddenStatus { messages, shown },
        paused: services.pauses.current(services.clock.unix_ms()),
        permits: source.permits().map(|(name, usage)| PermitStatus::of(name, usage)).collect(),
        rates: services.rates.status(),
        fleet_pools: services.fleet_pools.status(),
        keyed: services.keyed(),
        fair: source.fair(),
        queue_shares: services.permits.queues(),
        failures: recent::by_message(services.recent.failures()).into_iter().take(FAILURES_SHOWN).collect(),
    })
}

impl PermitStatus {
    fn of(name: String, Usage { busy, limit }: Usage) -> Self {
        Self { name, busy, limit }
    }
}

impl QueueStatus {
    fn of(runtime: &QueueRuntime) -> Self {
        let sampled = |gauge: &Gauge| gauge.get().map(|value| value as u64);
        let meters = &runtime.meters;
        Self {
            name: runtime.name.clone(),
            queue: runtime.queue.name().to_owned(),
            dlq: runtime.dlq.name().to_owned(),
            in_hand: runtime.keeper.in_progress(),
            concurrency: runtime.limit.limit(),
            lag_s: meters.lag_s.get(),
            visible: sampled(&meters.visible),
            in_flight: sampled(&meters.in_flight),
            delayed: sampled(&meters.delayed),
            dead_letters: sampled(&meters.dead_letters),
        }
    }
}

pub async fn plugins(State(source): State<Source>) -> Json<serde_json::Value> {
    let catalog = source.services.catalogs.current();
    Json(serde_json::json!({ "plugins": plugin_statuses(&catalog), "failures": catalog.failures() }))
}

pub fn plugin_statuses(catalog: &Catalog) -> Vec<PluginStatus> {
    catalog
        .serving()
        .map(|serving| (&serving.stable, &serving.rollout))
        .map(|(plugin, rollout)| PluginStatus {
            name: plugin.manifest.name.clone(),
            types: plugin.manifest.types.iter().map(ToString::to_string).collect(),
            digest: plugin.digest.clone(),
            path: plugin.origin.to_string(),
            timeout_ms: plugin.policy.timeout.as_millis() as u64,
            memory_bytes: plugin.policy.memory_bytes,
            max_concurrency: plugin.max_concurrency,
            busy: plugin.max_concurrency - plugin.permits.available_permits(),
            allowed_outbound_hosts: plugin.policy.grants.hosts.clone(),
            queues: plugin.policy.grants.queues.clone(),
            secrets: plugin.policy.grants.secrets.clone(),
            signed: plugin.policy.egress.signed().map(ToString::to_string).collect(),
            variables: plugin.policy.variables.iter().map(|(name, _)| name.clone()).collect(),
            pools: plugin.manifest.pools.clone(),
            canary: rollout.as_deref().map(CanaryStatus::of),
        })
        .collect()
}
