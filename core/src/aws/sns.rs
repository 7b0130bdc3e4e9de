//! The one call to SNS that the host makes: it confirms a subscription.

use bytes::Bytes;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::AwsConfig;
use super::caller::{Caller, EMPTY_MAX_BYTES};
use super::partition::is_region;

/// The SDK's own variable for where SNS is.
const ENDPOINT: &str = "AWS_ENDPOINT_URL_SNS";

/// A client of SNS in every region.
#[derive(Clone, Debug)]
pub struct Sns(Caller);

/// Why a subscription is not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unconfirmed {
    pub reason: String,
    /// Whether it may pass by itself.
    pub may_pass: bool,
}

impl Sns {
    pub fn new(aws: &AwsConfig) -> Self {
        Self(Caller::new(aws, "sns", ENDPOINT))
    }

    /// Asks the topic's own region. What a message says of where to confirm it is not asked.
    ///
    /// # Errors
    /// The ARN is none, or SNS refuses, or does not answer.
    pub async fn confirm_subscription(&self, topic_arn: &str, token: &str) -> Result<(), Unconfirmed> {
        let no_topic = || Unconfirmed { reason: format!("{topic_arn} is no topic's ARN"), may_pass: false };
        let parts: Vec<&str> = topic_arn.split(':').collect();
        let ["arn", _, "sns", region, _, _] = parts[..] else { return Err(no_topic()) };
        if !is_region(region) {
            return Err(no_topic());
        }
        let endpoint = match self.0.endpoint_url().await {
            Some(endpoint) => endpoint,
            None => format!("https://{}", self.0.host(region).await),
        };
        let [topic, token] = [topic_arn, token].map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC));
        let url = format!("{endpoint}/?Action=ConfirmSubscription&Version=2010-03-31&TopicArn={topic}&Token={token}");
        let answer = self.0.call(Method::GET, &url, region, Bytes::new(), EMPTY_MAX_BYTES).await;
        answer.map(drop).map_err(|error| Unconfirmed { reason: error.to_string(), may_pass: error.may_pass() })
    }
}
