//! Outbound HTTP of guests: what they may reach, and the sending.
//!
//! A request's URL is canonicalised, matched against the plugin's allow-list, its host resolved, every address checked,
//! and the connection made to the very addresses that were checked. Redirects are the guest's to follow.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http_body_util::{BodyExt, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use url::Url;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::Policy;
use super::address::is_public;
use crate::config::Limits;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// A `Retry-After` in seconds that is longer is cut: one hour.
const RETRY_AFTER_MAX_S: u64 = 3_600;

/// One plugin's way out, with its own pool of connections.
pub struct Egress {
    allowed: Vec<Destination>,
    client: Client<HttpsConnector<CheckedConnector>, WasiBody>,
}

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.allowed.iter().map(ToString::to_string)).finish()
    }
}

/// `scheme://host:port`; `*.` before the host stands for its subdomains, not for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    scheme: String,
    host: String,
    subdomains: bool,
    port: u16,
}

/// What makes connections for every plugin: TLS settings, read once, and the hosts that the operator opened.
#[derive(Clone)]
pub struct Dialer {
    tls: rustls::ClientConfig,
    open_hosts: Arc<HashSet<(String, u16)>>,
}

/// Why an outbound rule cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is no destination: {rule}; write scheme://host:port, such as https://api.example.com:443")]
pub struct DestinationError {
    text: String,
    rule: String,
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
            let (host, port) = text.rsplit_once(':').ok_or_else(|| DestinationError { text: text.clone(), rule: rule() })?;
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

impl Destination {
    /// Reads `scheme://host:port`; the port may be left out where the scheme has one.
    pub fn parse(text: &str) -> Result<Self, DestinationError> {
        let refuse = |rule: &str| DestinationError { text: text.to_owned(), rule: rule.to_owned() };
        let (subdomains, plain) = match text.split_once("://*.") {
            Some((scheme, rest)) => (true, format!("{scheme}://{rest}")),
            None => (false, text.to_owned()),
        };
        let url = Url::parse(&plain).map_err(|error| refuse(&error.to_string()))?;
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("it has a path; what is allowed is a whole host"));
        }
        let (scheme, host, port) = canonical(&url).map_err(|rule| refuse(&rule))?;
        if subdomains && url.domain().is_none() {
            return Err(refuse("an address has no subdomains"));
        }
        Ok(Self { scheme, host, subdomains, port })
    }

    fn matches(&self, scheme: &str, host: &str, port: u16) -> bool {
        let host_matches = match self.subdomains {
            true => host.strip_suffix(&self.host).is_some_and(|prefix| prefix.len() > 1 && prefix.ends_with('.')),
            false => host == self.host,
        };
        host_matches && scheme == self.scheme && port == self.port
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let wildcard = if self.subdomains { "*." } else { "" };
        write!(f, "{}://{wildcard}{}:{}", self.scheme, self.host, self.port)
    }
}

/// Scheme, host and port in the one form in which they are compared and dialled.
fn canonical(url: &Url) -> Result<(String, String, u16), String> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the scheme is http or https".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with a user name or password is not sent".into());
    }
    let host = url.host_str().ok_or("it has no host")?.trim_matches(['[', ']']).trim_end_matches('.');
    if host.is_empty() {
        return Err("it has no host".into());
    }
    let port = url.port_or_known_default().ok_or("it has no port")?;
    Ok((url.scheme().to_owned(), host.to_owned(), port))
}

/// What egress saw during a run.
#[derive(Default)]
pub struct Seen {
    /// The host that last answered 429 or 503, and its `Retry-After`.
    unavailable: Option<(String, Option<Duration>)>,
}

/// The host's side of `wasi:http` for one run.
pub struct Hooks {
    policy: Arc<Policy>,
    limits: Arc<Limits>,
    requests: Arc<AtomicUsize>,
    seen: Arc<Mutex<Seen>>,
    traceparent: Option<String>,
}

impl Hooks {
    pub fn new(policy: Arc<Policy>, limits: Arc<Limits>, seen: Arc<Mutex<Seen>>, traceparent: Option<String>) -> Self {
        Self { policy, limits, requests: Arc::new(AtomicUsize::new(0)), seen, traceparent }
    }

    /// The dependency that was unavailable when the guest last called it.
    pub fn unavailable(&self) -> Option<(String, Option<Duration>)> {
        lock(&self.seen).unavailable.clone()
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

type Exchange = (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Exchange, Error>> + Send> {
        let (policy, limits, seen) = (self.policy.clone(), self.limits.clone(), self.seen.clone());
        let allowed = self.requests.fetch_add(1, Ordering::Relaxed) < limits.requests;
        let traceparent = self.traceparent.clone();
        Box::new(async move {
            if !allowed {
                return Err(Error::InternalError(Some(format!("at most {} requests a message", limits.requests))));
            }
            let (request, host) = policy.egress.check(request, &limits, traceparent.as_deref())?;
            let first_byte = options.and_then(|o| o.first_byte_timeout).unwrap_or(limits.first_byte).min(limits.first_byte);
            let response = tokio::time::timeout(first_byte, policy.egress.client.request(request))
                .await
                .map_err(|_| Error::ConnectionReadTimeout)?
                .map_err(|error| send_error(&error))?;
            lock(&seen).unavailable = unavailable(&response).map(|after| (host, after));
            if header_bytes(response.headers()) > limits.header_bytes {
                return Err(Error::HttpResponseHeaderSectionSize(None));
            }
            let limit = limits.response_bytes;
            let response = response.map(|body| {
                Limited::new(body, limit).map_err(move |error| body_error(error, limit)).boxed_unsync()
            });
            let done: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(async { Ok(()) });
            Ok((response, done))
        })
    }
}

impl Egress {
    /// The request in canonical form, if this plugin may send it.
    fn check(
        &self,
        request: http::Request<WasiBody>,
        limits: &Limits,
        traceparent: Option<&str>,
    ) -> Result<(http::Request<WasiBody>, String), Error> {
        let (mut parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string()).map_err(|_| Error::HttpRequestUriInvalid)?;
        let (scheme, host, port) = canonical(&url).map_err(|_| Error::HttpRequestUriInvalid)?;
        if !self.allowed.iter().any(|destination| destination.matches(&scheme, &host, port)) {
            tracing::warn!(%scheme, %host, port, "a handler called a host that it was not granted");
            return Err(Error::HttpRequestDenied);
        }
        if header_bytes(&parts.headers) > limits.header_bytes {
            return Err(Error::HttpRequestHeaderSectionSize(None));
        }
        parts.uri = url.as_str().parse::<Uri>().map_err(|_| Error::HttpRequestUriInvalid)?;
        // The guest's own Host header would name another virtual host than the one that was matched.
        parts.headers.remove(http::header::HOST);
        if let Some(value) = traceparent.and_then(|value| http::HeaderValue::from_str(value).ok()) {
            parts.headers.entry("traceparent").or_insert(value);
        }
        let limit = limits.request_bytes;
        let body = Limited::new(body, limit).map_err(move |error| match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(_) => Error::HttpRequestBodySize(Some(limit as u64)),
        });
        Ok((http::Request::from_parts(parts, body.boxed_unsync()), host))
    }
}

fn header_bytes(headers: &http::HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// Whether the answer says that its server is unavailable, and for how long.
fn unavailable<B>(response: &http::Response<B>) -> Option<Option<Duration>> {
    let status = response.status();
    if status != http::StatusCode::SERVICE_UNAVAILABLE && status != http::StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let after_s = response.headers().get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Some(after_s.map(|seconds: u64| Duration::from_secs(seconds.min(RETRY_AFTER_MAX_S))))
}

fn send_error(error: &hyper_util::client::legacy::Error) -> Error {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(dial) = cause.downcast_ref::<DialError>() {
            return match dial {
                DialError::Prohibited { .. } => Error::DestinationIpProhibited,
                DialError::Dns { .. } => Error::DnsError { rcode: Some(dial.to_string()), info_code: None },
                DialError::Timeout => Error::ConnectionTimeout,
                DialError::Refused(_) => Error::ConnectionRefused,
            };
        }
        source = cause.source();
    }
    if error.is_connect() { Error::TlsProtocolError } else { Error::ConnectionTerminated }
}

fn body_error(error: Box<dyn std::error::Error + Send + Sync>, limit: usize) -> Error {
    match error.downcast::<hyper::Error>() {
        Ok(error) => Error::Hyper(*error),
        Err(_) => Error::HttpResponseBodySize(Some(limit as u64)),
    }
}

/// Resolves a host, checks every address, and dials one that was checked.
#[derive(Clone)]
struct CheckedConnector {
    open_hosts: Arc<HashSet<(String, u16)>>,
}

#[derive(Debug, thiserror::Error)]
enum DialError {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_match_whole_hosts_in_canonical_form() {
        let check = |rule: &str, url: &str, expect: bool| {
            let destination = Destination::parse(rule).unwrap();
            let matches = canonical(&Url::parse(url).unwrap())
                .is_ok_and(|(scheme, host, port)| destination.matches(&scheme, &host, port));
            assert_eq!(matches, expect, "{rule} and {url}");
        };
        check("https://api.example.com:443", "https://api.example.com/x", true);
        check("https://api.example.com", "https://API.EXAMPLE.com.:443/x", true);
        check("https://api.example.com", "http://api.example.com/", false);
        check("https://api.example.com", "https://api.example.com:444/", false);
        check("https://api.example.com", "https://api.example.com.evil.example/", false);
        check("https://api.example.com", "https://user@api.example.com/", false);
        check("https://*.example.com", "https://a.b.example.com/", true);
        check("https://*.example.com", "https://example.com/", false);
        check("https://*.example.com", "https://badexample.com/", false);
        check("http://127.0.0.1:80", "http://0x7f.1/", true);
        check("https://bücher.example", "https://xn--bcher-kva.example/", true);
        for bad in ["ftp://x", "https://", "api.example.com", "https://x/path", "https://u:p@x", "https://*.1.2.3.4"] {
            assert!(Destination::parse(bad).is_err(), "{bad}");
        }
    }
}
