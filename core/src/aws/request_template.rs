//! The request template: how the calls that every message takes are made without the SDK's
//! machinery, which costs more than all the rest of such a call. The clients of SQS and of DynamoDB
//! have one each.
//!
//! 1. The SDK makes the first call, and every rare one. It finds the endpoint, the region, the
//!    credentials and the clock's skew by its own chains, and it has its own connections.
//! 2. [`RequestTemplates`] is an interceptor and an identity cache of the SDK's client. It watches
//!    each of these calls.
//! 3. Each call that succeeds fills in a [`RequestTemplate`]: the URL, who signs for which region
//!    and service, the skew, the user agent, the connections.
//! 4. The calls of every message repeat the template ([`super::direct`]): another operation and
//!    body, signed anew ([`super::call_signature`]), over the SDK's own connections.
//! 5. A template is good for a minute, and never until the credentials' end. Then the next call is
//!    the SDK's, and fills in a new one.
//! 6. After any failure the template is forgotten, and the next call is the SDK's, with its retries
//!    and its correction of the clock.
//! 7. A call that has failed is made again by the SDK. A receive is not: it would wait twice.
//! 8. `sdk_only = true` in `[aws]` turns all of this off.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use aws_config::SdkConfig;
use aws_config::identity::IdentityCache;
use aws_credential_types::Credentials;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::identity::{
    Identity, IdentityFuture, ResolveCachedIdentity, SharedIdentityCache, SharedIdentityResolver,
};
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use http::header::USER_AGENT;
use http::{HeaderName, HeaderValue, Uri};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::call_signature::CallSigner;
use crate::clock;

/// How long a template is good: so soon a change of credentials or of the clock is followed.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// How long before their end credentials are not used any more: the SDK fetches new ones by then.
const BEFORE_EXPIRY: Duration = Duration::from_secs(10);
/// How long a new connection may take: the SDK's own default.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3_100);

const X_AMZ_USER_AGENT: HeaderName = HeaderName::from_static("x-amz-user-agent");

/// All that a call needs besides its operation and body.
#[derive(Clone)]
pub(super) struct RequestTemplate {
    pub(super) uri: Uri,
    pub(super) signer: CallSigner,
    /// Milliseconds that the service's clock is ahead of ours, as far as the SDK signs by it.
    skew_ms: i64,
    /// The headers that say who calls: `user-agent`, `x-amz-user-agent`.
    pub(super) user_agent: [(HeaderName, HeaderValue); 2],
    pub(super) connector: SharedHttpConnector,
    good_until: Instant,
}

impl fmt::Debug for RequestTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestTemplate").field("uri", &self.uri).finish_non_exhaustive()
    }
}

impl Storable for RequestTemplate {
    type Storer = StoreReplace<Self>;
}

impl RequestTemplate {
    /// The time to sign by.
    pub(super) fn now(&self) -> SystemTime {
        at(clock::unix_ms().0.saturating_add_signed(self.skew_ms))
    }

    /// None where a call is not signed as all of ours are: by AWS4-HMAC-SHA256 in its headers, to
    /// the endpoint's root.
    fn of(request: &HttpRequest, identity: &Identity, components: &RuntimeComponents) -> Option<Self> {
        let who = identity.data::<Credentials>()?.clone();
        let header = |name: &str| request.headers().get(name);
        let (region, service) = scope(header("authorization")?)?;
        let signed_at: jiff::Timestamp =
            jiff::fmt::strtime::parse("%Y%m%dT%H%M%S%z", format!("{}+0000", header("x-amz-date")?.strip_suffix('Z')?))
                .and_then(|time| time.to_timestamp())
                .ok()?;
        let of_the_caller = |name: HeaderName| {
            let value = HeaderValue::from_str(header(name.as_str())?).ok()?;
            Some((name, value))
        };
        let user_agent = [of_the_caller(USER_AGENT)?, of_the_caller(X_AMZ_USER_AGENT)?];
        let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build();
        let now = clock::now();
        let expires_in = identity
            .expiration()
            .map(|end| end.duration_since(at(clock::unix_ms().0)).unwrap_or_default().saturating_sub(BEFORE_EXPIRY));
        let uri: Uri = request.uri().parse().ok()?;
        Some(Self {
            signer: CallSigner::new(&uri, who, region, service)?,
            uri,
            skew_ms: skew_ms(signed_at.as_millisecond(), clock::unix_ms().0),
            user_agent,
            connector: components.http_client()?.http_connector(&settings, components),
            good_until: now + expires_in.map_or(GOOD_FOR, |left| left.min(GOOD_FOR)),
        })
    }
}

fn at(unix_ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms)
}

/// How far `signed_at`, which has whole seconds, is ahead. What is less than a second may be the
/// seconds' rest.
fn skew_ms(signed_at: i64, now: u64) -> i64 {
    let ahead = signed_at - now as i64;
    if (-1_000..=0).contains(&ahead) { 0 } else { ahead }
}

/// Region and service of a signature:
/// `AWS4-HMAC-SHA256 Credential=ID/DATE/REGION/SERVICE/aws4_request, …`.
fn scope(authorization: &str) -> Option<(&str, &str)> {
    let credential = authorization.strip_prefix("AWS4-HMAC-SHA256 Credential=")?.split(',').next()?;
    let mut parts = credential.rsplit('/');
    (parts.next() == Some("aws4_request")).then_some(())?;
    let (service, region) = (parts.next()?, parts.next()?);
    Some((region, service))
}

/// Watches the SDK's calls, and keeps the latest template of one that went well. Clones share it.
#[derive(Clone, Debug)]
pub struct RequestTemplates(Arc<Cache>);

struct Cache {
    credentials: SharedIdentityCache,
    /// Who signs now, by the SDK's own cache.
    identity: Mutex<Option<Identity>>,
    latest: ArcSwapOption<RequestTemplate>,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

impl RequestTemplates {
    /// For a client that is made of these settings. It has to have them as its interceptor and its
    /// identity cache; while it has not, no template is ever filled in, and every call is the
    /// SDK's.
    pub fn new(shared: &SdkConfig) -> Self {
        let credentials = shared.identity_cache().unwrap_or_else(|| IdentityCache::lazy().build());
        Self(Arc::new(Cache { credentials, identity: Mutex::default(), latest: ArcSwapOption::empty() }))
    }

    /// What is known now. None until the SDK has made a call, and again when it should make
    /// another.
    pub(super) fn latest(&self) -> Option<Arc<RequestTemplate>> {
        self.0.latest.load_full().filter(|template| clock::now() < template.good_until)
    }

    /// It does not hold any more: the SDK is to find out.
    pub(super) fn forget(&self) {
        self.0.latest.store(None);
    }
}

impl ResolveCachedIdentity for RequestTemplates {
    fn resolve_cached_identity<'a>(
        &'a self,
        resolver: SharedIdentityResolver,
        components: &'a RuntimeComponents,
        config: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        IdentityFuture::new(async move {
            let identity = self.0.credentials.resolve_cached_identity(resolver, components, config).await?;
            *self.0.identity.lock() = Some(identity.clone());
            Ok(identity)
        })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.credentials.validate_base_client_config(components, config)
    }

    fn validate_final_config(&self, components: &RuntimeComponents, config: &ConfigBag) -> Result<(), BoxError> {
        self.0.credentials.validate_final_config(components, config)
    }
}

impl Intercept for RequestTemplates {
    fn name(&self) -> &'static str {
        "RequestTemplates"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let identity = self.0.identity.lock().clone();
        if let Some(template) =
            identity.and_then(|identity| RequestTemplate::of(context.request(), &identity, components))
        {
            config.interceptor_state().store_put(template);
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let (Some(Ok(_)), Some(template)) = (context.output_or_error(), config.load::<RequestTemplate>()) {
            self.0.latest.store(Some(Arc::new(template.clone())));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_of_a_signature_is_read_from_its_end() {
        let of = |credential: &str| {
            scope(&format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=00"))
                .map(|(region, service)| format!("{region} {service}"))
        };
        assert_eq!(of("AKID/20261127/eu-west-1/sqs/aws4_request").as_deref(), Some("eu-west-1 sqs"));
        assert_eq!(of("odd/id/20261127/eu-west-1/sqs/aws4_request").as_deref(), Some("eu-west-1 sqs"));
        assert_eq!(of("AKID/20261127/eu-west-1/sqs/other"), None);
        assert_eq!(scope("Bearer token"), None);
    }

    #[test]
    fn a_skew_is_more_than_the_rest_of_a_second() {
        assert_eq!(skew_ms(5_000, 5_999), 0);
        assert_eq!(skew_ms(5_000, 5_000), 0);
        assert_eq!(skew_ms(5_000, 605_000), -600_000);
        assert_eq!(skew_ms(605_000, 5_000), 600_000);
    }
}
