//! The admin port: health, metrics and status for scripts and orchestrators, and the dashboard for
//! people.

mod access;
mod app;
mod extractors;
pub mod groups;
mod history;
mod letters;
pub mod limits;
mod pages;
pub mod pauses;
pub mod profiles;
pub mod profiling;
pub mod schedules;
mod status;
pub mod timers;
mod top;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use access::{Access, TOKEN_VARIABLE, TokenError};
pub use app::App;
pub use history::History;
pub use letters::{DeadLetterQueue, DeadLetterQueues};
pub use profiles::Profiles;
pub use status::{CanaryStatus, PluginStatus};
pub use top::{LineUsage, PluginKey, Top};

use extractors::ApiLooker;

use crate::config;
use crate::http_port::serve;
use crate::telemetry::export::{self, Source};
use crate::telemetry::health::Verdict;

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
        let probes = Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .route("/scale", get(scale));
        let api = Router::new()
            .route("/status", get(status::status))
            .route("/limits", get(limits::limits))
            .route("/limits/set", post(limits::set))
            .route("/limits/reset", post(limits::reset))
            .route("/plugins", get(status::plugins))
            .route("/top", get(top::top))
            .route("/envelopes/{*id}", get(envelope))
            .route("/pauses", get(pauses::list).post(pauses::pause))
            .route("/pauses/resume", post(pauses::resume))
            .route("/schedules", get(schedules::list))
            .route("/schedules/{name}/pause", post(schedules::pause))
            .route("/schedules/{name}/resume", post(schedules::resume))
            .route("/schedules/{name}/run", post(schedules::run))
            .route("/groups", get(groups::list))
            .route("/groups/{*id}", get(groups::show))
            .route("/timers", get(timers::list))
            .route("/timers/cancel", post(timers::cancel))
            .route("/profiles", post(profiling::start))
            .route("/profiles/{plugin}", get(profiling::status))
            .route("/profiles/{plugin}/{format}", get(profiling::written))
            .layer(from_fn_with_state(app.clone(), extractors::api_by_own_name));
        let pages = pages::routes().layer(from_fn_with_state(app.clone(), extractors::page_by_own_name));
        let router = probes.merge(api).merge(pages).with_state(app);
        if let Some(listener) = self.listener.take() {
            self.task = Some(tokio::spawn(serve(listener, None, router, self.config.limits(), self.stop.clone())));
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

/// What an autoscaler asks for.
async fn scale(State(source): State<Source>) -> Response {
    match source.scale.load_full() {
        Some(scale) => Json((*scale).clone()).into_response(),
        // The host has begun just now.
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
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
