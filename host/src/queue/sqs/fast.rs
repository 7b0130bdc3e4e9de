//! The way of the calls that every message takes: receive, delete and change visibility, ten messages each. The SDK's own machinery
//! costs more than all the rest of such a call; here it makes the first call and one a minute, and those in between repeat what it
//! showed (docs/performance.md measures both). Whatever does not come back well is made again the SDK's way, whose retries, clock
//! correction, fresh credentials and errors hold.

use std::time::{Duration, SystemTime};

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::BodyExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error;
use super::lesson::{Lesson, Lessons};
use crate::queue::QueueError;

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
/// Asks for errors by the codes of the older protocol, too, as the SDK does.
const QUERY_MODE: HeaderName = HeaderName::from_static("x-amzn-query-mode");
const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.0");

impl Lessons {
    /// Makes a call if it is known how. None: the SDK is to make it.
    ///
    /// # Errors
    /// None but that no answer came in time: what then has become of the call is not known.
    pub async fn call<A: DeserializeOwned>(
        &self,
        operation: &'static str,
        body: &impl Serialize,
        within: Duration,
    ) -> Result<Option<A>, QueueError> {
        let Some(lesson) = self.latest() else { return Ok(None) };
        let answer = tokio::time::timeout(within, ask(&lesson, operation, body)).await;
        if !matches!(answer, Ok(Some(_))) {
            self.forget();
        }
        answer.map_err(|_| error::no_answer_in_time())
    }
}

/// None for whatever is not a plain good answer.
async fn ask<A: DeserializeOwned>(lesson: &Lesson, operation: &'static str, body: &impl Serialize) -> Option<A> {
    let body = serde_json::to_vec(body).ok()?;
    let request = request(lesson, operation, body, lesson.now())?;
    let answer = lesson.connector.call(request).await.ok()?;
    if answer.status().as_u16() != 200 {
        return None;
    }
    let answer = answer.into_body().collect().await.ok()?.to_bytes();
    serde_json::from_slice(&answer).ok()
}

fn request(lesson: &Lesson, operation: &'static str, body: Vec<u8>, now: SystemTime) -> Option<HttpRequest> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(lesson.uri.clone())
        .header(CONTENT_TYPE, JSON)
        .header(TARGET, HeaderValue::from_static(operation))
        .header(QUERY_MODE, HeaderValue::from_static("true"))
        .header(USER_AGENT, lesson.user_agent.clone())
        .body(SdkBody::empty())
        .ok()?;
    let headers = request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let signable = SignableRequest::new("POST", lesson.uri.to_string(), headers, SignableBody::Bytes(&body)).ok()?;
    let params = v4::SigningParams::builder()
        .identity(&lesson.identity)
        .region(&lesson.region)
        .name(&lesson.service)
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
