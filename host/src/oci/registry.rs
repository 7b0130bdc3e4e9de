//! A repository of a registry, by OCI's distribution specification: manifests and blobs, read and
//! written, as whom docker's config says.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde::Deserialize;
use url::Url;
use wasq_core::aws::ecr::{Ecr, NoPassword, ecr_region};

use super::artifact::{ACCEPT, MANIFEST_TYPE, digest};
use super::challenge::Challenge;
use super::credentials::Credentials;
use super::error::OciError;
use super::http::{Call, Http, body};
use crate::config::{AwsConfig, OciReference, is_digest};

/// What registries have to take at least, by the distribution specification.
const MANIFEST_MAX_BYTES: usize = 4 * 1024 * 1024;
/// An error or a token.
const SMALL_MAX_BYTES: usize = 64 * 1024;
/// What is shown of a registry's own words.
const REASON_MAX_CHARS: usize = 200;
const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_API: &str = "registry-1.docker.io";
const DIGEST_HEADER: &str = "docker-content-digest";

/// What is to be done in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Pull,
    Push,
}

impl Access {
    fn verb(self) -> &'static str {
        match self {
            Self::Pull => "pull from",
            Self::Push => "push to",
        }
    }

    fn scope(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
        }
    }
}

/// How registries are asked.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Those that are asked without TLS.
    pub plain_http: Vec<String>,
    /// Where AWS is, whose registries have passwords by its credentials.
    pub aws: AwsConfig,
}

/// One repository, for one piece of work.
pub struct Registry {
    http: Http,
    registry: String,
    repository: String,
    base: Url,
    access: Access,
    credentials: Credentials,
    /// What the registry has asked for.
    authorization: Mutex<Option<HeaderValue>>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Registry {
    /// Asks the registry nothing yet.
    ///
    /// # Errors
    /// Credentials or a proxy that cannot be read.
    pub async fn open(reference: &OciReference, access: Access, settings: &Settings) -> Result<Self, OciError> {
        let OciReference { registry, repository, .. } = reference;
        let is_plain = settings.plain_http.contains(registry) || is_this_machine(registry);
        let (host, repository) = match registry.as_str() {
            DOCKER_HUB if !repository.contains('/') => (DOCKER_HUB_API, format!("library/{repository}")),
            DOCKER_HUB => (DOCKER_HUB_API, repository.clone()),
            other => (other, repository.clone()),
        };
        let scheme = if is_plain { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{host}/v2/{repository}/"));
        let base =
            base.map_err(|error| OciError::Unreachable { registry: registry.clone(), reason: error.to_string() })?;
        let credentials = match (Credentials::of(registry).await?, ecr_region(registry)) {
            (Credentials::Anonymous, Some(region)) => {
                let password = Ecr::new(&settings.aws).password(region).await;
                let refused =
                    |error: NoPassword| OciError::Ecr { registry: registry.clone(), reason: error.to_string() };
                let (user, password) = password.map_err(refused)?;
                Credentials::Basic { user, password }
            }
            (credentials, _) => credentials,
        };
        let registry = registry.clone();
        Ok(Self {
            http: Http::new()?,
            registry,
            repository,
            base,
            access,
            credentials,
            authorization: Mutex::default(),
        })
    }

    /// The digest that a version has now, if the registry tells it without the manifest.
    ///
    /// # Errors
    /// [`OciError::Unknown`] where there is none.
    pub async fn digest_of(&self, reference: &OciReference) -> Result<Option<String>, OciError> {
        let mut call = self.call(Method::HEAD, &format!("manifests/{}", reference.version()));
        call.accept = Some(ACCEPT);
        let response = self.answered(self.send(call).await?, reference).await?;
        let found = response.headers().get(DIGEST_HEADER).and_then(|value| value.to_str().ok());
        Ok(found.filter(|found| is_digest(found)).map(str::to_owned))
    }

    /// A version's manifest and its digest, which is the one that was asked for.
    ///
    /// # Errors
    /// Also bytes that have another digest.
    pub async fn manifest(&self, reference: &OciReference) -> Result<(Bytes, String), OciError> {
        let mut call = self.call(Method::GET, &format!("manifests/{}", reference.version()));
        call.accept = Some(ACCEPT);
        let response = self.answered(self.send(call).await?, reference).await?;
        let bytes = body(&self.registry, response, MANIFEST_MAX_BYTES).await?;
        let bytes = bytes.ok_or_else(|| self.protocol(format!("a manifest of over {MANIFEST_MAX_BYTES} bytes")))?;
        let found = digest(&bytes);
        match &reference.digest {
            Some(expected) if *expected != found => {
                Err(OciError::Digest { reference: Box::new(reference.clone()), expected: expected.clone(), found })
            }
            Some(_) | None => Ok((bytes, found)),
        }
    }

    /// A blob of `size` bytes, which has this digest.
    ///
    /// # Errors
    /// Also bytes that have another digest, or more of them.
    pub async fn blob(&self, reference: &OciReference, of: &str, size: u64) -> Result<Bytes, OciError> {
        let response = self.send(self.call(Method::GET, &format!("blobs/{of}"))).await?;
        let response = self.answered(response, reference).await?;
        let limit = usize::try_from(size).unwrap_or(usize::MAX);
        let bytes = body(&self.registry, response, limit).await?;
        let bytes = bytes.ok_or_else(|| self.protocol(format!("a blob of over its {size} bytes")))?;
        let found = digest(&bytes);
        if found != of {
            return Err(OciError::Digest { reference: Box::new(reference.clone()), expected: of.to_owned(), found });
        }
        Ok(bytes)
    }

    /// Sends a blob, unless it is there.
    ///
    /// # Errors
    /// It is not taken.
    pub async fn put_blob(&self, reference: &OciReference, bytes: Bytes) -> Result<(), OciError> {
        let digest = digest(&bytes);
        let there = self.send(self.call(Method::HEAD, &format!("blobs/{digest}"))).await?;
        if there.status().is_success() {
            return Ok(());
        }
        let begun = self.send(self.call(Method::POST, "blobs/uploads/")).await?;
        let begun = self.answered(begun, reference).await?;
        let location = begun.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let url = location.and_then(|location| self.base.join(location).ok());
        let mut url = url.ok_or_else(|| self.protocol("an upload without a location".into()))?;
        if self.base.scheme() == "https" && url.scheme() != "https" {
            return Err(OciError::Insecure {
                registry: self.registry.clone(),
                url: url.origin().ascii_serialization(),
            });
        }
        url.query_pairs_mut().append_pair("digest", &digest);
        let mut call = Call::new(Method::PUT, url);
        call.content_type = Some("application/octet-stream");
        call.body = bytes;
        self.answered(self.send(call).await?, reference).await.map(drop)
    }

    /// Sends a manifest as the reference's tag. The answer is its digest.
    ///
    /// # Errors
    /// It is not taken.
    pub async fn put_manifest(&self, reference: &OciReference, bytes: Vec<u8>) -> Result<String, OciError> {
        let digest = digest(&bytes);
        let mut call = self.call(Method::PUT, &format!("manifests/{}", reference.version()));
        call.content_type = Some(MANIFEST_TYPE);
        call.body = bytes.into();
        self.answered(self.send(call).await?, reference).await?;
        Ok(digest)
    }

    fn call(&self, method: Method, path: &str) -> Call {
        Call::new(method, self.base.join(path).expect("a version and a digest fit into a path"))
    }

    fn protocol(&self, reason: String) -> OciError {
        OciError::Protocol { registry: self.registry.clone(), reason }
    }

    /// Sends a request; where the registry wants to know who asks, once more.
    async fn send(&self, mut call: Call) -> Result<Response<Incoming>, OciError> {
        // A server that an upload is sent to elsewhere has its own signature in the URL.
        let is_own = call.url.origin() == self.base.origin();
        call.authorization = self.authorization.lock().clone().filter(|_| is_own);
        let response = self.http.send(&self.registry, call.clone()).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !is_own {
            return Ok(response);
        }
        let challenges = response.headers().get_all(header::WWW_AUTHENTICATE);
        let challenge = challenges.iter().find_map(|value| Challenge::parse(value.to_str().ok()?));
        let Some(challenge) = challenge else { return Ok(response) };
        let Some(authorization) = self.authorize(challenge).await? else { return Ok(response) };
        *self.authorization.lock() = Some(authorization.clone());
        call.authorization = Some(authorization);
        self.http.send(&self.registry, call).await
    }

    /// What the registry asks for. None where the host has nothing that would do.
    async fn authorize(&self, challenge: Challenge) -> Result<Option<HeaderValue>, OciError> {
        let (realm, service, scope) = match challenge {
            Challenge::Basic => return Ok(self.basic()),
            Challenge::Bearer { realm, service, scope } => (realm, service, scope),
        };
        let mut url = Url::parse(&realm).map_err(|_| self.protocol("a realm that is no URL".into()))?;
        if url.scheme() != "https" && self.base.scheme() == "https" {
            return Err(OciError::Insecure {
                registry: self.registry.clone(),
                url: url.origin().ascii_serialization(),
            });
        }
        let scope = scope.unwrap_or_else(|| format!("repository:{}:{}", self.repository, self.access.scope()));
        let mut call = if let Credentials::Identity(token) = &self.credentials {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.extend_pairs([("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", "wasq")]);
            form.extend_pairs(service.iter().map(|service| ("service", service.as_str())));
            form.append_pair("scope", &scope);
            let mut call = Call::new(Method::POST, url);
            call.content_type = Some("application/x-www-form-urlencoded");
            call.body = form.finish().into();
            call
        } else {
            url.query_pairs_mut().extend_pairs(service.iter().map(|service| ("service", service.as_str())));
            url.query_pairs_mut().append_pair("scope", &scope);
            let mut call = Call::new(Method::GET, url);
            call.authorization = self.basic();
            call
        };
        call.accept = Some("application/json");
        let response = self.http.send(&self.registry, call).await?;
        let status = response.status();
        if !status.is_success() {
            let reason = self.reason(response).await;
            return Err(self.refused(status, reason));
        }
        let bytes = body(&self.registry, response, SMALL_MAX_BYTES).await?.unwrap_or_default();
        let token = serde_json::from_slice::<Token>(&bytes).ok().and_then(|token| token.token.or(token.access_token));
        let token = token.ok_or_else(|| self.protocol("an answer without a token".into()))?;
        let value = secret_header(&format!("Bearer {token}"));
        value.map(Some).ok_or_else(|| self.protocol("a token that is no header".into()))
    }

    fn basic(&self) -> Option<HeaderValue> {
        match &self.credentials {
            Credentials::Basic { user, password } => {
                secret_header(&format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
            }
            Credentials::Anonymous | Credentials::Identity(_) => None,
        }
    }

    /// An answer that is a success, or the error that it is.
    async fn answered(
        &self,
        response: Response<Incoming>,
        reference: &OciReference,
    ) -> Result<Response<Incoming>, OciError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if status == StatusCode::NOT_FOUND && self.access == Access::Pull {
            return Err(OciError::Unknown { reference: Box::new(reference.clone()) });
        }
        let reason = self.reason(response).await;
        Err(self.refused(status, reason))
    }

    fn refused(&self, status: StatusCode, reason: String) -> OciError {
        let registry = self.registry.clone();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => OciError::Denied {
                registry,
                repository: self.repository.clone(),
                account: self.credentials.account(),
                action: self.access.verb(),
                status,
                reason,
            },
            status => OciError::Status { registry, status, reason },
        }
    }

    /// The registry's own words, cut and escaped.
    async fn reason(&self, response: Response<Incoming>) -> String {
        let bytes = body(&self.registry, response, SMALL_MAX_BYTES).await;
        let errors = bytes.ok().flatten().and_then(|bytes| serde_json::from_slice::<Errors>(&bytes).ok());
        let first = errors.and_then(|errors| errors.errors.into_iter().next());
        let words = first.map(|first| format!("{} {}", first.code, first.message));
        let words = words.unwrap_or_else(|| "it does not say why".into());
        words.trim().chars().take(REASON_MAX_CHARS).flat_map(char::escape_debug).collect()
    }
}

fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Whether a registry is on this machine: no network is between.
fn is_this_machine(registry: &str) -> bool {
    let url = Url::parse(&format!("http://{registry}/"));
    match url.as_ref().ok().and_then(Url::host) {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked_without_tls_by_itself() {
        for here in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"] {
            assert!(is_this_machine(here), "{here}");
        }
        for there in ["localhost.example", "127.0.0.1.example:5000", "10.0.0.1", "[::2]", "r.example"] {
            assert!(!is_this_machine(there), "{there}");
        }
    }
}
