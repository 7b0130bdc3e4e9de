//! The answer to a request.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{Answer, FaultKind, HttpError, Url};
use crate::decode;

/// The answer to a request, its body read.
#[derive(Debug, Clone)]
pub struct Response {
    method: String,
    url: Url,
    answer: Answer,
}

impl Response {
    pub(crate) fn new(method: String, url: Url, answer: Answer) -> Self {
        Self { method, url, answer }
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.answer.status
    }

    /// The first header of this name, in any case, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.answer.headers.iter().find(|(candidate, _)| candidate.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// The body.
    pub fn bytes(&self) -> &[u8] {
        &self.answer.body
    }

    /// The body, moved out.
    pub fn into_bytes(self) -> Vec<u8> {
        self.answer.body
    }

    /// The body, as text.
    ///
    /// # Errors
    ///
    /// When it is not UTF-8.
    pub fn text(&self) -> Result<&str, HttpError> {
        std::str::from_utf8(&self.answer.body).map_err(|_| self.error(FaultKind::Unreadable("not UTF-8".to_owned())))
    }

    /// The body, read as JSON.
    ///
    /// # Errors
    ///
    /// When it does not fit: the error names the field by its path, never what it held.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        decode::json(&self.answer.body).map_err(|fault| self.error(FaultKind::Unreadable(fault)))
    }

    /// The answer itself, when its status is one of success.
    ///
    /// # Errors
    ///
    /// When the status is not 2xx. `?` in a handler makes 429 and 503 a
    /// [`Failure::Unavailable`](crate::Failure::Unavailable) of this host, and all others a
    /// [`Failure::Retry`](crate::Failure::Retry). A handler that knows better looks at
    /// [`Response::status`] first.
    pub fn error_for_status(self) -> Result<Self, HttpError> {
        match self.status() {
            200..=299 => Ok(self),
            status => Err(self.error(FaultKind::Status { status, retry_after: self.retry_after() })),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        self.header("Retry-After")?.trim().parse().ok().map(Duration::from_secs)
    }

    fn error(&self, fault: FaultKind) -> HttpError {
        HttpError::new(&self.method, &self.url, fault)
    }
}
