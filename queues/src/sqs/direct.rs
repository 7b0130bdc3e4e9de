//! The direct calls: receive, delete and change visibility, ten messages each. They repeat what the
//! SDK's own calls have filled in (see [`super::request_template`]). docs/operate/performance.md
//! measures both ways.

use std::time::{Duration, SystemTime};

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::BodyExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error;
use super::request_template::{RequestTemplate, RequestTemplates};
use super::wire::Refusal;
use crate::queue::QueueError;

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
/// Asks for errors by the codes of the older protocol, too, as the SDK does.
const QUERY_MODE: HeaderName = HeaderName::from_static("x-amzn-query-mode");
const QUERY_ERROR: &str = "x-amzn-query-error";
const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.0");

/// Why a call came to nothing.
pub enum DirectError {
    /// It was not made: only the SDK knows how.
    NoTemplate,
    /// As the SDK would have it.
    Call(QueueError),
}

impl RequestTemplates {
    /// Makes a call, once.
    pub async fn call<A: DeserializeOwned>(
        &self,
        operation: &'static str,
        body: &impl Serialize,
        within: Duration,
    ) -> Result<A, DirectError> {
        let template = self.latest().ok_or(DirectError::NoTemplate)?;
        let body = serde_json::to_vec(body).expect("a request is plain data");
        let request = request(&template, operation, body, template.now()).ok_or(DirectError::NoTemplate)?;
        // A caller that has lost its patience drops the call, which then has failed too.
        let mut unanswered = Unanswered(Some(self));
        let answer = tokio::time::timeout(within, ask(&template, request)).await;
        let answer = answer.unwrap_or_else(|_| Err(error::no_answer_in_time()));
        if answer.is_ok() {
            unanswered.0 = None;
        }
        answer.map_err(|error| {
            tracing::debug!(operation, %error, "a call has failed; the next goes the SDK's way");
            DirectError::Call(error)
        })
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

async fn ask<A: DeserializeOwned>(template: &RequestTemplate, request: HttpRequest) -> Result<A, QueueError> {
    let answer = template.connector.call(request).await.map_err(|error| error::no_answer(&error))?;
    let status = answer.status().as_u16();
    let query_error = answer.headers().get(QUERY_ERROR).map(str::to_owned);
    let body = answer.into_body().collect().await.map_err(|error| error::no_answer(error.as_ref()))?.to_bytes();
    let unread = |error: serde_json::Error| error::unreadable(&format!("HTTP {status}: {error}"));
    if status == 200 {
        return serde_json::from_slice(&body).map_err(unread);
    }
    let refusal: Refusal = serde_json::from_slice(&body).map_err(unread)?;
    // `AWS.SimpleQueueService.NonExistentQueue;Sender`
    let code = query_error.as_deref().and_then(|text| text.split(';').next()).unwrap_or(&refusal.code);
    Err(error::refused(code, refusal.message.unwrap_or_default()))
}

fn request(template: &RequestTemplate, operation: &'static str, body: Vec<u8>, now: SystemTime) -> Option<HttpRequest> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(template.uri.clone())
        .header(CONTENT_TYPE, JSON)
        .header(TARGET, HeaderValue::from_static(operation))
        .header(QUERY_MODE, HeaderValue::from_static("true"))
        .body(SdkBody::empty())
        .ok()?;
    request.headers_mut().extend(template.user_agent.iter().cloned());
    let headers = request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let signable = SignableRequest::new("POST", template.uri.to_string(), headers, SignableBody::Bytes(&body)).ok()?;
    let params = v4::SigningParams::builder()
        .identity(&template.identity)
        .region(&template.region)
        .name(&template.service)
        .time(now)
        .settings(SigningSettings::default())
        .build()
        .ok()?
        .into();
    let (instructions, _signature) = sign(signable, &params).ok()?.into_parts();
    instructions.apply_to_request_http1x(&mut request);
    *request.body_mut() = SdkBody::from(body);
    request.try_into().ok()
}
