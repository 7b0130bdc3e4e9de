//! A port's connections: each with its timeouts, all of them with a limit, and none that outlives
//! the host.
//!
//! What is not answered in time gives its connection back. A client that sends slowly, reads slowly
//! or says nothing holds one of a bounded number of them for a bounded time, and no file descriptor
//! that the queues need.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower_service::Service;
use wasq_core::clock;

/// The longest head of a request, in bytes.
const HEAD_MAX_BYTES: usize = 64 * 1024;
/// After a failed accept: there may be no file descriptor left, and trying again at once would only
/// burn the CPU.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How long what is being answered may take when the host stops. Then it is dropped.
const STOP_WITHIN: Duration = Duration::from_secs(1);

/// What a port's clients may take of the host.
#[derive(Clone, Debug)]
pub struct PortLimits {
    /// The table of the config that says so, for errors: `admin`.
    pub table: &'static str,
    /// Connections at once. What is over it waits.
    pub max_connections: usize,
    /// How long a request's head may take, and how long an idle connection stays open.
    pub header_timeout: Duration,
    /// How long a request may take as a whole, with its body and its answer.
    pub request_timeout: Duration,
    /// How long one connection is used.
    pub connection_time: Duration,
}

/// Answers until it is stopped. When it has ended no connection is left, and nothing holds what the
/// router holds.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: PortLimits,
    stop: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(limits.max_connections));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // Over the limit clients wait in the listener's backlog.
        let accepted = async {
            let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (router, limits, stop) = (router.clone(), limits.clone(), stop.clone());
                let connection = Connection { router, limits, peer, stop };
                match tls.clone() {
                    Some(tls) => connections.spawn(connection.run_in_tls(tls, stream, permit)),
                    None => connections.spawn(connection.run(stream, permit)),
                };
            }
            Err(error) => {
                tracing::warn!(%error, port = limits.table, "a port cannot take a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop((listener, router));
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_WITHIN, all).await.is_err() {
        connections.shutdown().await;
    }
}

/// When the head of a request was there: from then on its time counts.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedAt(pub Instant);

struct Connection {
    router: Router,
    limits: PortLimits,
    peer: SocketAddr,
    stop: CancellationToken,
}

impl Connection {
    /// A handshake takes no longer than a head may.
    async fn run_in_tls(self, tls: TlsAcceptor, stream: TcpStream, permit: OwnedSemaphorePermit) {
        if let Ok(Ok(stream)) = tokio::time::timeout(self.limits.header_timeout, tls.accept(stream)).await {
            self.run(stream, permit).await;
        }
    }

    async fn run(self, stream: impl AsyncRead + AsyncWrite + Unpin, _permit: OwnedSemaphorePermit) {
        let Self { router, limits, peer, stop } = self;
        let (request_timeout, table) = (limits.request_timeout, limits.table);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(ReceivedAt(clock::now()));
            let answer = router.clone().call(request);
            async move {
                let answer = tokio::time::timeout(request_timeout, answer).await;
                Ok::<Response, Infallible>(
                    answer.unwrap_or_else(|_| Ok(late(table))).unwrap_or_else(|never| match never {}),
                )
            }
        });
        // The time for a head begins when the last answer was sent: an idle connection is closed by
        // it too.
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(HEAD_MAX_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let over = async {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = tokio::time::sleep(limits.connection_time) => {}
            }
        };
        // Errors here are the client's: it went away, or sent what is no HTTP.
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            () = over => connection.as_mut().graceful_shutdown(),
        }
        // Whoever does not read its answer is cut off.
        let _ = tokio::time::timeout(request_timeout, connection).await;
    }
}

fn late(table: &str) -> Response {
    let why = serde_json::json!({ "error": format!("not done within {table}.request_timeout") });
    (StatusCode::REQUEST_TIMEOUT, Json(why)).into_response()
}

#[cfg(test)]
mod tests;
