//! What can go wrong between the host and a registry, each with the way out.

use std::path::PathBuf;

use http::StatusCode;

use crate::config::OciReference;

/// Why a plugin could not be pulled or pushed.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    #[error("the registry {registry} does not answer: {reason}; check its name, and that this host reaches it")]
    Unreachable { registry: String, reason: String },
    #[error(
        "the registry {registry} refuses to let {account} {action} {repository} ({status}): {reason}; log in with `docker login \
         {registry}`, or give that account the right to"
    )]
    Denied {
        registry: String,
        repository: String,
        account: String,
        action: &'static str,
        status: StatusCode,
        reason: String,
    },
    #[error("the registry {} has no {reference}; check the name and the version, or push it: wasq push FILE {reference}", reference.registry)]
    Unknown { reference: Box<OciReference> },
    #[error("the registry {registry} answered {status}: {reason}; its log says more")]
    Status { registry: String, status: StatusCode, reason: String },
    #[error("the registry {registry} sent what its protocol does not have: {reason}")]
    Protocol { registry: String, reason: String },
    #[error("{reference} is {found}, and no WebAssembly component; push one with `wasq push` (config {expected})")]
    OtherArtifact { reference: Box<OciReference>, found: String, expected: &'static str },
    #[error("{reference} has {size} bytes; the limit is {limit} (limits.max_component)")]
    TooLarge { reference: Box<OciReference>, size: u64, limit: u64 },
    #[error(
        "{reference} has the digest {found}, and {expected} was asked for: the registry, or what is between, changed it; push it again"
    )]
    Digest { reference: Box<OciReference>, expected: String, found: String },
    #[error("cannot read the credentials in {}: {reason}; log in again with `docker login`", path.display())]
    Config { path: PathBuf, reason: String },
    #[error(
        "cannot get the credentials for {registry} from {program}: {reason}; log in again, or take it out of docker's config.json"
    )]
    Helper { registry: String, program: String, reason: String },
    #[error(
        "cannot get a password for {registry} from ECR: {reason}; allow ecr:GetAuthorizationToken, or log in with docker"
    )]
    Ecr { registry: String, reason: String },
    #[error("{0}; the proxy is used for registries, too")]
    Proxy(#[from] wasq_core::proxy::BadProxy),
    #[error("the registry {registry} sends to {url}, which is not secure; let it send to https://")]
    Insecure { registry: String, url: String },
    #[error("the cache of plugins in {} cannot be used: {reason}; set oci.cache to a directory this user may write to", dir.display())]
    Cache { dir: PathBuf, reason: String },
}
