//! Connections: a plugin's pool of them, made to the very addresses that were checked.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpStream;
use tower_service::Service;
use wasq_core::clock;

use super::destination::{Destination, DestinationError};
use super::headers::{HeaderError, Headers};
use super::resolve::{self, Addresses, Resolver};
use super::secrets::{SecretError, Secrets};
use super::{Egress, HttpClient};
use crate::config::{self, Config, Limits};

/// An HTTP/2 connection with requests on it is asked for a sign of life as often, and is given up after the second time.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What makes connections for every plugin: TLS settings, read once, the operator's open hosts and headers.
#[derive(Clone)]
pub struct Dialer {
    tls: rustls::ClientConfig,
    addresses: Addresses,
    headers: Arc<BTreeMap<String, Headers>>,
    none: Headers,
    secrets: Arc<Secrets>,
    config: config::Egress,
    limits: Limits,
}

/// What is wrong with the config of outbound HTTP.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    #[error("egress.open_hosts: {0}")]
    OpenHosts(#[from] DestinationError),
    #[error("egress.ca_file {}: {reason}; name a PEM file of certificates", path.display())]
    CaFile { path: PathBuf, reason: String },
    #[error("{0}; see [secrets] in the config")]
    Secret(#[from] SecretError),
    #[error("{0}")]
    Header(#[from] HeaderError),
}

impl Dialer {
    /// Reads the system's trusted roots and the operator's, and every secret.
    pub fn new(config: &Config) -> Result<Self, EgressError> {
        Self::with_resolver(config, resolve::system())
    }

    /// As [`Dialer::new`], with this look-up of names in the system's place.
    pub(super) fn with_resolver(config: &Config, resolver: Resolver) -> Result<Self, EgressError> {
        let secrets = Arc::new(Secrets::load(&config.secrets)?);
        let headers = config
            .plugins
            .iter()
            .map(|(plugin, operator)| Ok((plugin.clone(), Headers::new(plugin, &operator.headers, secrets.clone())?)));
        let headers = headers.collect::<Result<_, HeaderError>>()?;
        Ok(Self {
            tls: tls(&config.egress)?,
            addresses: Addresses::new(&config.egress.open_hosts, resolver)?,
            headers: Arc::new(headers),
            none: Headers::new("", &BTreeMap::new(), secrets.clone())?,
            secrets,
            config: config.egress.clone(),
            limits: config.limits.clone(),
        })
    }

    /// Every secret of the config.
    pub fn secrets(&self) -> Arc<Secrets> {
        self.secrets.clone()
    }

    /// The way out of a plugin that may reach these destinations.
    pub fn egress(&self, plugin: &str, allowed: &[String]) -> Result<Egress, DestinationError> {
        let allowed: Vec<_> = allowed.iter().map(|text| Destination::parse(text)).collect::<Result<_, _>>()?;
        let headers = self.headers.get(plugin).unwrap_or(&self.none).clone();
        Ok(Egress { allowed, headers, client: self.client() })
    }

    /// The destinations of a way out that egress is closed to, each with the reason. No name is looked up.
    pub fn closed(&self, egress: &Egress) -> Vec<(Destination, DialError)> {
        let closed = egress.allowed.iter().map(|to| (to.clone(), self.addresses.closed(to.host(), to.port())));
        closed.filter_map(|(destination, error)| Some((destination, error?))).collect()
    }

    fn client(&self) -> HttpClient {
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(self.tls.clone())
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(CheckedConnector {
                addresses: self.addresses.clone(),
                timeout: self.config.connect_timeout,
            });
        let connector = Connector { https, timeout: self.config.connect_timeout };
        // Heads of twice their limit still get an error that says the number; longer ones end in the parser.
        let head_bytes = (2 * self.limits.header_bytes).max(HEAD_BYTES_MIN);
        Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(self.config.idle_timeout)
            .pool_max_idle_per_host(self.config.idle_connections)
            .http1_max_headers(2 * self.limits.headers)
            .http1_max_buf_size(head_bytes)
            .http2_max_header_list_size(u32::try_from(HTTP2_ROOM * head_bytes).unwrap_or(u32::MAX))
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .http2_keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .build(connector)
    }
}

/// HTTP/2 has no error of its own for a head that is too long, so its parser leaves more of them to the check.
const HTTP2_ROOM: usize = 8;

/// The smallest buffer for a head and for what is read of a body at once.
const HEAD_BYTES_MIN: usize = 64 * 1024;

fn tls(config: &config::Egress) -> Result<rustls::ClientConfig, EgressError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &config.ca_file {
        let refuse = |reason: String| EgressError::CaFile { path: path.clone(), reason };
        let mut found = 0;
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| refuse(error.to_string()))? {
            let certificate = certificate.map_err(|error| refuse(error.to_string()))?;
            roots.add(certificate).map_err(|error| refuse(error.to_string()))?;
            found += 1;
        }
        if found == 0 {
            return Err(refuse("it has no certificate".into()));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth())
}

#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The words are for the handler, whose failure has them as its reason: so they have no address that a look-up gave.
    #[error("its address is a prohibited one: {} is not public; {}", endpoint(host, *port), way_out(host, *port, *can_open))]
    Prohibited {
        host: String,
        port: u16,
        address: IpAddr,
        /// Whether `egress.open_hosts` can have it.
        can_open: bool,
    },
    #[error("cannot resolve {host}: {reason}")]
    Dns { host: String, reason: String },
    #[error("no connection within {0:?} (egress.connect_timeout)")]
    Timeout(Duration),
    #[error("cannot connect: {0}")]
    Refused(std::io::Error),
}

/// `host:port`, as a config has it.
fn endpoint(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn way_out(host: &str, port: u16, can_open: bool) -> String {
    match can_open {
        true => format!("if it is meant, set egress.open_hosts = [\"{}\"]", endpoint(host, port)),
        false => "no setting opens a name for it".to_owned(),
    }
}

/// Makes a connection, TLS included, in its time: also when the request that wanted it is gone.
#[derive(Clone)]
pub struct Connector {
    https: HttpsConnector<CheckedConnector>,
    timeout: Duration,
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
    async fn dial(self, uri: Uri) -> Result<TokioIo<TcpStream>, DialError> {
        let end = clock::now() + self.timeout;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let addresses: Vec<SocketAddr> = self.addresses.of(host, port).await?;
        let mut last = DialError::Timeout(self.timeout);
        for (tried, address) in addresses.iter().enumerate() {
            // Each address gets its share of the time, so that one that never answers leaves some for the next.
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
