//! Prepared answers to HTTP requests.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use super::sent_request::SentRequest;
use crate::http::{Answer, FaultKind, MAX_RESPONSE_BYTES};

/// What a request gets in a test.
#[derive(Debug, Clone)]
pub struct Reply(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Answer(Answer),
    Refused,
    Broken,
    TimedOut,
}

impl Reply {
    /// An answer with this status and an empty body.
    pub fn status(status: u16) -> Self {
        Self(Kind::Answer(Answer { status, headers: Vec::new(), body: Vec::new() }))
    }

    /// No connection: it was refused.
    pub fn refused() -> Self {
        Self(Kind::Refused)
    }

    /// A connection that broke before the whole answer was there.
    pub fn broken() -> Self {
        Self(Kind::Broken)
    }

    /// No answer within the request's time, which does not pass in the test.
    pub fn timed_out() -> Self {
        Self(Kind::TimedOut)
    }

    /// One more header. Has no meaning without an answer.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Kind::Answer(answer) = &mut self.0 {
            answer.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        }
        self
    }

    /// This body. Has no meaning without an answer.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        if let Kind::Answer(answer) = &mut self.0 {
            answer.body = bytes.into();
        }
        self
    }

    /// This body, as JSON, with its content type.
    ///
    /// # Panics
    ///
    /// When the value has no JSON.
    #[must_use]
    pub fn json(self, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("the test's reply has no JSON");
        self.header("Content-Type", "application/json").body(body)
    }

    pub(super) fn outcome(self, timeout: Duration) -> Result<Answer, FaultKind> {
        match self.0 {
            Kind::Answer(answer) if answer.body.len() > MAX_RESPONSE_BYTES => {
                Err(FaultKind::TooLarge(MAX_RESPONSE_BYTES))
            }
            Kind::Answer(answer) => Ok(answer),
            Kind::Refused => Err(FaultKind::Connect("refused".to_owned())),
            Kind::Broken => Err(FaultKind::Broken("the connection broke".to_owned())),
            Kind::TimedOut => Err(FaultKind::Timeout(timeout)),
        }
    }
}

/// What a test prepared for the requests of one method to one URL.
pub(super) struct Script {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) plan: Plan,
}

pub(super) enum Plan {
    /// For one request; then it is used up.
    Once(Option<Reply>),
    /// For each request.
    Each(Rc<dyn Fn(&SentRequest) -> Reply>),
}

impl Script {
    /// What this request gets, if it is for it.
    pub(super) fn take(&mut self, request: &SentRequest) -> Option<Play> {
        if self.method != request.method || self.url != request.url {
            return None;
        }
        match &mut self.plan {
            Plan::Once(reply) => reply.take().map(Play::Reply),
            Plan::Each(reply) => Some(Play::Closure(Rc::clone(reply))),
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url)
    }
}

/// A reply that is yet to be made.
pub(super) enum Play {
    Reply(Reply),
    Closure(Rc<dyn Fn(&SentRequest) -> Reply>),
}

impl Play {
    pub(super) fn play(self, request: &SentRequest, timeout: Duration) -> Result<Answer, FaultKind> {
        match self {
            Self::Reply(reply) => reply,
            Self::Closure(closure) => closure(request),
        }
        .outcome(timeout)
    }
}
