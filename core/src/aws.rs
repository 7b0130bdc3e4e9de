//! What the clients of all AWS services share: where AWS is, who we are there, and how bytes
//! travel. Beneath it stands what signs requests that no SDK makes.

pub mod direct;
pub mod ecr;
pub mod endpoint;
pub mod identity;
pub mod partition;
pub mod request_template;
pub mod s3;
pub mod signer;
pub mod sns;

mod call_signature;
mod caller;
mod credentials;
mod http_client;
mod no_answer;

use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use schemars::JsonSchema;
use serde::Deserialize;

pub use caller::{CALL_TIMEOUT, CallError};
pub use credentials::CredentialsFault;
pub use no_answer::NoAnswer;

use credentials::Explained;

/// Where AWS is. What is not said here comes from the SDK's own chain.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AwsConfig {
    /// The endpoint of all services, such as a local queue's.
    pub endpoint_url: Option<String>,
    /// The region, such as `eu-central-1`.
    pub region: Option<String>,
    /// Calls AWS's FIPS endpoints. Without it AWS_USE_FIPS_ENDPOINT or the profile says so.
    pub use_fips: bool,
    /// Calls AWS's endpoints that have IPv6, too. Without it AWS_USE_DUALSTACK_ENDPOINT or the
    /// profile says so.
    pub use_dual_stack: bool,
    /// Makes every call to SQS and to DynamoDB by the SDK, also those that each message takes.
    pub sdk_only: bool,
}

/// Reads credentials, region and endpoint from the SDK's own chain, where the config does not name
/// them. An endpoint on the loopback interface asks for no real ones: without any in the
/// environment's variables it gets credentials and a region of its own.
///
/// Timeouts and retries are the client's own: each service has its own.
pub async fn sdk_config(aws: &AwsConfig) -> SdkConfig {
    let mut loader = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .http_client(http_client())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(url) = &aws.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if aws.use_fips {
        loader = loader.use_fips(true);
    }
    if aws.use_dual_stack {
        loader = loader.use_dual_stack(true);
    }
    if let Some(region) = &aws.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if aws.endpoint_url.as_deref().is_some_and(is_loopback) {
        let needs = Needs::of(aws, |name| std::env::var(name).ok());
        if needs.credentials {
            loader = loader.credentials_provider(Credentials::new("local", "local", None, None, "loopback endpoint"));
        }
        if needs.region {
            // An instance, which the SDK would ask next, does not say where this machine's queue
            // is.
            let profile = RegionProviderChain::first_try(ProfileFileRegionProvider::new());
            loader = loader.region(profile.or_else("us-east-1"));
        }
    }
    let config = loader.load().await;
    match config.credentials_provider() {
        Some(chain) => {
            let explained = SharedCredentialsProvider::new(Explained::new(chain));
            config.to_builder().credentials_provider(explained).build()
        }
        None => config,
    }
}

/// What an endpoint on this machine is asked with, because nobody has said it.
#[derive(Debug, PartialEq, Eq)]
struct Needs {
    credentials: bool,
    region: bool,
}

impl Needs {
    fn of(aws: &AwsConfig, lookup: impl Fn(&str) -> Option<String>) -> Self {
        let has = |name: &str| lookup(name).is_some_and(|value| !value.trim().is_empty());
        Self {
            credentials: !(has("AWS_ACCESS_KEY_ID") && has("AWS_SECRET_ACCESS_KEY")),
            region: aws.region.is_none() && !has("AWS_REGION") && !has("AWS_DEFAULT_REGION"),
        }
    }
}

/// The HTTP client of every call to AWS, with the proxies and certificates of the environment.
pub fn http_client() -> SharedHttpClient {
    http_client::http_client(|name| std::env::var(name).ok())
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

#[cfg(test)]
mod tests;
