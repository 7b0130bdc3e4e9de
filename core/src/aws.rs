//! What the clients of all AWS services share: where AWS is, who we are there, and how bytes
//! travel. Beneath it stands what signs requests that no SDK makes.

pub mod endpoint;
pub mod identity;
pub mod signer;

use std::error::Error;

use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::error::display::DisplayErrorContext;
use serde::Deserialize;

/// Where AWS is. What is not said here comes from the SDK's own chain.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AwsConfig {
    pub endpoint_url: Option<String>,
    pub region: Option<String>,
    /// Makes every call to SQS by the SDK, also those that each message takes.
    pub sdk_only: bool,
}

/// Reads credentials, region and endpoint from the SDK's own chain, where the config does not name
/// them. An endpoint on the loopback interface gets credentials of its own: there is nothing to
/// sign for.
///
/// Timeouts and retries are the client's own: each service has its own.
pub async fn sdk_config(aws: &AwsConfig) -> SdkConfig {
    let mut loader = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .http_client(http_client())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(url) = &aws.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if let Some(region) = &aws.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if aws.endpoint_url.as_deref().is_some_and(is_loopback) {
        loader = loader.credentials_provider(Credentials::new("local", "local", None, None, "loopback endpoint"));
        if aws.region.is_none() {
            loader = loader.region(Region::from_static("us-east-1"));
        }
    }
    loader.load().await
}

/// How bytes travel: over HTTPS with rustls on ring.
pub fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https()
}

/// Whether an endpoint is on this machine.
pub fn is_loopback(endpoint_url: &str) -> bool {
    url::Url::parse(endpoint_url).is_ok_and(|url| match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    })
}

/// Why a call came to no answer of its service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Waiting does not bring any.
    #[error("no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role")]
    Credentials,
    /// Nor a region.
    #[error("no AWS region; set `region` in [aws], AWS_REGION, or a profile with one")]
    Region,
    /// The way there, or what is at its end.
    #[error("{0}")]
    Other(String),
}

impl NoAnswer {
    /// From an SDK's error that is no answer.
    pub fn of<E: Error>(error: &E) -> Self {
        // Only the debug form tells these two apart from others.
        let all = DisplayErrorContext(error).to_string();
        if all.contains("credentials") {
            return Self::Credentials;
        }
        if all.contains("Missing Region") {
            return Self::Region;
        }
        Self::Other(causes(error))
    }
}

/// An error and its causes, in words.
pub fn causes(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}
