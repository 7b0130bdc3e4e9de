//! Outbound HTTP of guests: what they may reach, and the sending.
//!
//! A request's URL is canonicalised, matched against the plugin's allow-list, its host resolved, every address checked,
//! and the connection made to the very addresses that were checked. Redirects are the guest's to follow.

mod destination;
mod dial;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Uri;
use http_body_util::{BodyExt, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use url::Url;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::Policy;
use crate::config::Limits;
use destination::canonical;
pub use destination::{Destination, DestinationError};
pub use dial::Dialer;
use dial::{CheckedConnector, DialError};

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
            let first_byte =
                options.and_then(|o| o.first_byte_timeout).unwrap_or(limits.first_byte).min(limits.first_byte);
            let response = tokio::time::timeout(first_byte, policy.egress.client.request(request))
                .await
                .map_err(|_| Error::ConnectionReadTimeout)?
                .map_err(|error| send_error(&error))?;
            lock(&seen).unavailable = unavailable(&response).map(|after| (host, after));
            if header_bytes(response.headers()) > limits.header_bytes {
                return Err(Error::HttpResponseHeaderSectionSize(None));
            }
            let limit = limits.response_bytes;
            let response = response
                .map(|body| Limited::new(body, limit).map_err(move |error| body_error(error, limit)).boxed_unsync());
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
