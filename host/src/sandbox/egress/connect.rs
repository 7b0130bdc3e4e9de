//! Connections, made to the very addresses that were checked.

use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;
use wasq_core::clock;

use super::errors::DialError;
use super::resolve::Addresses;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Makes a connection, TLS included, in its time: also when the request that wanted it is gone.
#[derive(Clone)]
pub struct Connector {
    https: HttpsConnector<CheckedConnector>,
    timeout: Duration,
}

impl Connector {
    pub fn new(https: HttpsConnector<CheckedConnector>, timeout: Duration) -> Self {
        Self { https, timeout }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, limit) = (self.https.call(uri), self.timeout);
        Box::pin(async move { tokio::time::timeout(limit, connecting).await.map_err(|_| DialError::Timeout(limit))? })
    }
}

/// Resolves a host, checks every address, and dials one that was checked.
#[derive(Clone)]
pub struct CheckedConnector {
    addresses: Addresses,
    timeout: Duration,
}

impl CheckedConnector {
    pub fn new(addresses: Addresses, timeout: Duration) -> Self {
        Self { addresses, timeout }
    }

    async fn dial(self, uri: Uri) -> Result<TokioIo<TcpStream>, DialError> {
        let end = clock::now() + self.timeout;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let addresses: Vec<SocketAddr> = self.addresses.of(host, port).await?;
        let mut last = DialError::Timeout(self.timeout);
        for (tried, address) in addresses.iter().enumerate() {
            // Each address gets its share of the time, so that one that never answers leaves some
            // for the next.
            let left = end.saturating_duration_since(clock::now());
            let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            last = match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(ready(stream)),
                Ok(Err(error)) => DialError::Refused(error),
                Err(_) => DialError::Timeout(self.timeout),
            };
        }
        Err(last)
    }
}

fn ready(stream: TcpStream) -> TokioIo<TcpStream> {
    // Small requests must not wait for an acknowledgement; without it they are only slower.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    TokioIo::new(stream)
}

impl Service<Uri> for CheckedConnector {
    type Response = TokioIo<TcpStream>;
    type Error = DialError;
    type Future = BoxFuture<'static, Result<Self::Response, DialError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().dial(uri))
    }
}
