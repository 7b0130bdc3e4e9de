//! Outbound HTTP of guests: what they may reach, and the sending.
//!
//! A request's URL is canonicalised, matched against the plugin's allow-list, its host resolved, every address checked,
//! and the connection made to the very addresses that were checked. The operator's headers are set last, outside of the
//! guest's sight. Redirects are the guest's to follow.

mod body;
mod destination;
mod dial;
mod exceeded;
mod headers;
mod resolve;
mod secrets;
mod unavailable;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use http::Method;
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};
use wasq_core::clock;

pub use destination::{Destination, DestinationError};
pub use dial::{DialError, Dialer, EgressError};
pub use headers::secrets_in;
pub use secrets::{Fetcher, Secrets};

use body::{RequestBody, ResponseBody};
use destination::Target;
use dial::Connector;
use exceeded::{Bounds, Exceeded, Side, check_headers};
use headers::{Headers, NoSecret};
use unavailable::unavailable;

use super::Policy;
use crate::config::Limits;
use crate::telemetry::spans::Span;

type HttpClient = Client<Connector, RequestBody>;

/// One plugin's way out, with its own pool of connections.
pub struct Egress {
    allowed: Vec<Destination>,
    headers: Headers,
    client: HttpClient,
}

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.allowed.iter().map(ToString::to_string)).finish()
    }
}

/// What egress saw during a run.
#[derive(Default)]
pub struct Seen {
    /// The host that last answered 429 or 503, and its `Retry-After`; or the secret for want of which the last request was not sent.
    unavailable: Option<(String, Option<Duration>)>,
}

/// The host's side of `wasi:http` for one run.
pub struct Hooks {
    policy: Arc<Policy>,
    limits: Arc<Limits>,
    requests: usize,
    at_once: Arc<Semaphore>,
    seen: Arc<Mutex<Seen>>,
    trace: Trace,
}

/// Which trace a run's requests belong to.
#[derive(Clone, Default)]
pub struct Trace {
    /// The run's own span.
    pub span: Span,
    /// What the message came with: it goes on where there is no span.
    pub traceparent: Option<String>,
}

impl Hooks {
    pub fn new(policy: Arc<Policy>, limits: Arc<Limits>, seen: Arc<Mutex<Seen>>, trace: Trace) -> Self {
        let at_once = Arc::new(Semaphore::new(limits.requests_at_once));
        Self { policy, limits, requests: 0, at_once, seen, trace }
    }

    /// The dependency that was unavailable when the guest last called it.
    pub fn unavailable(&self) -> Option<(String, Option<Duration>)> {
        lock(&self.seen).unavailable.clone()
    }

    /// One more request, if the message may make it.
    fn begin(&mut self) -> Result<OwnedSemaphorePermit, Exceeded> {
        if self.requests >= self.limits.requests {
            return Err(Exceeded::Requests(self.limits.requests));
        }
        self.requests += 1;
        let at_once = self.limits.requests_at_once;
        self.at_once.clone().try_acquire_owned().map_err(|_| Exceeded::RequestsAtOnce(at_once))
    }
}

fn answered(call: &Span, status: http::StatusCode) {
    call.set("http.response.status_code", i64::from(status.as_u16()));
    if status.is_client_error() || status.is_server_error() {
        call.failed(status.as_str());
    }
}

/// An error's kind. What it says besides may name more than a trace should.
fn class(error: &Error) -> String {
    format!("{error:?}").chars().take_while(|c| c.is_alphanumeric()).collect()
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
        let open = self.begin();
        let (policy, limits, seen) = (self.policy.clone(), self.limits.clone(), self.seen.clone());
        let call = self.trace.span.call(request.method(), request.uri());
        let traceparent = call.traceparent().or_else(|| self.trace.traceparent.clone());
        Box::new(async move {
            let bounds = Bounds::of(&limits, options);
            let sent = match open {
                Ok(open) => policy.egress.send(request, &limits, bounds, traceparent.as_deref(), open).await,
                Err(exceeded) => Err(Unsent::Http(exceeded.into())),
            };
            let sent = sent.map_err(|unsent| match unsent {
                Unsent::NoSecret(secret) => {
                    lock(&seen).unavailable = Some((secret.dependency(), None));
                    Error::InternalError(Some(secret.to_string()))
                }
                Unsent::Http(error) => error,
            });
            match &sent {
                Ok((_, response)) => answered(&call, response.status()),
                Err(error) => call.failed(&class(error)),
            }
            let (host, response) = sent?;
            lock(&seen).unavailable = unavailable(&response, clock::unix_ms()).map(|after| (host, after));
            let done: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(async { Ok(()) });
            Ok((response.map(BodyExt::boxed_unsync), done))
        })
    }
}

/// Why a request came to no answer.
enum Unsent {
    NoSecret(NoSecret),
    Http(Error),
}

impl<E: Into<Error>> From<E> for Unsent {
    fn from(error: E) -> Self {
        Self::Http(error.into())
    }
}

impl Egress {
    /// The destinations of headers that are never sent: the plugin may not call there.
    pub fn unused_headers(&self) -> impl Iterator<Item = &Destination> {
        self.headers.unused(&self.allowed)
    }

    /// Sends a request, if this plugin may, and gives the host that was asked with its answer.
    async fn send(
        &self,
        request: http::Request<WasiBody>,
        limits: &Limits,
        bounds: Bounds,
        traceparent: Option<&str>,
        open: OwnedSemaphorePermit,
    ) -> Result<(String, http::Response<ResponseBody>), Unsent> {
        let end = clock::now() + bounds.total.time;
        let (mut request, target) = self.check(request, limits)?;
        if let Some(value) = traceparent.and_then(|value| http::HeaderValue::from_str(value).ok()) {
            request.headers_mut().entry("traceparent").or_insert(value);
        }
        let headers = request.headers_mut();
        let set = self.headers.set(&target.scheme, &target.host, target.port, headers).await;
        set.map_err(Unsent::NoSecret)?;
        let over = Arc::new(OnceLock::new());
        let request = request.map(|body| RequestBody::new(body, limits.request_bytes, over.clone()));
        let (wait, too_late) = match bounds.first_byte.time < bounds.total.time {
            true => (bounds.first_byte.time, Exceeded::FirstByte(bounds.first_byte)),
            false => (bounds.total.time, Exceeded::Total(bounds.total)),
        };
        let response = tokio::time::timeout(wait, self.client.request(request)).await.map_err(|_| too_late)?;
        let response = response.map_err(|error| match over.get() {
            Some(exceeded) => (*exceeded).into(),
            None => send_error(&error, limits),
        })?;
        check_headers(Side::Answer, response.headers(), limits)?;
        let (parts, body) = response.into_parts();
        let body = ResponseBody::new(body, limits.response_bytes, bounds, end, over, open)?;
        Ok((target.host, http::Response::from_parts(parts, body)))
    }

    /// The request in canonical form, if this plugin may send it.
    fn check(
        &self,
        request: http::Request<WasiBody>,
        limits: &Limits,
    ) -> Result<(http::Request<WasiBody>, Target), Error> {
        let (mut parts, body) = request.into_parts();
        // CONNECT would make a tunnel, and the answer to TRACE is the request, with the operator's headers in it.
        if parts.method == Method::CONNECT || parts.method == Method::TRACE {
            return Err(Error::HttpRequestMethodInvalid);
        }
        let url = parts.uri.to_string();
        if url.len() > limits.url_bytes {
            return Err(Exceeded::UrlBytes(limits.url_bytes).into());
        }
        let target = Target::parse(&url).map_err(|_| Error::HttpRequestUriInvalid)?;
        let (scheme, host, port) = (&target.scheme, &target.host, target.port);
        if !self.allowed.iter().any(|destination| destination.matches(scheme, host, port)) {
            tracing::warn!(%scheme, %host, port, "a handler called a host that it was not granted");
            return Err(Error::HttpRequestDenied);
        }
        // The guest's own Host header would name another virtual host than the one that was matched.
        parts.headers.remove(http::header::HOST);
        check_headers(Side::Request, &parts.headers, limits)?;
        parts.uri = target.uri.clone();
        Ok((http::Request::from_parts(parts, body), target))
    }
}

/// What stopped a request on its way, as far as its causes say.
fn send_error(error: &hyper_util::client::legacy::Error, limits: &Limits) -> Error {
    if let Some(dial) = cause::<DialError>(error) {
        return match dial {
            // Its own code has no words, and the operator is to learn which setting is meant.
            DialError::Prohibited { .. } => Error::InternalError(Some(dial.to_string())),
            DialError::Dns { .. } => Error::DnsError { rcode: Some(dial.to_string()), info_code: None },
            DialError::Timeout(_) => Error::ConnectionTimeout,
            DialError::Refused(_) => Error::ConnectionRefused,
        };
    }
    if let Some(tls) = cause::<rustls::Error>(error) {
        return Error::InternalError(Some(format!("no TLS connection: {tls}")));
    }
    match cause::<hyper::Error>(error) {
        Some(http) if http.is_parse_too_large() => Exceeded::AnswerHead(limits.headers, limits.header_bytes).into(),
        Some(http) if cause::<std::io::Error>(http).is_none() && !ended(http) => {
            Error::InternalError(Some(format!("no answer: {}", last(http))))
        }
        Some(_) | None if error.is_connect() => Error::TlsProtocolError,
        Some(_) | None => Error::ConnectionTerminated,
    }
}

/// Whether the connection is gone and nothing more is known.
fn ended(error: &hyper::Error) -> bool {
    error.is_incomplete_message() || error.is_closed() || error.is_canceled()
}

/// The innermost cause, which says the most.
fn last<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error)
}

/// The first cause of this kind, those inside of I/O errors included.
fn cause<'a, E: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
