//! Who signs: the host itself, or a role that it assumes. Credentials are fetched when the first
//! request needs them, are shared by all that sign as the same identity, and are fetched again
//! before they end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_config::SdkConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_types::error::ErrorMetadata;
use parking_lot::RwLock;
use tokio::sync::{Mutex, OnceCell, OwnedMutexGuard};
use tokio::time::Instant;

use super::{AwsConfig, CredentialsFault, NoAnswer, sdk_config};
use crate::causes::{causes, with_causes};
use crate::clock;

/// How long one fetch may take, with the SDK's retries in it.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Credentials that name no end are looked for again after this, as the SDK does.
const GOOD_FOR: Duration = Duration::from_secs(15 * 60);
/// How long before their end credentials are fetched again, while they still serve.
const REFRESH_BEFORE: Duration = Duration::from_secs(5 * 60);
/// How long before their end they serve no more: a request takes some time to arrive.
const UNUSED_BEFORE: Duration = Duration::from_secs(10);
/// The pause after a fetch that failed. Until then the last failure is the answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The SDK's own variable for where STS is.
const STS_ENDPOINT: &str = "AWS_ENDPOINT_URL_STS";
/// The longest name of a session of STS.
const SESSION_NAME_MAX: usize = 64;

/// A role to assume, and the name that the session has in the account's logs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Role {
    pub arn: String,
    session: String,
}

impl Role {
    /// What STS does not take in a session's name is written as `-`, and what is too long is cut.
    pub fn new(arn: impl Into<String>, session: &str) -> Self {
        let fits = |c: char| if c.is_ascii_alphanumeric() || "_+=,.@-".contains(c) { c } else { '-' };
        Self { arn: arn.into(), session: session.chars().take(SESSION_NAME_MAX).map(fits).collect() }
    }
}

/// Why nothing can be signed now. The words have no secret in them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoIdentity {
    #[error("{0}")]
    Own(NoAnswer),
    #[error("the role {arn} was not given to it: {reason}")]
    Role { arn: String, reason: NoAnswer },
}

impl NoIdentity {
    /// What is missing, in few words: a breaker's name for it.
    pub fn dependency(&self) -> String {
        match self {
            Self::Own(NoAnswer::Region) => "AWS region".into(),
            Self::Own(NoAnswer::Credentials(_) | NoAnswer::Other(_)) => "AWS credentials".into(),
            Self::Role { arn, .. } => format!("role {arn}"),
        }
    }
}

/// Every identity of one host. Clones share them.
#[derive(Clone, Debug)]
pub struct Identities(Arc<All>);

#[derive(Debug)]
struct All {
    sdk: Arc<Sdk>,
    made: parking_lot::Mutex<BTreeMap<Option<Role>, Arc<Identity>>>,
}

/// The SDK's settings, read when they are first needed.
#[derive(Debug)]
struct Sdk {
    aws: AwsConfig,
    read: OnceCell<SdkConfig>,
}

impl Sdk {
    async fn config(&self) -> &SdkConfig {
        let read = async {
            // What the environment says of STS comes before what the config says of all services.
            let own = std::env::var(STS_ENDPOINT).ok();
            let endpoint_url = own.or_else(|| self.aws.endpoint_url.clone());
            sdk_config(&AwsConfig { endpoint_url, ..self.aws.clone() }).await
        };
        self.read.get_or_init(|| read).await
    }
}

impl Identities {
    /// Nothing is read or asked for yet.
    pub fn new(aws: AwsConfig) -> Self {
        let sdk = Arc::new(Sdk { aws, read: OnceCell::new() });
        Self(Arc::new(All { sdk, made: parking_lot::Mutex::default() }))
    }

    /// The host itself, or the role that it assumes: one identity for each role and session.
    pub fn identity(&self, role: Option<Role>) -> Arc<Identity> {
        let mut made = self.0.made.lock();
        let make = || Arc::new(Identity::new(self.0.sdk.clone(), role.clone()));
        made.entry(role.clone()).or_insert_with(make).clone()
    }
}

/// One identity and its credentials.
#[derive(Debug)]
pub struct Identity {
    sdk: Arc<Sdk>,
    role: Option<Role>,
    current: RwLock<Option<Current>>,
    /// Held while they are fetched: many requests at once fetch them once.
    fetching: Arc<Mutex<Fetching>>,
}

#[derive(Clone, Debug)]
struct Current {
    credentials: Credentials,
    refresh_at: Instant,
    /// None where they do not end.
    unused_from: Option<Instant>,
}

#[derive(Debug, Default)]
struct Fetching {
    provider: Option<SharedCredentialsProvider>,
    /// The last fetch, if it failed, and when the next one may be.
    failed: Option<(NoIdentity, Instant)>,
}

impl Identity {
    fn new(sdk: Arc<Sdk>, role: Option<Role>) -> Self {
        Self { sdk, role, current: RwLock::default(), fetching: Arc::default() }
    }

    /// Credentials that are good now.
    ///
    /// They are fetched in a task of their own: a request that is given up, because its time is
    /// over or its handler is, does not make the next one begin anew.
    ///
    /// # Errors
    /// When there are none, or STS does not give the role, or neither answers in time.
    pub async fn credentials(self: &Arc<Self>) -> Result<Credentials, NoIdentity> {
        let renewed = |fetching| tokio::spawn(self.clone().renew(fetching));
        match self.good() {
            Some((credentials, true)) => Ok(credentials),
            // They still serve, and nobody waits for the next ones.
            Some((credentials, false)) => {
                if let Ok(fetching) = self.fetching.clone().try_lock_owned() {
                    renewed(fetching);
                }
                Ok(credentials)
            }
            None => {
                let fetching = self.fetching.clone().lock_owned().await;
                renewed(fetching).await.unwrap_or_else(|error| Err(self.not_given(NoAnswer::Other(causes(&error)))))
            }
        }
    }

    async fn renew(self: Arc<Self>, mut fetching: OwnedMutexGuard<Fetching>) -> Result<Credentials, NoIdentity> {
        let good = self.good();
        if let Some((credentials, true)) = good {
            return Ok(credentials);
        }
        if let Some((error, _)) = fetching.failed.as_ref().filter(|(_, again)| clock::now() < *again) {
            return Err(error.clone());
        }
        match self.fetch(&mut fetching.provider).await {
            Ok(credentials) => {
                fetching.failed = None;
                *self.current.write() = Some(Current::new(credentials.clone()));
                Ok(credentials)
            }
            Err(error) => {
                let last_are_good = good.is_some();
                tracing::warn!(%error, last_are_good, "no AWS credentials to sign with were given");
                fetching.failed = Some((error.clone(), clock::now() + RETRY_AFTER));
                Err(error)
            }
        }
    }

    /// The region of the host, where neither an endpoint nor a rule tells one.
    ///
    /// # Errors
    /// When the SDK's chain has none.
    pub async fn region(&self) -> Result<String, NoIdentity> {
        let region = self.sdk.config().await.region();
        region.map(ToString::to_string).ok_or(NoIdentity::Own(NoAnswer::Region))
    }

    /// What is kept and can be used, and whether nothing newer is wanted yet.
    fn good(&self) -> Option<(Credentials, bool)> {
        let now = clock::now();
        let current = self.current.read();
        let current = current.as_ref().filter(|current| current.unused_from.is_none_or(|end| now < end))?;
        Some((current.credentials.clone(), now < current.refresh_at))
    }

    async fn fetch(&self, provider: &mut Option<SharedCredentialsProvider>) -> Result<Credentials, NoIdentity> {
        let fetch = async {
            if provider.is_none() {
                *provider = self.provider().await;
            }
            let provider =
                provider.as_ref().ok_or_else(|| NoAnswer::Other("the SDK has no chain of credentials".into()))?;
            provider.provide_credentials().await.map_err(|error| reason(&error))
        };
        let too_late = |_| Err(NoAnswer::Other(format!("no answer within {FETCH_TIMEOUT:?}")));
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, fetch).await.unwrap_or_else(too_late);
        fetched.map_err(|reason| self.not_given(reason))
    }

    fn not_given(&self, reason: NoAnswer) -> NoIdentity {
        match &self.role {
            None => NoIdentity::Own(reason),
            Some(role) => NoIdentity::Role { arn: role.arn.clone(), reason },
        }
    }

    async fn provider(&self) -> Option<SharedCredentialsProvider> {
        let sdk = self.sdk.config().await;
        let Some(role) = &self.role else { return sdk.credentials_provider() };
        let assume = AssumeRoleProvider::builder(&role.arn).session_name(&role.session).configure(sdk);
        Some(SharedCredentialsProvider::new(assume.build().await))
    }
}

impl Current {
    fn new(credentials: Credentials) -> Self {
        let now = clock::now();
        let unix_now = UNIX_EPOCH + Duration::from_millis(clock::unix_ms().0);
        let left = credentials.expiry().map(|end| end.duration_since(unix_now).unwrap_or_default());
        // Of short ones the half: they are not to be fetched with each request.
        let refresh_in = left.map_or(GOOD_FOR, |left| left.saturating_sub(REFRESH_BEFORE).max(left / 2));
        let unused_from = left.map(|left| now + left.saturating_sub(UNUSED_BEFORE));
        Self { credentials, refresh_at: now + refresh_in, unused_from }
    }
}

/// Why a provider gave none: as the chain explains it, else the service's own words where it has
/// answered.
fn reason(error: &CredentialsError) -> NoAnswer {
    let is_explained = with_causes(error).any(|error| error.is::<CredentialsFault>());
    let answers = || with_causes(error).filter_map(|error| error.downcast_ref::<ErrorMetadata>());
    if is_explained || answers().next().is_none() {
        return NoAnswer::of(error);
    }
    let words = answers().find_map(|answer| {
        let (code, message) = (answer.code()?, answer.message().unwrap_or("no reason given"));
        Some(format!("{code}: {message}"))
    });
    NoAnswer::Other(words.unwrap_or_else(|| "its refusal cannot be read".into()))
}

#[cfg(test)]
mod tests;
