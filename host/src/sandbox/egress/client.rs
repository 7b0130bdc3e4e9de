//! One plugin's way out: what it may call, and the sending.

use std::sync::{Arc, OnceLock};

use http::Method;
use hyper_util::client::legacy::Client;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi_http::{Error, WasiBody};
use wasq_core::aws::identity::NoIdentity;
use wasq_core::clock;

use super::body::{RequestBody, ResponseBody};
use super::connect::Connector;
use super::destination::{Destination, Target};
use super::errors::send_error;
use super::exceeded::{Bounds, Exceeded, Side, check_headers};
use super::headers::{Headers, NoSecret};
use super::sign::{SignedDestination, Signing, Unsigned};
use super::traffic::Traffic;
use crate::config::Limits;

pub type HttpClient = Client<Connector, RequestBody>;

/// One plugin's way out, with its own pool of connections.
pub struct Egress {
    allowed: Vec<Destination>,
    headers: Headers,
    signing: Signing,
    client: HttpClient,
}

impl std::fmt::Debug for Egress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.allowed.iter().map(ToString::to_string)).finish()
    }
}

/// Why a request came to no answer.
pub enum Unsent {
    NoSecret(NoSecret),
    /// The host cannot sign it now.
    NoIdentity(NoIdentity),
    Http(Error),
}

impl<E: Into<Error>> From<E> for Unsent {
    fn from(error: E) -> Self {
        Self::Http(error.into())
    }
}

impl Egress {
    pub fn new(allowed: Vec<Destination>, headers: Headers, signing: Signing, client: HttpClient) -> Self {
        Self { allowed, headers, signing, client }
    }

    /// What the plugin may call.
    pub fn allowed(&self) -> &[Destination] {
        &self.allowed
    }

    /// The destinations of headers that are never sent: the plugin may not call there.
    pub fn unused_headers(&self) -> impl Iterator<Item = &Destination> {
        self.headers.unused(&self.allowed)
    }

    /// The destinations whose requests are signed.
    pub fn signed(&self) -> impl Iterator<Item = &Destination> {
        self.signing.destinations()
    }

    /// The keys of the config by which nothing is ever signed: the plugin may not call there.
    pub fn unused_signing(&self) -> impl Iterator<Item = &str> {
        self.signing.unused(&self.allowed)
    }

    /// Sends a request, if this plugin may, and gives the host that was asked with its answer.
    pub async fn send(
        &self,
        request: http::Request<WasiBody>,
        limits: &Limits,
        bounds: Bounds,
        traceparent: Option<&str>,
        open: OwnedSemaphorePermit,
        traffic: Arc<Traffic>,
    ) -> Result<(String, http::Response<ResponseBody>), Unsent> {
        let end = clock::now() + bounds.total.time;
        let (mut request, target, signed) = self.check(request, limits)?;
        if let Some(value) = traceparent.and_then(|value| http::HeaderValue::from_str(value).ok()) {
            request.headers_mut().entry("traceparent").or_insert(value);
        }
        let headers = request.headers_mut();
        let set = self.headers.set(&target.scheme, &target.host, target.port, headers).await;
        set.map_err(Unsent::NoSecret)?;
        let over = Arc::new(OnceLock::new());
        let (wait, too_late) = match bounds.first_byte.time < bounds.total.time {
            true => (bounds.first_byte.time, Exceeded::FirstByte(bounds.first_byte)),
            false => (bounds.total.time, Exceeded::Total(bounds.total)),
        };
        let until = clock::now() + wait;
        let sending = async {
            let request = match signed {
                Some(signed) => signed.sign(request, limits, until).await.map_err(|error| match error {
                    Unsigned::NoIdentity(error) => Unsent::NoIdentity(error),
                    Unsigned::Http(error) => Unsent::Http(error),
                })?,
                None => request,
            };
            let request =
                request.map(|body| RequestBody::new(body, limits.request_bytes, over.clone(), traffic.clone()));
            self.client.request(request).await.map_err(|error| match over.get() {
                Some(exceeded) => Unsent::Http((*exceeded).into()),
                None => Unsent::Http(send_error(&error, limits)),
            })
        };
        let response = tokio::time::timeout(wait, sending).await.map_err(|_| too_late)??;
        check_headers(Side::Answer, response.headers(), limits)?;
        let (parts, body) = response.into_parts();
        let body = ResponseBody::new(body, limits.response_bytes, bounds, end, over, open, traffic)?;
        Ok((target.host, http::Response::from_parts(parts, body)))
    }

    /// The request in canonical form, if this plugin may send it, and how it is signed, if it is.
    fn check(
        &self,
        request: http::Request<WasiBody>,
        limits: &Limits,
    ) -> Result<(http::Request<WasiBody>, Target, Option<&SignedDestination>), Error> {
        let (mut parts, body) = request.into_parts();
        // CONNECT would make a tunnel, and the answer to TRACE is the request, with the operator's
        // headers in it.
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
        // The guest's own Host header would name another virtual host than the one that was
        // matched.
        parts.headers.remove(http::header::HOST);
        check_headers(Side::Request, &parts.headers, limits)?;
        let of_guest = std::mem::replace(&mut parts.uri, target.uri.clone());
        let signed = self.signing.of(&target);
        if let Some(signed) = signed {
            signed.check(&of_guest, &parts).map_err(|refused| {
                tracing::warn!(%refused, "a handler asked for a signature that it was not granted");
                Error::InternalError(Some(refused.to_string()))
            })?;
        }
        Ok((http::Request::from_parts(parts, body), target, signed))
    }
}
