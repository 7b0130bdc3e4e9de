//! The admin port: health, metrics and status for scripts and orchestrators, and the dashboard for people.

mod access;
mod extractors;
mod history;
mod letters;
mod pages;
pub mod pauses;
mod serve;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{FromRef, Path, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wasq_core::message::MessageType;
use wasq_core::pause::Pause;

pub use access::{Access, TOKEN_VARIABLE, TokenError};
pub use history::History;
pub use letters::{DeadLetterQueue, dead_letter_queues};

use extractors::ApiLooker;

use crate::admission::permits::Usage;
use crate::config;
use crate::flow::QueueRuntime;
use crate::flow::recent::{self, MessageOutcome};
use crate::flow::unroutable::UnroutableType;
use crate::plugins::Catalog;
use crate::plugins::rollout::{Rollout, Runs};
use crate::telemetry::export::{self, Source};
use crate::telemetry::health::Verdict;
use crate::telemetry::metrics::Gauge;

/// What the port serves.
pub struct App {
    pub source: Source,
    pub access: Access,
    pub history: Arc<History>,
    /// Where each queue's dead letters are.
    pub dead_letter_queues: Vec<Arc<DeadLetterQueue>>,
}

impl FromRef<Arc<App>> for Source {
    fn from_ref(app: &Arc<App>) -> Self {
        app.source.clone()
    }
}

/// The server, bound; it answers once it is told what to serve.
pub struct Server {
    listener: Option<TcpListener>,
    addr: SocketAddr,
    config: config::Admin,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

/// Why the port cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {source}; is another host running? Set admin.listen to another port")]
pub struct ServeError {
    addr: SocketAddr,
    source: std::io::Error,
}

/// What `/status` answers.
#[derive(Serialize)]
struct Status {
    ready: Verdict,
    queues: Vec<QueueStatus>,
    lines: Vec<crate::telemetry::stats::LineStats>,
    /// Types that came and that no plugin handles.
    unroutable: Vec<UnroutableType>,
    breakers: Vec<crate::admission::breaker::BreakerStatus>,
    paused: Vec<Pause>,
    permits: Vec<PermitStatus>,
    /// The latest, newest first; a message once for all plugins in which it failed alike.
    failures: Vec<MessageOutcome>,
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
    /// What it may import although it is empty.
    pub empty_interfaces: Vec<String>,
    /// The names of the secrets in its requests' headers.
    pub secrets: Vec<String>,
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

impl Server {
    pub async fn bind(config: &config::Admin) -> Result<Self, ServeError> {
        let addr = config.listen;
        let listener = TcpListener::bind(addr).await.map_err(|source| ServeError { addr, source })?;
        let addr = listener.local_addr().map_err(|source| ServeError { addr, source })?;
        let (config, stop) = (config.clone(), CancellationToken::new());
        Ok(Self { listener: Some(listener), addr, config, stop, task: None })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn serve(&mut self, app: App) {
        let app = Arc::new(app);
        // Orchestrators and scrapers ask by whatever name leads them here.
        let probes =
            Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).route("/metrics", get(metrics));
        let api = Router::new()
            .route("/status", get(status))
            .route("/plugins", get(plugins))
            .route("/envelopes/{*id}", get(envelope))
            .route("/pauses", get(pauses::list).post(pauses::pause))
            .route("/pauses/resume", post(pauses::resume))
            .layer(from_fn_with_state(app.clone(), extractors::api_by_own_name));
        let pages = pages::routes().layer(from_fn_with_state(app.clone(), extractors::page_by_own_name));
        let router = probes.merge(api).merge(pages).with_state(app);
        if let Some(listener) = self.listener.take() {
            self.task = Some(tokio::spawn(serve::serve(listener, router, self.config.clone(), self.stop.clone())));
        }
    }

    /// Ends the server with all its connections, within seconds. Nothing holds the [`App`] then.
    pub async fn shutdown(self) {
        self.stop.cancel();
        if let Some(task) = self.task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the admin server panicked");
        }
    }
}

fn answer(verdict: Verdict) -> Response {
    let code = if verdict.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(verdict)).into_response()
}

async fn livez(State(source): State<Source>) -> Response {
    answer(source.services.health.live())
}

async fn readyz(State(source): State<Source>) -> Response {
    answer(source.ready())
}

async fn metrics(State(source): State<Source>) -> Response {
    let text = export::text(&export::gather(&source));
    ([(header::CONTENT_TYPE, export::CONTENT_TYPE)], text).into_response()
}

/// Answered from what the host knows: whoever asks again and again costs no call to SQS.
async fn status(State(source): State<Source>) -> Json<Status> {
    let services = &source.services;
    Json(Status {
        ready: source.ready(),
        queues: source.runtimes.iter().map(|runtime| QueueStatus::of(runtime)).collect(),
        lines: services.stats.snapshot(),
        unroutable: source.unroutable(),
        breakers: services.breakers.status(services.clock.now()),
        paused: services.pauses.current(services.clock.unix_ms()),
        permits: source.permits().map(|(name, usage)| PermitStatus::of(name, usage)).collect(),
        failures: recent::by_message(services.recent.failures()).into_iter().take(FAILURES_SHOWN).collect(),
    })
}

impl PermitStatus {
    fn of(name: String, Usage { busy, limit }: Usage) -> Self {
        Self { name, busy, limit }
    }
}

impl Source {
    /// Whether the host is ready; with what is paused, which is no reason not to be.
    fn ready(&self) -> Verdict {
        let services = &self.services;
        let paused = services.pauses.current(services.clock.unix_ms());
        let notes = paused.iter().map(|pause| format!("{} is paused, by {}", pause.target, pause.by)).collect();
        let mut verdict = Verdict { notes, ..services.health.ready() };
        if services.pauses.are_unread() {
            verdict
                .reasons
                .push("what is paused cannot be read from the ledger; nothing is polled until it can".into());
            verdict.ok = false;
        }
        verdict
    }

    /// The types that came and that no plugin handles.
    fn unroutable(&self) -> Vec<UnroutableType> {
        let services = &self.services;
        let catalog = services.catalogs.current();
        let has_plugin = |kind: &str| !catalog.route(&MessageType(kind.to_owned())).is_empty();
        services.recent.unroutable.listed(services.clock.unix_ms(), has_plugin)
    }

    /// How full all permits are, by the names that the metrics have for them.
    fn permits(&self) -> impl Iterator<Item = (String, Usage)> {
        let services = &self.services;
        let catalog = services.catalogs.current();
        let plugins = catalog.plugins().map(|plugin| {
            let usage = Usage::of(&plugin.permits, plugin.max_concurrency);
            (format!("plugin:{}", plugin.manifest.name), usage)
        });
        let plugins: Vec<_> = plugins.collect();
        let pools: Vec<_> =
            services.catalogs.pools().usage().map(|(name, usage)| (format!("pool:{name}"), usage)).collect();
        [("host".to_owned(), services.permits.usage())].into_iter().chain(pools).chain(plugins)
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
            in_hand: runtime.keeper.held(),
            concurrency: runtime.config.concurrency,
            lag_s: meters.lag_s.get(),
            visible: sampled(&meters.visible),
            in_flight: sampled(&meters.in_flight),
            delayed: sampled(&meters.delayed),
            dead_letters: sampled(&meters.dead_letters),
        }
    }
}

async fn plugins(State(source): State<Source>) -> Json<serde_json::Value> {
    let catalog = source.services.catalogs.current();
    Json(serde_json::json!({ "plugins": plugin_statuses(&catalog), "failures": catalog.failures() }))
}

fn plugin_statuses(catalog: &Catalog) -> Vec<PluginStatus> {
    catalog
        .serving()
        .map(|serving| (&serving.stable, &serving.rollout))
        .map(|(plugin, rollout)| PluginStatus {
            name: plugin.manifest.name.clone(),
            types: plugin.manifest.types.iter().map(|kind| kind.0.clone()).collect(),
            digest: plugin.digest.clone(),
            path: plugin.path.display().to_string(),
            timeout_ms: plugin.policy.timeout.as_millis() as u64,
            memory_bytes: plugin.policy.memory_bytes,
            max_concurrency: plugin.max_concurrency,
            busy: plugin.max_concurrency - plugin.permits.available_permits(),
            allowed_outbound_hosts: plugin.policy.grants.hosts.clone(),
            queues: plugin.policy.grants.queues.clone(),
            empty_interfaces: plugin.policy.grants.empty_interfaces.iter().map(ToString::to_string).collect(),
            secrets: plugin.policy.grants.secrets.clone(),
            variables: plugin.policy.variables.iter().map(|(name, _)| name.clone()).collect(),
            pools: plugin.manifest.pools.clone(),
            canary: rollout.as_deref().map(CanaryStatus::of),
        })
        .collect()
}

/// A letter's envelope that did not fit into its message: the reason, the key. So it is for those
/// who may see letters.
async fn envelope(State(source): State<Source>, _looker: ApiLooker, Path(id): Path<String>) -> Response {
    match source.services.ledger.get_envelope(&id).await {
        Ok(Some(json)) => json.into_response(),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            let why = serde_json::json!({ "error": error.to_string() });
            (StatusCode::SERVICE_UNAVAILABLE, Json(why)).into_response()
        }
    }
}
