//! Connections through the operator's proxy, where `egress.proxy` names one: a tunnel by CONNECT,
//! for http:// too. TLS ends at the destination, so of https:// the proxy sees name and port alone.
//!
//! The proxy looks names up itself. The host checks what it can: an address that is written as
//! such, and those of a name that it can resolve. A name that only the proxy can resolve is the
//! proxy's to judge.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;
use wasq_core::proxy::{NoProxy, Proxies, Proxy};

use super::checked::{CheckedConnector, ready};
use super::destination::port_of;
use super::errors::DialError;
use crate::config::Egress;

/// What `egress.proxy` says for the environment's own variables.
const OF_THE_ENVIRONMENT: &str = "env";

/// Connects through the proxy, or without one where none is to be used.
#[derive(Clone)]
pub struct ProxyConnector {
    direct: CheckedConnector,
    proxies: Arc<Proxies>,
}

/// Why there can be no proxy as the config wants it.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("{0}")]
    Bad(#[from] wasq_core::proxy::BadProxy),
    #[error("{0} is reached by TLS, which egress does not do; name one with http://")]
    Tls(Proxy),
}

/// The proxies of guests' requests.
pub fn proxies(egress: &Egress, variable: impl Fn(&str) -> Option<String>) -> Result<Proxies, ProxyError> {
    let proxies = match egress.proxy.as_ref().map(|proxy| proxy.0.as_str()) {
        None => Proxies::default(),
        Some(OF_THE_ENVIRONMENT) => Proxies::from_env(variable)?,
        Some(url) => Proxies::all(Proxy::parse("egress.proxy", url)?, NoProxy::default()),
    };
    let all = [proxies.https(), proxies.http()];
    let by_tls = all.into_iter().flatten().find(|proxy| proxy.url().starts_with("https:")).cloned();
    by_tls.map_or(Ok(proxies), |proxy| Err(ProxyError::Tls(proxy)))
}

impl ProxyConnector {
    pub fn new(direct: CheckedConnector, proxies: Arc<Proxies>) -> Self {
        Self { direct, proxies }
    }

    async fn dial(self, uri: Uri) -> Result<TokioIo<TcpStream>, DialError> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = port_of(&uri);
        let proxy = self.proxies.to(uri.scheme_str().unwrap_or_default(), &host, port);
        // What the operator opens is in the host's own network.
        let Some(proxy) = proxy.filter(|_| !self.direct.addresses().is_open(&host, port)) else {
            return self.direct.dial(uri).await;
        };
        match self.direct.addresses().of(&host, port).await {
            Ok(_) | Err(DialError::Dns { .. }) => {}
            Err(error) => return Err(error),
        }
        tunnel(proxy, uri).await
    }
}

async fn tunnel(proxy: &Proxy, to: Uri) -> Result<TokioIo<TcpStream>, DialError> {
    let failed = |reason: String| DialError::Proxy { proxy: proxy.to_string(), reason };
    // It reads user and password out of the URL.
    let intercepted = Matcher::builder().all(proxy.url()).build().intercept(&to);
    let intercepted = intercepted.ok_or_else(|| failed("its URL cannot be used".into()))?;
    let mut tunnel = Tunnel::new(intercepted.uri().clone(), ToProxy);
    if let Some(auth) = intercepted.basic_auth() {
        tunnel = tunnel.with_auth(auth.clone());
    }
    // CONNECT names the port, whatever the scheme's own is.
    let authority = format!("{}:{}", to.host().unwrap_or_default(), port_of(&to));
    let named = Uri::builder().scheme(to.scheme_str().unwrap_or("https")).authority(authority).path_and_query("/");
    let named = named.build().map_err(|error| failed(error.to_string()))?;
    tunnel.call(named).await.map_err(|error| failed(wasq_core::causes::causes(&error)))
}

/// Dials the proxy itself. The operator has named it, so its address may be any.
#[derive(Clone)]
struct ToProxy;

impl Service<Uri> for ToProxy {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, proxy: Uri) -> Self::Future {
        Box::pin(async move {
            let host = proxy.host().unwrap_or_default().trim_matches(['[', ']']);
            let addresses = wasq_core::resolve::resolve(host, port_of(&proxy)).await.map_err(io::Error::other)?;
            TcpStream::connect(&addresses[..]).await.map(ready)
        })
    }
}

impl Service<Uri> for ProxyConnector {
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
