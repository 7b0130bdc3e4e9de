//! The host's side of `wasi:http` for one run: its limits, its spans, and what it saw.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};
use wasq_core::clock;

use super::client::{Egress, Unsent};
use super::exceeded::{Bounds, Exceeded};
use super::traffic::Traffic;
use super::unavailable::unavailable;
use crate::config::Limits;
use crate::telemetry::spans::Span;
use crate::telemetry::stats::Line;

/// What egress saw during a run.
#[derive(Default)]
pub struct Seen {
    /// The host that last answered 429 or 503, and its `Retry-After`; the host to which the last
    /// request found no connection; or the secret, role or credentials for want of which the last
    /// request was not sent.
    unavailable: Option<(String, Option<Duration>)>,
}

/// The host's side of `wasi:http` for one run.
pub struct Hooks {
    pub(super) egress: Arc<Egress>,
    limits: Arc<Limits>,
    requests: usize,
    at_once: Arc<Semaphore>,
    seen: Arc<Mutex<Seen>>,
    trace: Trace,
    line: Arc<Line>,
    /// None before the first request.
    traffic: Option<Arc<Traffic>>,
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
    pub fn new(
        egress: Arc<Egress>,
        limits: Arc<Limits>,
        seen: Arc<Mutex<Seen>>,
        trace: Trace,
        line: Arc<Line>,
    ) -> Self {
        let at_once = Arc::new(Semaphore::new(limits.requests_at_once));
        Self { egress, limits, requests: 0, at_once, seen, trace, line, traffic: None }
    }

    /// How many requests the guest has made.
    pub fn requests(&self) -> u32 {
        self.requests as u32
    }

    /// Bytes of the bodies of its requests and of their answers, as far as they have passed.
    pub fn bytes(&self) -> (u64, u64) {
        self.traffic.as_ref().map_or((0, 0), |traffic| traffic.bytes())
    }

    /// The dependency that was unavailable when the guest last called it.
    pub fn unavailable(&self) -> Option<(String, Option<Duration>)> {
        self.seen.lock().unavailable.clone()
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

/// Whether the request was never on its way, because its host could not be reached.
fn no_connection(error: &Error) -> bool {
    matches!(
        error,
        Error::DnsTimeout
            | Error::DnsError { .. }
            | Error::ConnectionRefused
            | Error::ConnectionTimeout
            | Error::DestinationNotFound
            | Error::DestinationUnavailable
            | Error::DestinationIpUnroutable
    )
}

/// An error's kind. What it says besides may name more than a trace should.
fn class(error: &Error) -> String {
    format!("{error:?}").chars().take_while(|c| c.is_alphanumeric()).collect()
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
        let (egress, limits, seen) = (self.egress.clone(), self.limits.clone(), self.seen.clone());
        let traffic = self.traffic.get_or_insert_with(|| Arc::new(Traffic::of(self.line.clone()))).clone();
        let call = self.trace.span.call(request.method(), request.uri());
        let traceparent = call.traceparent().or_else(|| self.trace.traceparent.clone());
        Box::new(async move {
            let bounds = Bounds::of(&limits, options);
            let dependency = request.uri().host().unwrap_or_default().to_ascii_lowercase();
            let sent = match open {
                Ok(open) => egress.send(request, &limits, bounds, traceparent.as_deref(), open, traffic).await,
                Err(exceeded) => Err(Unsent::Http(exceeded.into())),
            };
            let sent = sent.map_err(|unsent| match unsent {
                Unsent::NoSecret(secret) => {
                    seen.lock().unavailable = Some((secret.dependency(), None));
                    Error::InternalError(Some(secret.to_string()))
                }
                Unsent::NoIdentity(missing) => {
                    tracing::warn!(%missing, "a handler's request was not signed");
                    let dependency = missing.dependency();
                    let words = format!("the host cannot sign this request without {dependency}; its log says why");
                    seen.lock().unavailable = Some((dependency, None));
                    Error::InternalError(Some(words))
                }
                Unsent::Http(error) => {
                    seen.lock().unavailable = no_connection(&error).then_some((dependency, None));
                    error
                }
            });
            match &sent {
                Ok((_, response)) => answered(&call, response.status()),
                Err(error) => call.failed(&class(error)),
            }
            let (host, response) = sent?;
            seen.lock().unavailable = unavailable(&response, clock::unix_ms()).map(|after| (host, after));
            let done: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(async { Ok(()) });
            Ok((response.map(BodyExt::boxed_unsync), done))
        })
    }
}
