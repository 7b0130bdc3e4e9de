//! An HTTP request of a handler, as a test looks at it.

use serde::de::DeserializeOwned;

use crate::http::Request;

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
