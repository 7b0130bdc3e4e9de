//! SQS's two protocols, at the edge: what a request asks for, and how its answer is written. What
//! lies between speaks of operations by their names, and of requests and answers as AWS JSON.

mod call;
mod json;
mod parameters;
mod query;
mod xml;

use bytes::Bytes;
use http::{Response, header, request::Parts};
use http_body_util::Full;

pub use self::call::{Answer, Call, NoCall, Writing};

/// Reads a request.
///
/// # Errors
/// [`NoCall`], for one that names no operation, or one that its URL does not take.
pub fn read(head: &Parts, body: Bytes) -> Result<Call, NoCall> {
    match json::operation(head) {
        Some(operation) => Ok(Call { operation, request: body, writing: Writing::Json }),
        None => query::read(head, &body),
    }
}

/// What the signature says of the one who asks.
#[derive(Default)]
pub struct Credential {
    pub key_id: Option<String>,
    pub region: Option<String>,
}

impl Credential {
    /// Reads a signature's scope, `KEY/DATE/REGION/sqs/aws4_request`, from the headers or else from
    /// the query string.
    pub fn of(head: &Parts) -> Self {
        let header = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        match header.and_then(|value| value.split_once("Credential=")) {
            Some((_, scope)) => Self::in_scope(scope),
            None => query::credential(head).map(|scope| Self::in_scope(&scope)).unwrap_or_default(),
        }
    }

    fn in_scope(scope: &str) -> Self {
        let mut parts = scope.split('/').map(|part| Some(part.to_owned()).filter(|part| !part.is_empty()));
        Self { key_id: parts.next().flatten(), region: parts.nth(1).flatten() }
    }
}

/// Writes an answer.
pub fn write(answer: Answer, operation: &str, writing: Writing) -> Response<Full<Bytes>> {
    let request_id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_be_bytes()).into_uuid().to_string();
    match writing {
        Writing::Json => json::write(answer, &request_id),
        Writing::Xml | Writing::QueryJson => query::write(answer, operation, &request_id, writing),
    }
}
