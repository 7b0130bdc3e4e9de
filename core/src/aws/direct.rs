//! The direct calls: they repeat what the SDK's own calls have filled in (see
//! [`super::request_template`]). What SQS and DynamoDB share is here; their bodies and answers are
//! each client's own. docs/operate/performance.md measures both ways.

use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::BodyExt;

use super::request_template::{RequestTemplate, RequestTemplates};
use crate::causes::causes;

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.0");

/// A call by AWS's JSON protocol.
pub struct DirectCall {
    /// The operation as `x-amz-target` names it.
    pub operation: &'static str,
    /// What the service's calls carry beside that.
    pub headers: &'static [(HeaderName, HeaderValue)],
    pub body: Vec<u8>,
    pub within: Duration,
}

/// What the service said, whole.
pub struct DirectAnswer {
    pub status: u16,
    pub headers: Headers,
    pub body: Bytes,
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum DirectError<E> {
    #[error("it was not made: only the SDK knows how")]
    NoTemplate,
    #[error("no answer in time")]
    NoAnswerInTime,
    /// From the way there, or what is at its end.
    #[error("{0}")]
    NoAnswer(String),
    /// What its reader made of the answer.
    #[error("{0}")]
    Answer(E),
}

impl RequestTemplates {
    /// Makes a call, once. After anything that `read` calls an error the next call is the SDK's.
    pub async fn call<A, E: std::fmt::Display>(
        &self,
        call: DirectCall,
        read: impl FnOnce(DirectAnswer) -> Result<A, E>,
    ) -> Result<A, DirectError<E>> {
        let template = self.latest().ok_or(DirectError::NoTemplate)?;
        let DirectCall { operation, within, .. } = call;
        let request = request(&template, call, template.now()).ok_or(DirectError::NoTemplate)?;
        // A caller that has lost its patience drops the call, which then has failed too.
        let mut unanswered = Unanswered(Some(self));
        let answer = tokio::time::timeout(within, ask(&template, request)).await;
        let answer = answer.unwrap_or(Err(DirectError::NoAnswerInTime));
        let answer = answer.and_then(|answer| read(answer).map_err(DirectError::Answer));
        match &answer {
            Ok(_) => unanswered.0 = None,
            Err(error) => tracing::debug!(operation, %error, "a call has failed; the next goes the SDK's way"),
        }
        answer
    }
}

/// A call that has no good answer yet. Dropped, it sends the next one the SDK's way.
struct Unanswered<'a>(Option<&'a RequestTemplates>);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(templates) = self.0 {
            templates.forget();
        }
    }
}

async fn ask<E>(template: &RequestTemplate, request: HttpRequest) -> Result<DirectAnswer, DirectError<E>> {
    let answer = template.connector.call(request).await;
    let mut answer = answer.map_err(|error| DirectError::NoAnswer(causes(&error)))?;
    let (status, headers) = (answer.status().as_u16(), std::mem::take(answer.headers_mut()));
    let body = answer.into_body().collect().await.map_err(|error| DirectError::NoAnswer(causes(error.as_ref())))?;
    Ok(DirectAnswer { status, headers, body: body.to_bytes() })
}

fn request(template: &RequestTemplate, call: DirectCall, now: SystemTime) -> Option<HttpRequest> {
    let mut request = Request::new(SdkBody::empty());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = template.uri.clone();
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(TARGET, HeaderValue::from_static(call.operation));
    headers.extend(call.headers.iter().chain(&template.user_agent).cloned());
    template.signer.sign(headers, &call.body, now)?;
    *request.body_mut() = SdkBody::from(call.body);
    request.try_into().ok()
}
