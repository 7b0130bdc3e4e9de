//! The ways in which a message's work needs no further attempt.

use std::time::Duration;

use serde::Serialize;

use crate::Failure;

/// The work needs no further attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done. The bytes, if any, are kept in the ledger with the completion.
    Done(Option<Vec<u8>>),
    /// Not worth doing, for this reason: recorded, then deleted.
    Discard(String),
    /// Not yet: delivered again after this time, in whole milliseconds, without counting an
    /// attempt.
    Snooze(Duration),
}

impl Outcome {
    /// Done, with nothing to keep. What a handler that gives `()` says.
    pub fn done() -> Self {
        Self::Done(None)
    }

    /// Done, and these bytes are its result. The host keeps at most `limits.result_bytes`, 4 KiB by
    /// default; more is a failure, as a retry.
    pub fn result(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Done(Some(bytes.into()))
    }

    /// Done, and this value, as JSON, is its result. The limit of [`Outcome::result`] holds.
    ///
    /// # Errors
    ///
    /// A [`Failure::Reject`] when the value has no JSON, such as a map whose keys are not strings.
    pub fn json(value: &impl Serialize) -> Result<Self, Failure> {
        match serde_json::to_vec(value) {
            Ok(bytes) => Ok(Self::result(bytes)),
            Err(error) => Err(Failure::reject(format!("the result has no JSON: {error}"))),
        }
    }

    /// Not worth doing, for this reason, which the host logs.
    pub fn discard(reason: impl Into<String>) -> Self {
        Self::Discard(reason.into())
    }

    /// Not yet: deliver the message again after this time. SQS knows whole seconds. What is longer
    /// than the 12 hours that SQS can hide a message waits in the ledger.
    pub fn snooze(after: Duration) -> Self {
        Self::Snooze(after)
    }
}
