//! Signatures for AWS, which the host sets on a plugin's requests to the destinations that the
//! operator names. The guest never has credentials.
//!
//! What the operator did not grant there is refused before it is sent. A body is read whole first,
//! since its hash is signed.

mod body;
mod granted;

use std::sync::Arc;

use http::Request;
use tokio::time::Instant;
use wasmtime_wasi_http::{Error, WasiBody};
use wasq_core::aws::identity::{Identities, NoIdentity, Role};
use wasq_core::aws::signer::{SignError, Signer};

use super::destination::{Destination, DestinationError, Target};
use crate::config::{Limits, SignRule};

pub use body::BodyRoom;
pub use granted::NotGranted;

/// One plugin's signed destinations.
#[derive(Clone, Default)]
pub struct Signing(Arc<[SignedDestination]>);

/// A destination whose requests are signed.
pub struct SignedDestination {
    destination: Destination,
    /// Its key in the config.
    key: String,
    rule: SignRule,
    signer: Signer,
    room: BodyRoom,
}

/// A rule whose destination cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct SignRuleError {
    key: String,
    reason: DestinationError,
}

/// Why a request is not signed.
pub enum Unsigned {
    /// The host has no credentials for it now, or no region.
    NoIdentity(NoIdentity),
    Http(Error),
}

impl Signing {
    /// # Errors
    /// When a destination is none.
    pub fn new(
        plugin: &str,
        rules: Vec<(String, SignRule)>,
        identities: &Identities,
        room: &BodyRoom,
    ) -> Result<Self, SignRuleError> {
        let session = format!("wasq-{plugin}");
        let destinations = rules.into_iter().map(|(text, rule)| {
            let key = format!("plugins.{plugin}.sign.{text:?}");
            let destination = Destination::parse(&text).map_err(|reason| SignRuleError { key: key.clone(), reason })?;
            let role = rule.role.as_ref().map(|arn| Role::new(arn, &session));
            let signer = Signer::new(identities.identity(role), &rule.service, rule.region.clone());
            Ok(SignedDestination { destination, key, rule, signer, room: room.clone() })
        });
        Ok(Self(destinations.collect::<Result<_, SignRuleError>>()?))
    }

    /// How requests to this target are signed, if they are. One host's own rule comes before that
    /// of a wildcard.
    pub(super) fn of(&self, target: &Target) -> Option<&SignedDestination> {
        let matching = self.0.iter().filter(|to| to.destination.matches(&target.scheme, &target.host, target.port));
        matching.max_by_key(|to| (!to.destination.has_wildcard(), to.destination.host().len()))
    }

    /// The destinations whose requests are signed.
    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        self.0.iter().map(|to| &to.destination)
    }

    /// The keys of destinations that `allowed` leaves nothing of: nothing is ever signed for them.
    pub fn unused(&self, allowed: &[Destination]) -> impl Iterator<Item = &str> {
        let may_be_called = |to: &Destination| allowed.iter().any(|allowed| allowed.covers(to) || to.covers(allowed));
        self.0.iter().filter(move |to| !may_be_called(&to.destination)).map(|to| to.key.as_str())
    }

    /// Each destination for which nothing can be signed now, with the reason.
    pub async fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for to in self.0.iter() {
            if let Err(error) = to.signer.check().await {
                missing.push(format!("{}: {error}", to.key));
            }
        }
        missing
    }
}

impl SignedDestination {
    /// Whether the operator lets this request be signed. `uri` is the guest's own, and `request` is
    /// what would be sent.
    ///
    /// # Errors
    /// What of it was not granted, with the key that grants it.
    pub fn check(&self, uri: &http::Uri, request: &http::request::Parts) -> Result<(), Box<NotGranted>> {
        granted::check(&self.rule, &self.key, self.signer.is_s3(), uri, request)
    }

    /// Reads the body and signs the request. Its body waits for room until `until`.
    ///
    /// # Errors
    /// When the body is longer than may be signed, or breaks off, or finds no room; when there are
    /// no credentials.
    pub async fn sign(
        &self,
        request: Request<WasiBody>,
        limits: &Limits,
        until: Instant,
    ) -> Result<Request<WasiBody>, Unsigned> {
        let (mut parts, body) = request.into_parts();
        let may_be_unsigned = self.signer.is_s3() && parts.uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        let hashed = body::hashed(body, &parts.headers, may_be_unsigned, limits, &self.room, until).await;
        let (body, hash) = hashed.map_err(Unsigned::Http)?;
        self.signer.sign(&mut parts, hash).await.map_err(|error| match error {
            SignError::NoIdentity(error) => Unsigned::NoIdentity(error),
            SignError::Unsignable(_) => Unsigned::Http(Error::InternalError(Some(error.to_string()))),
        })?;
        Ok(Request::from_parts(parts, body))
    }
}

#[cfg(test)]
mod tests;
