//! AWS JSON 1.0: the operation in a header, everything else in the body.

use bytes::Bytes;
use http::{Response, header, request::Parts};
use http_body_util::Full;

use super::call::{Answer, fault};

const CONTENT_TYPE: &str = "application/x-amz-json-1.0";
const TARGET_PREFIX: &str = "AmazonSQS.";

/// The operation, if the request is of this protocol.
pub fn operation(head: &Parts) -> Option<String> {
    let target = head.headers.get("x-amz-target")?.to_str().ok()?;
    target.strip_prefix(TARGET_PREFIX).map(str::to_owned)
}

/// Writes an answer. An error also says what the Query protocol calls it, for SDKs that knew that
/// one first.
pub fn write(answer: Answer, request_id: &str) -> Response<Full<Bytes>> {
    let response =
        Response::builder().header(header::CONTENT_TYPE, CONTENT_TYPE).header("x-amzn-requestid", request_id);
    let response = match answer {
        Answer::Content(content) => response.body(Full::from(content)),
        Answer::NotFound => response.status(404).body(Full::default()),
        Answer::Error { type_name, query_name, status, message } => {
            let body = serde_json::json!({ "__type": type_name, "message": message }).to_string();
            let error = format!("{query_name};{}", fault(status));
            response.status(status).header("x-amzn-query-error", error).body(Full::from(body))
        }
    };
    response.expect("the headers are plain ASCII, and a fault's status and code are a test's own")
}
