//! HTTP to the hosts that the manifest's `allowed_outbound_hosts` names.
//!
//! ```
//! # use wasq_sdk::{Context, Failure, test::Reply};
//! # #[derive(serde::Deserialize)] struct Charge { id: String }
//! fn charge(cx: &Context) -> Result<String, Failure> {
//!     let charge: Charge = cx
//!         .http()
//!         .post("https://pay.example/charges")
//!         .idempotency_key()
//!         .json(&serde_json::json!({"cents": 1299}))
//!         .send()?
//!         .error_for_status()?
//!         .json()?;
//!     Ok(charge.id)
//! }
//! # let reply = Reply::status(200).json(&serde_json::json!({"id": "ch_1"}));
//! # let cx = Context::test().reply("POST", "https://pay.example/charges", reply).build();
//! # assert_eq!(charge(&cx).unwrap(), "ch_1");
//! ```
//!
//! The host follows no redirects. It allows only the destinations that the operator grants: what
//! the manifest asks for, or the list that replaces it. It has limits of its own on requests, bytes
//! and time.

mod error;
mod response;
mod url;
#[cfg(target_arch = "wasm32")]
pub(crate) mod wasi;

use std::time::Duration;

use serde::Serialize;

use crate::Context;
pub(crate) use error::FaultKind;
pub use error::{HttpError, HttpFault};
pub use response::Response;
pub(crate) use url::Url;

/// How long an answer may take when [`RequestBuilder::timeout`] does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The most that is read of an answer's body. A longer one is an error. It leaves room for a few
/// copies in the 64 MiB that a handler has by default.
pub const MAX_RESPONSE_BYTES: usize = 16 * 1024 * 1024;

/// What is kept back of the handler's own time, so that it can still say which host did not answer.
const TIME_TO_REPORT: Duration = Duration::from_millis(250);

/// Begins requests; [`Context::http`] gives one.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    cx: &'a Context,
}

impl<'a> Client<'a> {
    pub(crate) fn new(cx: &'a Context) -> Self {
        Self { cx }
    }

    /// A GET of this URL.
    pub fn get(self, url: impl AsRef<str>) -> RequestBuilder<'a> {
        self.method("GET", url)
    }

    /// A POST to this URL.
    pub fn post(self, url: impl AsRef<str>) -> RequestBuilder<'a> {
        self.method("POST", url)
    }

    /// A PUT to this URL.
    pub fn put(self, url: impl AsRef<str>) -> RequestBuilder<'a> {
        self.method("PUT", url)
    }

    /// A DELETE of this URL.
    pub fn delete(self, url: impl AsRef<str>) -> RequestBuilder<'a> {
        self.method("DELETE", url)
    }

    /// A request of any method, such as `PATCH`. What is wrong with method or URL,
    /// [`RequestBuilder::send`] says.
    pub fn method(self, method: &str, url: impl AsRef<str>) -> RequestBuilder<'a> {
        let url = url.as_ref();
        RequestBuilder {
            cx: self.cx,
            method: method.to_owned(),
            url: Url::parse(url),
            headers: Vec::new(),
            body: Ok(Vec::new()),
            timeout: DEFAULT_TIMEOUT,
        }
    }
}

/// A request in the making.
#[derive(Debug)]
#[must_use = "nothing is sent until `send`"]
pub struct RequestBuilder<'a> {
    cx: &'a Context,
    method: String,
    url: Result<Url, String>,
    headers: Vec<(String, Vec<u8>)>,
    body: Result<Vec<u8>, String>,
    timeout: Duration,
}

impl RequestBuilder<'_> {
    /// One more header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// This body, as JSON, with its content type.
    pub fn json(mut self, value: &impl Serialize) -> Self {
        self.body = serde_json::to_vec(value).map_err(|error| format!("the body has no JSON: {error}"));
        self.header("Content-Type", "application/json")
    }

    /// This body. Its content type is for [`RequestBuilder::header`] to say.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = Ok(bytes.into());
        self
    }

    /// How long everything may take, from the connection to the last byte of the answer; without it
    /// [`DEFAULT_TIMEOUT`]. Never longer than the handler's own time, less a moment in which it can
    /// say so.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The header `Idempotency-Key`, with [`Context::idempotency_key`]: an API that knows it does
    /// the same request once.
    pub fn idempotency_key(self) -> Self {
        let key = self.cx.idempotency_key();
        self.header("Idempotency-Key", key)
    }

    /// The header `Idempotency-Key` for one of several effects of the same message: the message's
    /// key, a colon, and this name.
    pub fn idempotency_key_for(self, effect: &str) -> Self {
        let key = format!("{}:{effect}", self.cx.idempotency_key());
        self.header("Idempotency-Key", key)
    }

    /// Sends the request and reads the answer, whatever its status.
    ///
    /// # Errors
    ///
    /// When there is no answer, or none in time, or one larger than [`MAX_RESPONSE_BYTES`]; when
    /// method, URL, headers or body cannot be sent; when the host does not allow the request.
    pub fn send(self) -> Result<Response, HttpError> {
        let url = match self.url {
            Ok(url) => url,
            Err(reason) => return Err(HttpError::unsendable(&self.method, reason)),
        };
        let body = match self.body {
            Ok(body) => body,
            Err(reason) => return Err(HttpError::new(&self.method, &url, FaultKind::Unsendable(reason))),
        };
        let timeout = self.timeout.min(self.cx.remaining().saturating_sub(TIME_TO_REPORT));
        let request = Request { method: self.method, url, headers: self.headers, body, timeout };
        match self.cx.backend().http(&request) {
            Ok(answer) => Ok(Response::new(request.method, request.url, answer)),
            Err(fault) => Err(HttpError::new(&request.method, &request.url, fault)),
        }
    }
}

/// A request that can be sent.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout: Duration,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}
