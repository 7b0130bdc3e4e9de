//! AWS Secrets Manager and SSM Parameter Store, by way of their SDKs.

use std::time::Duration;

use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use wasq_core::aws::{self, NoAnswer};

use crate::config::{AwsConfig, AwsSecretLocation};

/// How long a call may take with all its attempts, and one of these.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);
/// Attempts of a call within the SDK, with its jittered backoff.
const CALL_ATTEMPTS: u32 = 3;

/// A client for each.
pub struct Stores {
    secrets_manager: aws_sdk_secretsmanager::Client,
    ssm: aws_sdk_ssm::Client,
}

impl Stores {
    pub async fn connect(aws: &AwsConfig) -> Self {
        let timeouts =
            TimeoutConfig::builder().operation_timeout(CALL_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
        let retries = RetryConfig::standard().with_max_attempts(CALL_ATTEMPTS);
        let shared = aws::sdk_config(&at(aws, "AWS_ENDPOINT_URL_SECRETS_MANAGER")).await;
        let secrets_manager = aws_sdk_secretsmanager::config::Builder::from(&shared)
            .timeout_config(timeouts.clone())
            .retry_config(retries.clone());
        let shared = aws::sdk_config(&at(aws, "AWS_ENDPOINT_URL_SSM")).await;
        let ssm = aws_sdk_ssm::config::Builder::from(&shared).timeout_config(timeouts).retry_config(retries);
        Self {
            secrets_manager: aws_sdk_secretsmanager::Client::from_conf(secrets_manager.build()),
            ssm: aws_sdk_ssm::Client::from_conf(ssm.build()),
        }
    }

    /// What is there now.
    ///
    /// # Errors
    /// Why it cannot be had, and the way out; never a part of it.
    pub async fn fetch(&self, location: &AwsSecretLocation) -> Result<Vec<u8>, String> {
        let found = match location {
            AwsSecretLocation::SecretsManager(id) => {
                let answer = self.secrets_manager.get_secret_value().secret_id(id).send().await;
                let answer = answer.map_err(|error| explain(location, "secretsmanager:GetSecretValue", &error))?;
                let binary = answer.secret_binary.map(|blob| blob.into_inner());
                answer.secret_string.map(String::into_bytes).or(binary)
            }
            AwsSecretLocation::Ssm(name) => {
                let answer = self.ssm.get_parameter().name(name).with_decryption(true).send().await;
                let answer = answer.map_err(|error| explain(location, "ssm:GetParameter", &error))?;
                answer.parameter.and_then(|parameter| parameter.value).map(String::into_bytes)
            }
        };
        found.ok_or_else(|| format!("{location} has no value"))
    }
}

/// What the environment says of one service comes before what the config says of all.
fn at(aws: &AwsConfig, variable: &str) -> AwsConfig {
    let own = std::env::var(variable).ok();
    AwsConfig { endpoint_url: own.or_else(|| aws.endpoint_url.clone()), ..aws.clone() }
}

fn explain<E, R>(location: &AwsSecretLocation, action: &str, error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let message = service.err().message().unwrap_or("no reason given");
            match service.err().code().unwrap_or("Unknown") {
                "ResourceNotFoundException" | "ParameterNotFound" => {
                    format!("there is not {location}; make it, or correct its name and the region")
                }
                "AccessDeniedException" => {
                    format!(
                        "{action} is not allowed on {location}: grant it to the host's role, with kms:Decrypt on its key ({message})"
                    )
                }
                code => format!("{action} on {location}: {code}: {message}"),
            }
        }
        SdkError::TimeoutError(_) => format!("{action} on {location}: no answer in time"),
        // Its causes may quote the answer.
        SdkError::ResponseError(_) => format!("{action} on {location}: the answer cannot be read"),
        other => format!("{action} on {location}: {}", NoAnswer::of(other)),
    }
}
