//! The limits on outbound HTTP, as errors that say which one was met.

use std::time::Duration;

use wasmtime_wasi_http::{Error, RequestOptions};

use crate::config::Limits;

/// A limit that a request met. The words are for the handler, whose failure has them as its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    #[error("the message has made {0} requests, the most it may (limits.requests)")]
    Requests(usize),
    #[error(
        "the message has {0} requests open, the most at once (limits.requests_at_once); read or drop an answer first"
    )]
    RequestsAtOnce(usize),
    #[error("the URL is over {0} bytes (limits.url_bytes)")]
    UrlBytes(usize),
    #[error("the {0} has more than {1} headers (limits.headers)")]
    Headers(Side, usize),
    #[error("the {0}'s headers are over {1} bytes (limits.header_bytes)")]
    HeaderBytes(Side, usize),
    #[error("the answer's headers are far over {0} headers or {1} bytes (limits.headers, limits.header_bytes)")]
    AnswerHead(usize, usize),
    #[error("the request's body is over {0} bytes (limits.request_bytes)")]
    RequestBytes(usize),
    #[error("the request's body is over {0} bytes, the most that is signed (limits.signed_bytes)")]
    SignedBytes(usize),
    #[error(
        "the bodies of requests that are signed had no room for this one, {0} bytes in all (limits.signed_total_bytes)"
    )]
    SignedTotalBytes(usize),
    #[error("the answer's body is over {0} bytes (limits.response_bytes)")]
    ResponseBytes(usize),
    #[error("no answer began within {0}")]
    FirstByte(Bound),
    #[error("the answer paused for {0}")]
    BetweenBytes(Bound),
    #[error("no whole answer within {0}")]
    Total(Bound),
}

impl From<Exceeded> for Error {
    /// `wasi:http` has no code for most of these, and none that names the limit: so they are all
    /// said in words.
    fn from(exceeded: Exceeded) -> Self {
        Self::InternalError(Some(exceeded.to_string()))
    }
}

/// Whose headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Request,
    Answer,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Request => "request",
            Self::Answer => "answer",
        })
    }
}

/// A bound on time, with who set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    pub time: Duration,
    source: &'static str,
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} ({})", self.time, self.source)
    }
}

impl Bound {
    /// The handler's own bound where it is the shorter one.
    fn shorter(time: Duration, source: &'static str, own: Option<Duration>) -> Self {
        match own {
            Some(own) if own < time => Self { time: own, source: "the handler's own timeout" },
            Some(_) | None => Self { time, source },
        }
    }
}

/// The bounds on one request's time.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub first_byte: Bound,
    pub between_bytes: Bound,
    pub total: Bound,
}

impl Bounds {
    pub fn of(limits: &Limits, options: Option<RequestOptions>) -> Self {
        let own = options.unwrap_or_default();
        Self {
            first_byte: Bound::shorter(limits.first_byte, "limits.first_byte", own.first_byte_timeout),
            between_bytes: Bound::shorter(limits.between_bytes, "limits.between_bytes", own.between_bytes_timeout),
            total: Bound::shorter(limits.request_time, "limits.request_time", None),
        }
    }
}

/// Whether the headers are within their limits.
pub fn check_headers(side: Side, headers: &http::HeaderMap, limits: &Limits) -> Result<(), Exceeded> {
    if headers.len() > limits.headers {
        return Err(Exceeded::Headers(side, limits.headers));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > limits.header_bytes { Err(Exceeded::HeaderBytes(side, limits.header_bytes)) } else { Ok(()) }
}
