//! The one call to ECR that the host makes: it gets the password of a private registry.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use super::AwsConfig;
use super::caller::{Caller, EMPTY_MAX_BYTES};
use super::partition::{Partition, is_region};

/// The SDK's own variable for where ECR is.
const ENDPOINT: &str = "AWS_ENDPOINT_URL_ECR";
const TARGET: &str = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";

/// A client of ECR in every region.
#[derive(Clone, Debug)]
pub struct Ecr(Caller);

/// Why there is no password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoPassword(String);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    authorization_data: Vec<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    /// base64 of `USER:PASSWORD`.
    authorization_token: String,
}

/// The region of a private registry, by its host: `ACCOUNT.dkr.ecr.REGION.amazonaws.com`.
pub fn ecr_region(registry: &str) -> Option<&str> {
    let (account, rest) = registry.split_once(".dkr.ecr.")?;
    let (region, domain) = rest.split_once('.')?;
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let is_ecr = is_account && is_region(region) && domain == Partition::of_region(region).domain;
    is_ecr.then_some(region)
}

impl Ecr {
    pub fn new(aws: &AwsConfig) -> Self {
        Self(Caller::new(aws, "ecr", ENDPOINT))
    }

    /// User and password of this account's registries in a region, good for 12 hours.
    ///
    /// # Errors
    /// There are no credentials of AWS; ECR refuses, or does not answer.
    pub async fn password(&self, region: &str) -> Result<(String, String), NoPassword> {
        let endpoint = match self.0.endpoint_url().await {
            Some(endpoint) => endpoint,
            None => format!("https://api.ecr.{region}.{}", Partition::of_region(region).domain),
        };
        let url = format!("{endpoint}/");
        let answer = self.0.call_target(&url, region, TARGET, Bytes::from_static(b"{}"), EMPTY_MAX_BYTES).await;
        let answer = answer.map_err(|error| NoPassword(error.to_string()))?;
        let password = || {
            let answer: Answer = serde_json::from_slice(&answer).ok()?;
            let token = BASE64_STANDARD.decode(&answer.authorization_data.first()?.authorization_token).ok()?;
            let text = String::from_utf8(token).ok()?;
            text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
        };
        password().ok_or_else(|| NoPassword("its answer has no user and password".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_of_ecr_are_asked_with_credentials() {
        for (registry, region) in [
            ("123456789012.dkr.ecr.eu-central-1.amazonaws.com", Some("eu-central-1")),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com", None),
            ("123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.example", None),
            ("123456789012.dkr.ecr.evil.example", None),
            ("12345.dkr.ecr.eu-central-1.amazonaws.com", None),
            ("public.ecr.aws", None),
        ] {
            assert_eq!(ecr_region(registry), region, "{registry}");
        }
    }
}
