//! Signed requests that the host makes itself, without a client of the SDK: the few calls to S3 and
//! SNS do not pay for one.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, Request};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::AwsConfig;
use super::identity::{Identities, NoIdentity};
use super::signer::{BodyHash, SignError, Signer};
use crate::causes::causes;

/// How long one call may take, its body included.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of an answer that is an error, at most.
const ERROR_MAX_BYTES: usize = 64 * 1024;

/// Makes them as the host itself. Clones share connections and credentials.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    connector: SharedHttpConnector,
    identities: Identities,
    /// Where the service is, if not at AWS's own endpoint.
    pub(super) endpoint_url: Option<String>,
    service: &'static str,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error("{0}")]
    NoIdentity(#[from] NoIdentity),
    #[error("more than {max_bytes} bytes")]
    TooLarge { max_bytes: usize },
    #[error("{0}")]
    NoAnswer(String),
}

impl Caller {
    /// `endpoint_variable` is the SDK's own for where the service is.
    pub(super) fn new(aws: &AwsConfig, service: &'static str, endpoint_variable: &str) -> Self {
        let lookup = |name: &str| std::env::var(name).ok();
        Self {
            connector: super::http_client::http_connector(lookup),
            identities: Identities::new(aws.clone()),
            endpoint_url: lookup(endpoint_variable).or_else(|| aws.endpoint_url.clone()),
            service,
        }
    }

    /// The region that the SDK's chain finds.
    pub(super) async fn region(&self) -> Result<String, NoIdentity> {
        self.identities.identity(None).region().await
    }

    /// No more than `max_bytes` of an answer are read.
    pub(super) async fn call(
        &self,
        method: Method,
        url: &str,
        region: &str,
        body: Bytes,
        max_bytes: usize,
    ) -> Result<Answer, CallError> {
        let call = async {
            let request = self.request(method, url, region, body).await?;
            self.answer(request, max_bytes).await
        };
        let in_vain = || Err(CallError::NoAnswer(format!("no answer within {CALL_TIMEOUT:?}")));
        tokio::time::timeout(CALL_TIMEOUT, call).await.unwrap_or_else(|_| in_vain())
    }

    async fn request(&self, method: Method, url: &str, region: &str, body: Bytes) -> Result<HttpRequest, CallError> {
        let request = Request::builder().method(method).uri(url).body(());
        let (mut parts, ()) = request.map_err(|error| CallError::NoAnswer(error.to_string()))?.into_parts();
        parts.headers.insert(CONTENT_LENGTH, body.len().into());
        let signer = Signer::new(self.identities.identity(None), self.service, Some(region.to_owned()));
        signer.sign(&mut parts, BodyHash::of(&body)).await.map_err(|error| match error {
            SignError::NoIdentity(error) => CallError::NoIdentity(error),
            SignError::Unsignable(reason) => CallError::NoAnswer(reason),
        })?;
        let request = Request::from_parts(parts, SdkBody::from(body));
        request.try_into().map_err(|error| CallError::NoAnswer(causes(&error)))
    }

    async fn answer(&self, request: HttpRequest, max_bytes: usize) -> Result<Answer, CallError> {
        let no_answer = |error: &(dyn std::error::Error + 'static)| CallError::NoAnswer(causes(error));
        let answer = self.connector.call(request).await.map_err(|error| no_answer(&error))?;
        let status = answer.status().as_u16();
        let max_bytes = if answer.status().is_success() { max_bytes } else { ERROR_MAX_BYTES };
        let length = answer.headers().get(CONTENT_LENGTH.as_str()).and_then(|length| length.parse::<u64>().ok());
        if length.is_some_and(|length| length > max_bytes as u64) {
            return Err(CallError::TooLarge { max_bytes });
        }
        match Limited::new(answer.into_body(), max_bytes).collect().await {
            Ok(body) => Ok(Answer { status, body: body.to_bytes() }),
            Err(error) if error.is::<LengthLimitError>() => Err(CallError::TooLarge { max_bytes }),
            Err(error) => Err(CallError::NoAnswer(error.to_string())),
        }
    }
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether it may pass by itself.
    pub(super) fn may_pass(status: u16) -> bool {
        status >= 500 || matches!(status, 408 | 429)
    }

    /// The code of an error, as S3's and SNS's XML has it.
    pub(super) fn code(&self) -> Option<String> {
        let text = std::str::from_utf8(&self.body).ok()?;
        let (_, rest) = text.split_once("<Code>")?;
        let (code, _) = rest.split_once("</Code>")?;
        (code.len() <= 100 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())).then(|| code.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errors_code_is_read_out_of_its_xml() {
        let code = |body: &'static [u8]| Answer { status: 403, body: Bytes::from_static(body) }.code();
        assert_eq!(code(b"<Error><Code>AccessDenied</Code></Error>").as_deref(), Some("AccessDenied"));
        assert_eq!(code(b"<Code>a\nb</Code>"), None);
        assert_eq!(code(b"no XML"), None);
    }
}
