//! Why a request had no usable answer.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::Url;

/// A request that had no usable answer: which one, and as its source, why.
#[derive(Debug)]
pub struct HttpError {
    request: String,
    fault: HttpFault,
}

impl HttpError {
    pub(crate) fn new(method: &str, url: &Url, kind: FaultKind) -> Self {
        let request = format!("{method} {}", url.without_query());
        Self { request, fault: HttpFault { host: url.host(), kind } }
    }

    /// For a URL that is none, and so has no host.
    pub(crate) fn unsendable(method: &str, reason: String) -> Self {
        let fault = HttpFault { host: String::new(), kind: FaultKind::Unsendable(reason) };
        Self { request: format!("{method} request"), fault }
    }

    /// Why.
    pub fn fault(&self) -> &HttpFault {
        &self.fault
    }

    /// The status, when there was an answer and
    /// [`Response::error_for_status`](super::Response::error_for_status) made an error of it.
    pub fn status(&self) -> Option<u16> {
        match &self.fault.kind {
            FaultKind::Status { status, .. } => Some(*status),
            FaultKind::Connect(_)
            | FaultKind::Timeout(_)
            | FaultKind::Broken(_)
            | FaultKind::TooLarge(_)
            | FaultKind::Unreadable(_)
            | FaultKind::Unsendable(_) => None,
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.request)
    }
}

impl Error for HttpError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.fault)
    }
}

/// Why a request had no usable answer. As the source of an [`HttpError`] it is found however deep
/// the error was wrapped, so that `?` in a handler knows an unavailable host from any other error.
#[derive(Debug)]
pub struct HttpFault {
    host: String,
    kind: FaultKind,
}

impl HttpFault {
    /// The host that was asked, in lower case, without its port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether the host is unavailable, so that asking it again soon is of no use: it answered 429
    /// or 503, or no connection could be made. A connection that broke, or an answer that did not
    /// come in time, is not this: the request itself may be the cause, so it must count as an
    /// attempt.
    pub fn is_unavailable(&self) -> bool {
        match self.kind {
            FaultKind::Status { status, .. } => matches!(status, 429 | 503),
            FaultKind::Connect(_) => true,
            FaultKind::Timeout(_)
            | FaultKind::Broken(_)
            | FaultKind::TooLarge(_)
            | FaultKind::Unreadable(_)
            | FaultKind::Unsendable(_) => false,
        }
    }

    /// The header `Retry-After` of the answer, if it is a number of seconds. A date is left to the
    /// host of the handler, which reads the header too and has a clock.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.kind {
            FaultKind::Status { retry_after, .. } => retry_after,
            FaultKind::Connect(_)
            | FaultKind::Timeout(_)
            | FaultKind::Broken(_)
            | FaultKind::TooLarge(_)
            | FaultKind::Unreadable(_)
            | FaultKind::Unsendable(_) => None,
        }
    }
}

impl fmt::Display for HttpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FaultKind::Status { status, .. } => write!(f, "answered {status}"),
            FaultKind::Connect(reason) => write!(f, "no connection: {reason}"),
            FaultKind::Timeout(after) => write!(f, "no whole answer within {} ms", after.as_millis()),
            FaultKind::Broken(reason) | FaultKind::Unsendable(reason) => f.write_str(reason),
            FaultKind::TooLarge(limit) => write!(f, "the answer's body is over the limit of {limit} bytes"),
            FaultKind::Unreadable(reason) => write!(f, "the answer's body: {reason}"),
        }
    }
}

impl Error for HttpFault {}

/// The kinds of fault.
#[derive(Debug, Clone)]
pub(crate) enum FaultKind {
    /// The status was not one of success.
    Status { status: u16, retry_after: Option<Duration> },
    /// No connection could be made, so the request was not seen.
    Connect(String),
    /// The time was up.
    Timeout(Duration),
    /// Anything that broke between the connection and the end of the answer, or a refusal by the
    /// host.
    Broken(String),
    /// The body was larger than this.
    TooLarge(usize),
    /// The body was not what was asked for.
    Unreadable(String),
    /// The request could not be sent as it was.
    Unsendable(String),
}
