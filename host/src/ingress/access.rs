//! Who may send what: bearer tokens, and the signatures of webhooks.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::time::Instant;
use wasq_core::message::UnixMs;

use super::failure::Failure;
use super::token_bucket::TokenBucket;
use crate::config::{Ingress, SignatureConfig};
use crate::sandbox::egress::Secrets;

/// The rules of the port.
pub struct Access {
    secrets: Arc<Secrets>,
    takes_anonymous: bool,
    tokens: Vec<Token>,
}

struct Token {
    name: String,
    secret: String,
    types: Vec<String>,
    bucket: Option<TokenBucket>,
}

/// Who has sent a request.
#[derive(Clone, Copy)]
pub struct Sender<'a> {
    /// The token's name in the config; none of who sends without one.
    pub name: Option<&'a str>,
    bucket: Option<&'a TokenBucket>,
}

impl Access {
    pub fn new(config: &Ingress, secrets: Arc<Secrets>) -> Self {
        let now = wasq_core::clock::now();
        let token = |(name, token): (&String, &crate::config::TokenConfig)| Token {
            name: name.clone(),
            secret: token.secret.clone(),
            types: token.types.clone(),
            bucket: token.rate.map(|rate| TokenBucket::new(rate, now)),
        };
        Self { secrets, takes_anonymous: config.takes_anonymous(), tokens: config.tokens.iter().map(token).collect() }
    }

    /// Who sends a message of this type; or why it may not.
    pub fn sender(&self, headers: &HeaderMap, kind: &str) -> Result<Sender<'_>, Failure> {
        self.refresh();
        let Some(said) = headers.get(header::AUTHORIZATION) else {
            return match self.takes_anonymous {
                true => Ok(Sender { name: None, bucket: None }),
                false => Err(unauthorized("send a token, as `Authorization: Bearer TOKEN`")),
            };
        };
        let token = said.to_str().ok().and_then(|said| said.strip_prefix("Bearer ")).map(str::trim);
        let token = token.ok_or_else(|| unauthorized("send a token, as `Authorization: Bearer TOKEN`"))?;
        // Digests are compared in a time that says nothing about them.
        let digest = blake3::hash(token.as_bytes());
        let is_it = |known: &&Token| {
            let value = self.secrets.value(&known.secret);
            value.is_some_and(|value| blake3::hash(&value) == digest)
        };
        let known = self.tokens.iter().find(is_it).ok_or_else(|| unauthorized("this token is not known"))?;
        if !known.types.iter().any(|pattern| matches(pattern, kind)) {
            return Err(Failure::new(StatusCode::FORBIDDEN, format!("this token may not send the type `{kind}`")));
        }
        Ok(Sender { name: Some(&known.name), bucket: known.bucket.as_ref() })
    }

    /// Checks a webhook's signature.
    pub fn check_signature(
        &self,
        signature: &SignatureConfig,
        headers: &HeaderMap,
        body: &[u8],
        now: UnixMs,
    ) -> Result<(), Failure> {
        self.refresh();
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let said = text(&signature.header).and_then(|said| said.strip_prefix(&signature.prefix));
        let said = said.and_then(from_hex).ok_or_else(|| {
            let SignatureConfig { header, prefix, .. } = signature;
            unauthorized(&format!(
                "the request has no signature: a header `{header}` with `{prefix}` and 64 hexadecimal digits"
            ))
        })?;
        let Some(key) = self.secrets.value(&signature.secret) else {
            return Err(Failure::unavailable("the key of the signature is not known yet"));
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key has any length");
        if let Some(header) = &signature.timestamp_header {
            let time =
                text(header).ok_or_else(|| unauthorized(&format!("the request has no time: a header `{header}`")))?;
            let seconds: u64 = time.parse().map_err(|_| unauthorized("the request's time is no number of seconds"))?;
            let apart = Duration::from_secs(seconds.abs_diff(now.0 / 1_000));
            if apart > signature.tolerance {
                return Err(unauthorized(&format!("the request's time is {apart:?} from ours")));
            }
            mac.update(time.as_bytes());
            mac.update(b".");
        }
        mac.update(body);
        mac.verify_slice(&said).map_err(|_| unauthorized("the signature is not this body's"))
    }

    /// Reads again the files that secrets are in, now and then.
    fn refresh(&self) {
        let now = wasq_core::clock::now();
        if self.secrets.is_stale(now) {
            let secrets = self.secrets.clone();
            tokio::task::spawn_blocking(move || secrets.reread(now));
        }
    }
}

impl Sender<'_> {
    /// Lets so many messages through, or says when.
    pub fn take(&self, count: usize, now: Instant) -> Result<(), Failure> {
        let Some(bucket) = self.bucket else { return Ok(()) };
        bucket.take(count, now).map_err(|wait| {
            Failure::later("this token has sent as many messages as its rate allows", wait.as_secs_f64().ceil() as u64)
        })
    }
}

fn unauthorized(reason: &str) -> Failure {
    Failure::new(StatusCode::UNAUTHORIZED, reason)
}

fn matches(pattern: &str, kind: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => kind.starts_with(prefix),
        None => kind == pattern,
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    blake3::Hash::from_hex(text).ok().map(|hash| *hash.as_bytes())
}
