//! Why a call came to no answer of its service, out of the SDK's own errors.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;

use super::credentials::CredentialsFault;
use crate::causes::{causes, with_causes};

/// Why a call came to no answer of its service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    #[error("no AWS credentials: {0}")]
    Credentials(CredentialsFault),
    /// Waiting does not bring any.
    #[error("no AWS region; set `region` in [aws], AWS_REGION, or a profile with one")]
    Region,
    /// The way there, or what is at its end.
    #[error("{0}")]
    Other(String),
}

impl NoAnswer {
    /// From an SDK's error that is no answer.
    pub fn of<E: Error + 'static>(error: &E) -> Self {
        let all = || with_causes(error);
        if let Some(fault) = all().find_map(|error| error.downcast_ref::<CredentialsFault>()) {
            return Self::Credentials(fault.clone());
        }
        if let Some(error) = all().find_map(|error| error.downcast_ref::<CredentialsError>()) {
            return Self::Credentials(CredentialsFault::Other { reason: causes(error) });
        }
        // Each service's endpoint rules say so in an error that is theirs alone.
        if all().any(|error| error.to_string().contains("Missing Region")) {
            return Self::Region;
        }
        Self::Other(causes(error))
    }
}
