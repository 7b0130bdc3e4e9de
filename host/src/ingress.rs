//! The ingress port: producers send messages by HTTP, and callbacks come in. What is answered with
//! 202 is in its queue.

mod access;
mod app;
mod attributes;
mod batch;
mod callbacks;
mod failure;
mod messages;
mod openapi;
mod pressure;
mod sender;
mod token_bucket;
mod types;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use wasq_core::clock;

pub use app::App;
pub use openapi::document;
pub use types::{IngressTypes, SchemaError};

use crate::config;
use crate::http_port::{ReceivedAt, serve};

/// The port, bound; it answers once it is told what to serve.
pub struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    config: config::Ingress,
}

/// The port, answering.
pub struct Serving {
    addr: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Why the port cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum IngressError {
    #[error("ingress: cannot listen on {addr}: {source}; is another host running? Set ingress.listen to another port")]
    Listen { addr: SocketAddr, source: std::io::Error },
    #[error("ingress.{key} {path}: {reason}")]
    Tls { key: &'static str, path: std::path::PathBuf, reason: String },
    #[error("{0}")]
    Schema(#[from] SchemaError),
}

impl Server {
    /// None where the config does not say where.
    ///
    /// # Errors
    /// [`IngressError`].
    pub async fn bind(config: &config::Ingress) -> Result<Option<Self>, IngressError> {
        let Some(addr) = config.listen else { return Ok(None) };
        let tls = acceptor(config)?;
        let listener = TcpListener::bind(addr).await.map_err(|source| IngressError::Listen { addr, source })?;
        Ok(Some(Self { listener, tls, config: config.clone() }))
    }

    /// # Errors
    /// The system does not say where it listens.
    pub fn serve(self, app: App) -> std::io::Result<Serving> {
        let (addr, stop) = (self.listener.local_addr()?, CancellationToken::new());
        let router = router(Arc::new(app));
        let task = tokio::spawn(serve(self.listener, self.tls, router, self.config.limits(), stop.clone()));
        Ok(Serving { addr, stop, task })
    }
}

impl Serving {
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Takes nothing more, and ends what is being answered within seconds.
    pub async fn shutdown(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the ingress port panicked");
        }
    }
}

fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/messages/{type}", post(messages::post))
        .route("/v1/callbacks/{token}", post(callbacks::post))
        .route("/v1/openapi.json", get(openapi::get))
        .fallback(failure::no_such_path)
        .method_not_allowed_fallback(failure::no_such_method)
        .layer(from_fn_with_state(app.clone(), measure))
        .with_state(app)
}

async fn measure(
    State(app): State<Arc<App>>,
    Extension(ReceivedAt(began)): Extension<ReceivedAt>,
    request: Request,
    next: Next,
) -> Response {
    let mut measured = Measured { app, began, is_answered: false };
    let response = next.run(request).await;
    measured.answered(response.status());
    response
}

/// A request that is being answered. The port gives it up when its time is over, and when its
/// client has gone away.
struct Measured {
    app: Arc<App>,
    began: Instant,
    is_answered: bool,
}

impl Measured {
    fn answered(&mut self, status: StatusCode) {
        self.is_answered = true;
        self.app.services.ingress.answered(status.as_u16(), clock::now() - self.began);
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let limit = self.app.config.ingress.request_timeout;
        if !self.is_answered && clock::now() - self.began >= limit {
            self.answered(StatusCode::REQUEST_TIMEOUT);
        }
    }
}

/// Reads all that the port reads when it is bound.
///
/// # Errors
/// What cannot be read.
pub fn check(config: &config::Ingress) -> Result<(), IngressError> {
    IngressTypes::load(config)?;
    acceptor(config).map(drop)
}

/// What speaks TLS for the port, where it is to.
fn acceptor(config: &config::Ingress) -> Result<Option<TlsAcceptor>, IngressError> {
    let (Some(certificate), Some(key)) = (&config.tls_certificate, &config.tls_key) else { return Ok(None) };
    let fault = |key, path: &std::path::Path, reason: String| IngressError::Tls { key, path: path.to_owned(), reason };
    let of_certificate = |reason: String| fault("tls_certificate", certificate, reason);
    let chain = CertificateDer::pem_file_iter(certificate).map_err(|error| of_certificate(error.to_string()))?;
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(|error| of_certificate(error.to_string()))?;
    if chain.is_empty() {
        return Err(of_certificate("there is no certificate in it".into()));
    }
    let of_key = |reason: String| fault("tls_key", key, reason);
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| of_key(error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = versions.map_err(|error| of_key(error.to_string()))?.with_no_client_auth();
    let mut config = config.with_single_cert(chain, private).map_err(|error| of_key(error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}
