//! Signed requests that the host makes itself, without a client of the SDK: the few calls to S3,
//! SNS and ECR do not pay for one.

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::OnceCell;

use super::identity::{Identities, NoIdentity};
use super::partition::host;
use super::signer::{BodyHash, SignError, Signer};
use super::{AwsConfig, NoAnswer, sdk_config};
use crate::causes::causes;

/// How long one call may take, its body included.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of an answer that is an error, at most.
const ERROR_MAX_BYTES: usize = 64 * 1024;
/// Bytes of an answer that has nothing to say, at most.
pub(super) const EMPTY_MAX_BYTES: usize = 64 * 1024;
/// Bytes of an error's code at most: what is longer is none.
const CODE_MAX_BYTES: usize = 100;

/// Makes them as the host itself. Clones share connections and credentials.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    connector: SharedHttpConnector,
    identities: Identities,
    aws: AwsConfig,
    /// The SDK's settings, read when they are first needed.
    sdk: Arc<OnceCell<SdkConfig>>,
    service: &'static str,
}

/// Why there is no good answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error("{0}")]
    NoIdentity(#[from] NoIdentity),
    #[error("more than {max_bytes} bytes")]
    TooLarge { max_bytes: usize },
    /// The service has refused it.
    #[error("HTTP {status}{}", shown(.code))]
    Refused { status: u16, code: Option<String> },
    /// The request cannot be made as it is.
    #[error("{0}")]
    Unmade(String),
    #[error("{0}")]
    NoAnswer(String),
}

/// An error's code, as it stands behind the status.
fn shown(code: &Option<String>) -> String {
    code.as_ref().map_or_else(String::new, |code| format!(" {code}"))
}

impl CallError {
    /// Whether it may pass by itself: throttled, 5xx, no answer, no credentials yet.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Refused { status, .. } => *status >= 500 || matches!(status, 408 | 429),
            Self::NoAnswer(_) | Self::NoIdentity(_) => true,
            Self::TooLarge { .. } | Self::Unmade(_) => false,
        }
    }
}

impl Caller {
    /// `service` is its name in host names and signatures. `endpoint_variable` is the SDK's own for
    /// where it is.
    pub(super) fn new(aws: &AwsConfig, service: &'static str, endpoint_variable: &str) -> Self {
        let lookup = |name: &str| std::env::var(name).ok();
        let own = lookup(endpoint_variable).filter(|url| !url.is_empty());
        Self {
            connector: super::http_client::http_connector(lookup),
            identities: Identities::new(aws.clone()),
            aws: AwsConfig { endpoint_url: own.or_else(|| aws.endpoint_url.clone()), ..aws.clone() },
            sdk: Arc::default(),
            service,
        }
    }

    async fn sdk(&self) -> &SdkConfig {
        self.sdk.get_or_init(|| sdk_config(&self.aws)).await
    }

    /// The region that the SDK's chain finds.
    pub(super) async fn region(&self) -> Result<String, NoIdentity> {
        let region = self.sdk().await.region();
        region.map(ToString::to_string).ok_or(NoIdentity::Own(NoAnswer::Region))
    }

    /// Where the service is, if not at AWS's own endpoint.
    pub(super) async fn endpoint_url(&self) -> Option<String> {
        self.sdk().await.endpoint_url().map(|url| url.trim_end_matches('/').to_owned())
    }

    /// The service's host at AWS.
    pub(super) async fn host(&self, region: &str) -> String {
        let sdk = self.sdk().await;
        host(self.service, region, sdk.use_fips().unwrap_or(false), sdk.use_dual_stack().unwrap_or(false))
    }

    /// No more than `max_bytes` of an answer are read.
    pub(super) async fn call(
        &self,
        method: Method,
        url: &str,
        region: &str,
        body: Bytes,
        max_bytes: usize,
    ) -> Result<Bytes, CallError> {
        self.call_with(method, url, region, &[], body, max_bytes).await
    }

    /// Calls an operation of a service of JSON, by its target.
    pub(super) async fn call_target(
        &self,
        url: &str,
        region: &str,
        target: &'static str,
        body: Bytes,
        max_bytes: usize,
    ) -> Result<Bytes, CallError> {
        let headers = [("x-amz-target", target), ("content-type", "application/x-amz-json-1.1")];
        self.call_with(Method::POST, url, region, &headers, body, max_bytes).await
    }

    async fn call_with(
        &self,
        method: Method,
        url: &str,
        region: &str,
        headers: &[(&'static str, &'static str)],
        body: Bytes,
        max_bytes: usize,
    ) -> Result<Bytes, CallError> {
        let call = async {
            let request = self.request(method, url, region, headers, body).await?;
            self.answer(request, max_bytes).await
        };
        let no_answer = || Err(CallError::NoAnswer(format!("no answer within {CALL_TIMEOUT:?}")));
        tokio::time::timeout(CALL_TIMEOUT, call).await.unwrap_or_else(|_| no_answer())
    }

    async fn request(
        &self,
        method: Method,
        url: &str,
        region: &str,
        headers: &[(&'static str, &'static str)],
        body: Bytes,
    ) -> Result<HttpRequest, CallError> {
        let request = Request::builder().method(method).uri(url).body(());
        let (mut parts, ()) = request.map_err(|error| CallError::Unmade(error.to_string()))?.into_parts();
        parts.headers.insert(CONTENT_LENGTH, body.len().into());
        for (name, value) in headers {
            parts.headers.insert(*name, HeaderValue::from_static(value));
        }
        let signer = Signer::new(self.identities.identity(None), self.service, Some(region.to_owned()));
        signer.sign(&mut parts, BodyHash::of(&body)).await.map_err(|error| match error {
            SignError::NoIdentity(error) => CallError::NoIdentity(error),
            SignError::Unsignable(reason) => CallError::Unmade(reason),
        })?;
        let request = Request::from_parts(parts, SdkBody::from(body));
        request.try_into().map_err(|error| CallError::Unmade(causes(&error)))
    }

    async fn answer(&self, request: HttpRequest, max_bytes: usize) -> Result<Bytes, CallError> {
        let answer = self.connector.call(request).await.map_err(|error| CallError::NoAnswer(causes(&error)))?;
        let status = answer.status().as_u16();
        if !answer.status().is_success() {
            // An error that is too long to be read is one all the same.
            let body = Limited::new(answer.into_body(), ERROR_MAX_BYTES).collect().await;
            let code = body.ok().and_then(|body| code(&body.to_bytes()));
            return Err(CallError::Refused { status, code });
        }
        let length = answer.headers().get(CONTENT_LENGTH.as_str()).and_then(|length| length.parse::<u64>().ok());
        if length.is_some_and(|length| length > max_bytes as u64) {
            return Err(CallError::TooLarge { max_bytes });
        }
        match Limited::new(answer.into_body(), max_bytes).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(CallError::TooLarge { max_bytes }),
            Err(error) => Err(CallError::NoAnswer(error.to_string())),
        }
    }
}

/// The code of an error, as S3's and SNS's XML has it.
fn code(xml: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(xml).ok()?;
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_code = code.len() <= CODE_MAX_BYTES && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_code.then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errors_code_is_read_out_of_its_xml() {
        assert_eq!(code(b"<Error><Code>AccessDenied</Code></Error>").as_deref(), Some("AccessDenied"));
        assert_eq!(code(b"<Code>a\nb</Code>"), None);
        assert_eq!(code(b"no XML"), None);
    }

    #[test]
    fn what_may_pass_is_told_from_what_stays() {
        let refused = |status| CallError::Refused { status, code: None }.may_pass();
        assert_eq!([500, 503, 429, 408, 403, 404, 301].map(refused), [true, true, true, true, false, false, false]);
        assert!(!CallError::Unmade("bad".into()).may_pass() && CallError::NoAnswer("none".into()).may_pass());
    }
}
