//! A whole artifact, pulled or pushed.

use std::time::Duration;

use bytes::Bytes;

use super::artifact::{ArtifactManifest, Contents};
use super::error::OciError;
use super::registry::{Access, Registry, Settings};
use crate::config::OciReference;

/// How long one artifact may take.
const TRANSFER_MAX: Duration = Duration::from_secs(5 * 60);

/// What a reference stands for.
pub struct Artifact {
    /// The manifest's digest.
    pub digest: String,
    /// The manifest, as the registry has it.
    pub manifest: Bytes,
    pub component: Bytes,
    /// minisign's signature of the component, if it came with one.
    pub signature: Option<String>,
}

/// Pulls an artifact whose component has at most `limit` bytes.
///
/// # Errors
/// What is wrong with the registry, the reference or the artifact.
pub async fn pull(registry: &Registry, reference: &OciReference, limit: u64) -> Result<Artifact, OciError> {
    let pull = async {
        let (bytes, digest) = registry.manifest(reference).await?;
        let manifest = ArtifactManifest::parse(reference, &bytes)?;
        let layer = manifest.layer();
        if layer.size > limit {
            return Err(OciError::TooLarge { reference: Box::new(reference.clone()), size: layer.size, limit });
        }
        let component = registry.blob(reference, &layer.digest, layer.size).await?;
        let signature = manifest.signature().map(str::to_owned);
        Ok(Artifact { digest, manifest: bytes, component, signature })
    };
    within(reference, pull).await
}

/// Pushes a component. The answer is the manifest's digest.
///
/// # Errors
/// What is wrong with the registry, or with the rights there.
pub async fn push(
    reference: &OciReference,
    component: Bytes,
    contents: &Contents<'_>,
    settings: &Settings,
) -> Result<String, OciError> {
    let push = async {
        let registry = Registry::open(reference, Access::Push, settings).await?;
        let (config, manifest) = ArtifactManifest::of(&component, contents);
        registry.put_blob(reference, component).await?;
        registry.put_blob(reference, config.into()).await?;
        registry.put_manifest(reference, manifest.bytes()).await
    };
    within(reference, push).await
}

async fn within<T>(reference: &OciReference, work: impl Future<Output = Result<T, OciError>>) -> Result<T, OciError> {
    let too_long = |_| OciError::Unreachable {
        registry: reference.registry.clone(),
        reason: format!("it takes longer than {TRANSFER_MAX:?}"),
    };
    tokio::time::timeout(TRANSFER_MAX, work).await.map_err(too_long)?
}
