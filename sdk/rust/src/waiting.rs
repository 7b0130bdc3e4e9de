//! Waiting for an answer from outside.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::{Failure, Outcome};

/// Where a wait stands; [`Context::wait_for`](crate::Context::wait_for) says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// Nobody has answered yet.
    Pending(Pending),
    /// The body of the callback.
    Answered(Vec<u8>),
    /// The time is over, and no answer has come.
    TimedOut,
}

/// A wait for an answer that has not come yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the handler waits only if it ends with `outcome`"]
pub struct Pending {
    token: String,
    timeout: Duration,
}

impl Pending {
    pub(crate) fn new(token: String, timeout: Duration) -> Self {
        Self { token, timeout }
    }

    /// Whoever has this token may answer, once: with `POST /v1/callbacks/TOKEN` on the host's
    /// ingress port. Each attempt has another token, and those of earlier attempts stay good.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// How the handler ends, to wait: it counts no attempt, and the message comes back with the
    /// answer, or when the time is over.
    pub fn outcome(self) -> Outcome {
        Outcome::snooze(self.timeout)
    }
}

impl Waiting {
    /// The answer read as JSON; none where there is none.
    ///
    /// # Errors
    ///
    /// A [`Failure::Reject`] when the answer does not fit.
    pub fn json<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        let Self::Answered(body) = self else { return Ok(None) };
        let value = serde_json::from_slice(body);
        value.map(Some).map_err(|error| Failure::reject(format!("the answer does not fit: {error}")))
    }
}
