//! Why there are no credentials, in words for whoever has to bring some.
//!
//! The SDK's errors tell by their types which provider failed. They do not name its profile, role
//! or file, so these are read again from where the SDK reads them.

mod profile;

use std::error::Error;

use aws_config::imds::client::error::ImdsError;
use aws_config::meta::ProviderChainError;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::{CredentialsError, TokenError};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_sso::operation::get_role_credentials::GetRoleCredentialsError;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::os_shim_internal::{Env, Fs};

use crate::causes::{causes, with_causes};
use profile::{Base, SelectedProfile};

/// The longest reason that a program of the operator's gives.
const REASON_MAX_CHARS: usize = 300;

/// Which way to credentials failed, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsFault {
    #[error(
        "none are in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in the profile `{profile}`, from a web identity \
         (AWS_WEB_IDENTITY_TOKEN_FILE), a container (AWS_CONTAINER_CREDENTIALS_FULL_URI or …_RELATIVE_URI) or an \
         instance's role ({instance}); set one of these"
    )]
    Nothing { profile: String, instance: String },
    #[error("the profile `{profile}` (AWS_PROFILE): {reason}")]
    Profile { profile: String, reason: String },
    #[error("the SSO session of the profile `{profile}` is over or was never begun: {reason}; {}", login(profile))]
    SsoSession { profile: String, reason: String },
    #[error("SSO gives no credentials for the profile `{profile}`: {reason}")]
    Sso { profile: String, reason: String },
    #[error("{call} of {role} has failed: {reason}")]
    Sts { call: &'static str, role: String, reason: String },
    #[error("credential_process of the profile `{profile}`: {reason}")]
    Process { profile: String, reason: String },
    #[error("the token file {path} ({variable}) cannot be read: {reason}")]
    TokenFile { variable: &'static str, path: String, reason: String },
    #[error("the endpoint {url} gives none: {reason}")]
    Endpoint { url: String, reason: String },
    #[error("{reason}")]
    Other { reason: String },
}

fn login(profile: &str) -> String {
    match profile {
        "default" => "run `aws sso login`".to_owned(),
        name => format!("run `aws sso login --profile {name}`"),
    }
}

impl CredentialsFault {
    /// Whether it may pass while the process runs. What its environment and its profiles say does
    /// not: both are read once.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Nothing { .. } | Self::Profile { .. } => false,
            Self::SsoSession { .. }
            | Self::Sso { .. }
            | Self::Sts { .. }
            | Self::Process { .. }
            | Self::TokenFile { .. }
            | Self::Endpoint { .. }
            | Self::Other { .. } => true,
        }
    }
}

/// A chain whose failures are [`CredentialsFault`]s.
#[derive(Debug)]
pub struct Explained {
    chain: SharedCredentialsProvider,
}

impl Explained {
    pub fn new(chain: SharedCredentialsProvider) -> Self {
        Self { chain }
    }
}

/// By the environment and the files that the chain has read.
async fn explain(error: &CredentialsError, env: &Env, fs: &Fs) -> CredentialsFault {
    let profile = SelectedProfile::read(env, fs).await;
    // The ways are nested: a profile's may be a web identity's, which has failed at its file.
    let error = with_causes(error).filter_map(|error| error.downcast_ref()).last().unwrap_or(error);
    Explanation { error, profile: &profile, env }.fault()
}

impl ProvideCredentials for Explained {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async move {
            match self.chain.provide_credentials().await {
                Ok(credentials) => Ok(credentials),
                Err(error) => Err(CredentialsError::provider_error(explain(&error, &Env::real(), &Fs::real()).await)),
            }
        })
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.chain.fallback_on_interrupt()
    }
}

/// What a failure is explained by.
struct Explanation<'a> {
    error: &'a CredentialsError,
    profile: &'a SelectedProfile,
    env: &'a Env,
}

impl Explanation<'_> {
    fn fault(&self) -> CredentialsFault {
        self.nothing_found()
            .or_else(|| self.sts::<AssumeRoleWithWebIdentityError>("sts:AssumeRoleWithWebIdentity"))
            .or_else(|| self.sts::<AssumeRoleError>("sts:AssumeRole"))
            .or_else(|| self.sso())
            .or_else(|| self.instance())
            .or_else(|| self.token_file())
            .or_else(|| self.of_the_profile())
            .or_else(|| self.container())
            .unwrap_or_else(|| CredentialsFault::Other { reason: causes(self.error) })
    }

    /// The error or a cause of it, of this type.
    fn find<E: Error + 'static>(&self) -> Option<&E> {
        with_causes(self.error).find_map(|error| error.downcast_ref())
    }

    /// No way has brought any, and none has failed: all of them say that they were not asked for.
    fn nothing_found(&self) -> Option<CredentialsFault> {
        let chain = self.find::<ProviderChainError<CredentialsError>>()?;
        let profile = self.profile.name.clone();
        let attempt = |name: &str| chain.attempts().iter().find(|attempt| attempt.name() == name);
        if let Some(reason) = self.profile.fault() {
            return Some(CredentialsFault::Profile { profile, reason });
        }
        // A profile that names another which is not there.
        let source = attempt("Profile").and_then(|attempt| attempt.error().source());
        if let (Some(source), true) = (source, self.profile.is_there()) {
            return Some(CredentialsFault::Profile { profile, reason: source.to_string() });
        }
        let instance = attempt("Ec2InstanceMetadata").and_then(|attempt| attempt.error().source());
        let instance = instance.map_or_else(|| "not asked".to_owned(), causes);
        Some(CredentialsFault::Nothing { profile, instance })
    }

    fn sts<E: ProvideErrorMetadata + Error + 'static>(&self, call: &'static str) -> Option<CredentialsFault> {
        let reason = service_words(self.find::<SdkError<E, HttpResponse>>()?);
        let role = self.profile.role().or_else(|| self.env.get("AWS_ROLE_ARN").ok());
        Some(CredentialsFault::Sts { call, role: role.unwrap_or_else(|| "a role".into()), reason })
    }

    fn sso(&self) -> Option<CredentialsFault> {
        let profile = self.profile.name.clone();
        if let Some(refused) = self.find::<SdkError<GetRoleCredentialsError, HttpResponse>>() {
            let reason = service_words(refused);
            let is_over =
                matches!(refused, SdkError::ServiceError(service) if service.err().is_unauthorized_exception());
            return Some(match is_over {
                true => CredentialsFault::SsoSession { profile, reason },
                false => CredentialsFault::Sso { profile, reason },
            });
        }
        let token = self.find::<TokenError>().map(|error| error as &dyn Error);
        // A profile without `sso_session` keeps its token by another way, whose errors are the
        // SDK's own.
        let cached = || matches!(self.profile.base, Some(Base::Sso)).then(|| self.error.source()).flatten();
        let reason = token.and_then(Error::source).or_else(cached).map(causes)?;
        Some(CredentialsFault::SsoSession { profile, reason })
    }

    fn instance(&self) -> Option<CredentialsFault> {
        let error = self.find::<ImdsError>()?;
        let url = self.env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let url = url.unwrap_or_else(|_| "http://169.254.169.254".into());
        let reason = match error {
            ImdsError::ErrorResponse(refused) => format!("HTTP {}", refused.response().status().as_u16()),
            other => causes(other),
        };
        Some(CredentialsFault::Endpoint { url, reason })
    }

    /// Only the files with tokens are read by the chain's ways themselves.
    fn token_file(&self) -> Option<CredentialsFault> {
        let error = self.error.source()?.downcast_ref::<std::io::Error>()?;
        let of_the_profile = match &self.profile.base {
            Some(Base::WebIdentity { token_file }) => Some(("web_identity_token_file", token_file.clone())),
            Some(Base::Sso | Base::Process | Base::Keys | Base::Elsewhere) | None => None,
        };
        let variables = ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"];
        let of_the_env = || variables.into_iter().find_map(|name| Some((name, self.env.get(name).ok()?)));
        let (variable, path) = of_the_profile.or_else(of_the_env)?;
        Some(CredentialsFault::TokenFile { variable, path, reason: error.to_string() })
    }

    /// What else a profile can fail at.
    fn of_the_profile(&self) -> Option<CredentialsFault> {
        let profile = self.profile.name.clone();
        let reason = || self.error.source().map_or_else(|| self.error.to_string(), causes);
        match (self.error, &self.profile.base) {
            (CredentialsError::InvalidConfiguration(_), _) if self.container_url().is_none() => {
                Some(CredentialsFault::Profile { profile, reason: capped(&reason()) })
            }
            (CredentialsError::ProviderError(_), Some(Base::Process)) => {
                Some(CredentialsFault::Process { profile, reason: of_a_process(&reason()) })
            }
            _ => None,
        }
    }

    fn container(&self) -> Option<CredentialsFault> {
        let url = self.container_url()?;
        let reason = self.error.source().map_or_else(|| self.error.to_string(), causes);
        Some(CredentialsFault::Endpoint { url, reason: capped(&reason) })
    }

    fn container_url(&self) -> Option<String> {
        let relative = self.env.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").ok();
        let relative = relative.map(|path| format!("http://169.254.170.2{path}"));
        relative.or_else(|| self.env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI").ok())
    }
}

/// AWS's code and message, or why it was not asked.
fn service_words<E: ProvideErrorMetadata + Error + 'static>(error: &SdkError<E, HttpResponse>) -> String {
    match error {
        SdkError::ServiceError(service) => {
            let code = service.err().code().unwrap_or("no code");
            format!("{code}: {}", service.err().message().unwrap_or("no message"))
        }
        other => causes(other),
    }
}

/// `… exited with code exit status: 3. Stderr: …`, as the SDK has it: the status, and the last
/// line, where programs say why.
fn of_a_process(reason: &str) -> String {
    let Some((head, stderr)) =
        reason.split_once("exited with code ").and_then(|(_, rest)| rest.split_once(". Stderr: "))
    else {
        return capped(reason);
    };
    match stderr.lines().rfind(|line| !line.trim().is_empty()) {
        Some(line) => format!("it ended with {head}: {}", capped(line.trim())),
        None => format!("it ended with {head}, and said nothing on stderr"),
    }
}

fn capped(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.char_indices().nth(REASON_MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests;
