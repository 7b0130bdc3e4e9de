//! SQS's two protocols, at the edge: what a request asks for, and how its answer is written. What
//! lies between speaks of operations by their names, and of requests and answers as AWS JSON.

mod call;
mod json;
mod parameters;
mod query;
mod site;
mod xml;

use std::borrow::Cow;

use bytes::Bytes;
use http::{Response, header, request::Parts};
use http_body_util::Full;

pub use self::call::{Answer, AnswerFormat, Call, Rejected};
use super::{address, error::SqsResult};

/// Reads a request, of which the body may not have come.
///
/// # Errors
/// [`Rejected`], for one that names no operation, one that is not allowed, and one without its
/// body.
pub fn read(head: &Parts, body: SqsResult<Bytes>) -> Result<Call, Rejected> {
    let format = AnswerFormat::Json;
    match (json::operation(head), body) {
        (Some(operation), Ok(request)) => Ok(Call { operation, request, format }),
        (Some(operation), Err(error)) => Err(Rejected { operation, answer: error.into(), format }),
        (None, body) => query::read(head, body),
    }
}

/// The scope of a request's signature, `KEY/DATE/REGION/sqs/aws4_request`: who asks, and where.
pub struct Scope<'a>(Cow<'a, str>);

impl<'a> Scope<'a> {
    /// Reads it from the headers, or else from the query string; it is empty if it is in neither.
    pub fn of(head: &'a Parts) -> Self {
        let header = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let scope = header.and_then(|value| value.split_once("Credential="));
        Self(scope.map_or_else(|| query::scope(head).unwrap_or_default(), |(_, scope)| scope.into()))
    }

    /// The id of the access key.
    pub fn key_id(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// The region, if it says one that may be. A signature for many regions (SigV4a) has the
    /// service in its place.
    pub fn region(&self) -> Option<&str> {
        self.0.split('/').nth(2).filter(|region| address::is_region(region) && *region != "sqs")
    }
}

/// Writes an answer.
pub fn write(answer: Answer, operation: &str, format: AnswerFormat) -> Response<Full<Bytes>> {
    let request_id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_be_bytes()).into_uuid().to_string();
    match format {
        AnswerFormat::Json => json::write(answer, &request_id),
        AnswerFormat::Xml | AnswerFormat::QueryJson => query::write(answer, operation, &request_id, format),
    }
}
