//! Connections: a host is resolved, every address checked, and the very addresses that were checked are dialled.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::Egress;
use super::destination::{Destination, DestinationError};
use crate::sandbox::address::is_public;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// What makes connections for every plugin: TLS settings, read once, and the hosts that the operator opened.
#[derive(Clone)]
pub struct Dialer {
    tls: rustls::ClientConfig,
    open_hosts: Arc<HashSet<(String, u16)>>,
}

impl Dialer {
    /// Reads the system's trusted roots. `open_hosts` are `host:port` pairs that may be private or loopback.
    pub fn new(open_hosts: &[String]) -> Result<Self, DestinationError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring supports TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let open = open_hosts.iter().map(|text| {
            let rule = || "an open host is host:port".to_owned();
            let (host, port) =
                text.rsplit_once(':').ok_or_else(|| DestinationError { text: text.clone(), rule: rule() })?;
            let port = port.parse().map_err(|_| DestinationError { text: text.clone(), rule: rule() })?;
            Ok((host.trim_matches(['[', ']']).to_ascii_lowercase(), port))
        });
        Ok(Self { tls, open_hosts: Arc::new(open.collect::<Result<_, _>>()?) })
    }

    /// The way out of a plugin that may reach these destinations.
    pub fn egress(&self, allowed: &[String]) -> Result<Egress, DestinationError> {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(self.tls.clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(CheckedConnector { open_hosts: self.open_hosts.clone() });
        let client = Client::builder(TokioExecutor::new()).pool_idle_timeout(IDLE_TIMEOUT).build(connector);
        let allowed = allowed.iter().map(|text| Destination::parse(text)).collect::<Result<_, _>>()?;
        Ok(Egress { allowed, client })
    }
}

/// Resolves a host, checks every address, and dials one that was checked.
#[derive(Clone)]
pub struct CheckedConnector {
    open_hosts: Arc<HashSet<(String, u16)>>,
}

#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("{host} resolves to {address}, which is not a public address")]
    Prohibited { host: String, address: std::net::IpAddr },
    #[error("cannot resolve {host}: {reason}")]
    Dns { host: String, reason: String },
    #[error("no connection within {CONNECT_TIMEOUT:?}")]
    Timeout,
    #[error("cannot connect: {0}")]
    Refused(std::io::Error),
}

impl CheckedConnector {
    async fn dial(self, uri: Uri) -> Result<TokioIo<TcpStream>, DialError> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).trim_end_matches('.').to_owned();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let dns = |reason: String| DialError::Dns { host: host.clone(), reason };
        let addresses: Vec<SocketAddr> =
            tokio::net::lookup_host((host.as_str(), port)).await.map_err(|error| dns(error.to_string()))?.collect();
        if addresses.is_empty() {
            return Err(dns("no address".into()));
        }
        let open = self.open_hosts.contains(&(host.clone(), port));
        if let Some(address) = addresses.iter().find(|address| !open && !is_public(address.ip())) {
            tracing::warn!(%host, %address, "a handler called a host with an address that is not public");
            return Err(DialError::Prohibited { host, address: address.ip() });
        }
        let connect = TcpStream::connect(addresses.as_slice());
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, connect).await.map_err(|_| DialError::Timeout)?;
        let stream = stream.map_err(DialError::Refused)?;
        // Small requests must not wait for an acknowledgement; without it they are only slower.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        Ok(TokioIo::new(stream))
    }
}

impl tower_service::Service<Uri> for CheckedConnector {
    type Response = TokioIo<TcpStream>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, DialError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().dial(uri))
    }
}
