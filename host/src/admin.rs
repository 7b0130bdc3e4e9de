//! The admin port: health, metrics and status for scripts and orchestrators, and the dashboard for people.

mod access;
mod gate;
mod groups;
mod history;
mod letters;
mod pages;
pub mod pauses;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{FromRef, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::flow::Lane;
use crate::health::Verdict;
use crate::pause::Pause;
use crate::permits::Usage;
use crate::plugins::Catalog;
use crate::plugins::rollout::{Rollout, Runs};
use crate::telemetry::{self, Source};

pub use access::{Access, TOKEN_VARIABLE, TokenError};
pub use history::History;
pub use letters::Place;

/// What the port serves.
pub struct App {
    pub source: Source,
    pub access: Access,
    pub history: Arc<History>,
    /// Where each queue's dead letters are.
    pub places: Vec<Arc<Place>>,
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
    lines: Vec<crate::stats::LineStats>,
    breakers: Vec<crate::flow::BreakerStatus>,
    paused: Vec<Pause>,
    permits: Vec<PermitStatus>,
    /// The latest, newest first.
    failures: Vec<crate::flow::recent::Outcome>,
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

/// One queue, as `/status` shows it.
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
    pub async fn bind(addr: SocketAddr) -> Result<Self, ServeError> {
        let listener = TcpListener::bind(addr).await.map_err(|source| ServeError { addr, source })?;
        let addr = listener.local_addr().map_err(|source| ServeError { addr, source })?;
        Ok(Self { listener: Some(listener), addr, stop: CancellationToken::new(), task: None })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn serve(&mut self, app: App) {
        let router = Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .route("/status", get(status))
            .route("/plugins", get(plugins))
            .route("/envelopes/{id}", get(envelope))
            .route("/pauses", get(pauses::list).post(pauses::pause))
            .route("/pauses/resume", post(pauses::resume))
            .merge(pages::routes())
            .with_state(Arc::new(app))
            .into_make_service_with_connect_info::<SocketAddr>();
        let stop = self.stop.clone();
        if let Some(listener) = self.listener.take() {
            self.task = Some(tokio::spawn(async move {
                let served =
                    axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await });
                if let Err(error) = served.await {
                    tracing::error!(%error, "the admin port has failed");
                }
            }));
        }
    }

    /// Ends the server. Connections that are idle are closed.
    pub async fn shutdown(self) {
        self.stop.cancel();
        if let Some(task) = self.task {
            // A client that keeps its connection open must not hold up the drain.
            task.abort();
            if let Err(error) = task.await
                && error.is_panic()
            {
                tracing::error!(%error, "the admin server panicked");
            }
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
    let text = telemetry::text(&telemetry::gather(&source));
    ([(header::CONTENT_TYPE, telemetry::CONTENT_TYPE)], text).into_response()
}

async fn status(State(source): State<Source>) -> Json<Status> {
    let queues = futures::future::join_all(source.lanes.iter().map(|lane| queue_status(lane))).await;
    Json(Status {
        ready: source.ready(),
        queues,
        lines: source.services.stats.snapshot(),
        breakers: source.services.breakers.status(source.services.clock.now()),
        paused: source.services.pauses.current(source.services.clock.unix_ms()),
        permits: source.permits().map(|(name, usage)| PermitStatus::of(name, usage)).collect(),
        failures: source.services.recent.failures().into_iter().take(FAILURES_SHOWN).collect(),
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

async fn queue_status(lane: &Lane) -> QueueStatus {
    let (queue, dlq) = futures::future::join(lane.queue.attributes(), lane.dlq.attributes()).await;
    let number = |attributes: &Result<std::collections::HashMap<String, String>, _>, name: &str| {
        attributes.as_ref().ok().and_then(|attributes| attributes.get(name)?.parse().ok())
    };
    QueueStatus {
        name: lane.name.clone(),
        queue: lane.queue.name().to_owned(),
        dlq: lane.dlq.name().to_owned(),
        in_hand: lane.keeper.held(),
        concurrency: lane.config.concurrency,
        lag_s: lane.meters.lag_s.get(),
        visible: number(&queue, "ApproximateNumberOfMessages"),
        in_flight: number(&queue, "ApproximateNumberOfMessagesNotVisible"),
        delayed: number(&queue, "ApproximateNumberOfMessagesDelayed"),
        dead_letters: number(&dlq, "ApproximateNumberOfMessages"),
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

async fn envelope(State(source): State<Source>, Path(id): Path<String>) -> Response {
    match source.services.ledger.get_envelope(&id).await {
        Ok(Some(json)) => json.into_response(),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}
