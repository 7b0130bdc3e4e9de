//! What a handler asked of the host.

use serde::de::DeserializeOwned;

use super::{Backend, Record};
use crate::http::Request;
use crate::outbox::NewMessage;

/// What a handler asked of the host so far. Everything in it is in the order in which it happened.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    backend: &'a Backend,
}

impl<'a> Recorded<'a> {
    pub(super) fn new(backend: &'a Backend) -> Self {
        Self { backend }
    }

    /// The HTTP requests.
    pub fn requests(&self) -> Vec<SentRequest> {
        self.backend.requests.borrow().clone()
    }

    /// The messages in the outbox.
    pub fn sent(&self) -> Vec<NewMessage> {
        self.backend.sent.borrow().clone()
    }

    /// The names of the steps that are finished, sorted; those that the test gave the context too.
    pub fn steps(&self) -> Vec<String> {
        self.backend.steps.borrow().keys().cloned().collect()
    }

    /// What the step `name` recorded.
    ///
    /// # Panics
    ///
    /// When that is not a `T`.
    pub fn step<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let steps = self.backend.steps.borrow();
        steps.get(name).map(|bytes| serde_json::from_slice(bytes).expect("the step recorded another type"))
    }

    /// The lines of the log, of all levels: those written on this thread after this context was made and before
    /// another was, unless the test has installed a logger or subscriber of its own.
    pub fn log(&self) -> Vec<Record> {
        self.backend.log.borrow().clone()
    }
}

/// An HTTP request as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SentRequest {
    /// The method.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// The headers, as the handler wrote them.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl SentRequest {
    pub(super) fn new(request: &Request) -> Self {
        Self {
            method: request.method.clone(),
            url: request.url.whole(),
            headers: request.headers.clone(),
            body: request.body.clone(),
        }
    }

    /// The first header of this name, in any case, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(candidate, _)| candidate.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// The body, read as JSON.
    ///
    /// # Panics
    ///
    /// When it is not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).expect("the request's body is not this JSON")
    }
}
