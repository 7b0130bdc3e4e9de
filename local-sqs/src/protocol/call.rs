//! Calls and their answers, as `http` has them whichever protocol they come in.

use bytes::Bytes;

use super::super::error::{Code, SqsError, SqsResult};

/// A call.
pub struct Call {
    pub operation: String,
    /// The request as AWS JSON.
    pub request: Bytes,
    pub format: AnswerFormat,
}

/// A request that calls no operation, or may not, and what to answer.
pub struct Rejected {
    pub operation: String,
    pub answer: Answer,
    pub format: AnswerFormat,
}

/// How an answer is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerFormat {
    /// AWS JSON 1.0.
    Json,
    /// The Query protocol's XML.
    Xml,
    /// The Query protocol's answer for those who ask for JSON.
    QueryJson,
}

/// An answer.
pub enum Answer {
    /// Its content as AWS JSON.
    Content(Vec<u8>),
    /// An error's names on the wire.
    Error { type_name: String, query_name: String, status: u16, message: String },
    /// The request asks for nothing that is here.
    NotFound,
}

impl Answer {
    /// Writes what an operation gives.
    ///
    /// # Errors
    /// `InternalFailure`, if it cannot be written.
    pub fn of(content: impl serde::Serialize) -> SqsResult<Self> {
        let written = serde_json::to_vec(&content).map(Self::Content);
        written.map_err(|error| SqsError::new(Code::InternalFailure, error.to_string()))
    }
}

impl From<SqsError> for Answer {
    fn from(error: SqsError) -> Self {
        Self::Error {
            type_name: error.code.type_name().to_owned(),
            query_name: error.code.query_name().to_owned(),
            status: error.code.status(),
            message: error.message,
        }
    }
}

/// Whether the caller is at fault, as both protocols say it.
pub fn fault(status: u16) -> &'static str {
    if status < 500 { "Sender" } else { "Receiver" }
}
