//! A connection for a request, with TLS, in its time.

use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::errors::DialError;
use super::proxied::ProxyConnector;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Makes a connection, TLS included, in its time: also when the request that wanted it is gone.
#[derive(Clone)]
pub struct Connector {
    https: HttpsConnector<ProxyConnector>,
    timeout: Duration,
}

impl Connector {
    pub fn new(https: HttpsConnector<ProxyConnector>, timeout: Duration) -> Self {
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
