//! The admin port's connections: each with its timeouts, all of them with a limit, and none that
//! outlives the host.
//!
//! What is not answered in time gives its connection back. A client that sends slowly, reads slowly
//! or says nothing holds one of a bounded number of them for a bounded time, and no file descriptor
//! that the queues need.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::config;

/// The longest head of a request, in bytes.
const HEAD_MAX_BYTES: usize = 64 * 1024;
/// After a failed accept: there may be no file descriptor left, and trying again at once would only
/// burn the CPU.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How long what is being answered may take when the host stops. Then it is dropped.
const STOP_WITHIN: Duration = Duration::from_secs(1);

/// Answers until it is stopped. When it has ended no connection is left, and nothing holds what the
/// router holds.
pub async fn serve(listener: TcpListener, router: Router, limits: config::Admin, stop: CancellationToken) {
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
                let connection =
                    Connection { router: router.clone(), limits: limits.clone(), peer, stop: stop.clone() };
                connections.spawn(connection.run(stream, permit));
            }
            Err(error) => {
                tracing::warn!(%error, "the admin port cannot take a connection");
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

struct Connection {
    router: Router,
    limits: config::Admin,
    peer: SocketAddr,
    stop: CancellationToken,
}

impl Connection {
    async fn run(self, stream: TcpStream, _permit: OwnedSemaphorePermit) {
        let Self { router, limits, peer, stop } = self;
        let request_timeout = limits.request_timeout;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            let answer = router.clone().call(request);
            async move {
                let answer = tokio::time::timeout(request_timeout, answer).await;
                Ok::<Response, Infallible>(answer.unwrap_or_else(|_| Ok(late())).unwrap_or_else(|never| match never {}))
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

fn late() -> Response {
    (StatusCode::REQUEST_TIMEOUT, "not done within admin.request_timeout\n").into_response()
}

#[cfg(test)]
mod tests;
