//! Why a request was not done, in the client's words.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Why a request, or one of its messages, was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub status: StatusCode,
    pub reason: String,
    /// When to try again, in seconds.
    pub retry_after_s: Option<u64>,
}

impl Failure {
    pub fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), retry_after_s: None }
    }

    pub fn bad(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    /// There is too much of it now.
    pub fn later(reason: impl Into<String>, retry_after_s: u64) -> Self {
        let retry_after_s = Some(retry_after_s.max(1));
        Self { status: StatusCode::TOO_MANY_REQUESTS, reason: reason.into(), retry_after_s }
    }

    /// The queue or the ledger does not answer.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, reason: reason.into(), retry_after_s: Some(5) }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(serde_json::json!({ "error": self.reason }))).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

pub async fn no_such_path() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "there is no such path; /v1/openapi.json says what there is")
}

pub async fn no_such_method() -> Failure {
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take the method; /v1/openapi.json says which")
}
