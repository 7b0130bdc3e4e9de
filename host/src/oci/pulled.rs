//! The plugins of a config that are in registries: what each reference stands for now, as a file on
//! disk. The host refreshes it in the background; the plugin catalog reads it whenever it is loaded
//! anew. A registry that does not answer takes nothing away: what was pulled last goes on serving.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use parking_lot::Mutex;
use wasq_core::backoff::Backoff;

use super::error::OciError;
use super::registry::{Access, Registry, Settings};
use super::store::Store;
use super::transfer::pull;
use crate::config::{AwsConfig, OciConfig, OciReference};

/// Artifacts that are pulled at once.
const PULLS_AT_ONCE: usize = 4;
/// The first wait behind a look after which a plugin is missing. It doubles, up to the interval.
const MISSING_WAIT: Duration = Duration::from_secs(1);

/// One plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// As the config has it.
    pub reference: OciReference,
    /// What it stands for. None where nothing was ever pulled.
    pub version: Option<PulledVersion>,
    /// Why that may not be what the registry has now.
    pub error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PulledVersion {
    pub digest: String,
    /// The component on disk.
    pub file: PathBuf,
}

/// All of them.
pub struct PulledPlugins {
    config: OciConfig,
    settings: Settings,
    /// The largest component.
    limit: u64,
    current: Mutex<Arc<Vec<Pulled>>>,
}

impl PulledPlugins {
    /// Asks nobody yet.
    pub fn new(config: OciConfig, aws: AwsConfig, limit: u64) -> Self {
        let unknown = |reference: &OciReference| Pulled {
            reference: reference.clone(),
            version: None,
            error: Some("it was not pulled yet".into()),
        };
        let current = config.plugins.iter().map(unknown).collect();
        let settings = Settings { plain_http: config.plain_http.clone(), aws };
        Self { config, settings, limit, current: Mutex::new(Arc::new(current)) }
    }

    pub fn is_empty(&self) -> bool {
        self.config.plugins.is_empty()
    }

    pub fn current(&self) -> Arc<Vec<Pulled>> {
        self.current.lock().clone()
    }

    /// Asks the registries, and pulls what is new. The answer is whether anything is.
    pub async fn refresh(&self) -> bool {
        if self.is_empty() {
            return false;
        }
        let before = self.current();
        let looks: Vec<_> = before.iter().map(|last| self.look(last)).collect();
        let now: Vec<_> = futures::stream::iter(looks).buffered(PULLS_AT_ONCE).collect().await;
        let is_new = *before != now;
        *self.current.lock() = Arc::new(now);
        is_new
    }

    /// Completes when a refresh has found something new.
    pub async fn changed(&self) {
        let backoff = Backoff::new(MISSING_WAIT.min(self.config.poll_interval), self.config.poll_interval);
        let mut failed = 0_u32;
        loop {
            let is_missing = self.current().iter().any(|one| one.version.is_none());
            failed = if is_missing { failed.saturating_add(1) } else { 0 };
            let wait = if is_missing { backoff.jittered(failed) } else { self.config.poll_interval };
            tokio::time::sleep(wait.min(self.config.poll_interval)).await;
            if self.refresh().await {
                return;
            }
        }
    }

    /// What a reference stands for now. What goes wrong is logged when it is new.
    async fn look(&self, last: &Pulled) -> Pulled {
        let reference = last.reference.clone();
        let error = match self.try_look(last).await {
            Ok(version) => return Pulled { reference, version: Some(version), error: None },
            Err(error) => error.to_string(),
        };
        let kept = || {
            let store = Store::open(&self.config.cache).ok()?;
            let digest = store.remembered(&reference)?;
            let file = store.get(&reference, &digest)?;
            Some(PulledVersion { digest, file })
        };
        let version = kept();
        if last.error.as_ref() != Some(&error) {
            match &version {
                Some(PulledVersion { digest, .. }) => {
                    tracing::warn!(%reference, digest, error, "the registry cannot be asked; what was pulled last serves");
                }
                None => tracing::error!(%reference, error, "a plugin cannot be pulled"),
            }
        }
        Pulled { reference, version, error: Some(error) }
    }

    async fn try_look(&self, last: &Pulled) -> Result<PulledVersion, OciError> {
        let reference = &last.reference;
        let store = Store::open(&self.config.cache)?;
        // What was checked once is not read again at each look.
        let checked = |digest: &str| {
            let version = last.version.as_ref().filter(|version| version.digest == digest && version.file.is_file());
            version.map(|version| version.file.clone()).or_else(|| store.get(reference, digest))
        };
        // What a digest stands for never changes.
        if let Some(digest) = &reference.digest
            && let Some(file) = checked(digest)
        {
            return Ok(PulledVersion { digest: digest.clone(), file });
        }
        let registry = Registry::open(reference, Access::Pull, &self.settings).await?;
        let mut wanted = reference.clone();
        if reference.digest.is_none()
            && let Some(digest) = registry.digest_of(reference).await?
        {
            if let Some(file) = checked(&digest) {
                if store.remembered(reference).as_ref() != Some(&digest) {
                    store.remember(reference, &digest)?;
                }
                return Ok(PulledVersion { digest, file });
            }
            // Not what the tag may stand for a moment later.
            wanted = reference.at(&digest);
        }
        let artifact = pull(&registry, &wanted, self.limit).await?;
        let file = store.put(&artifact)?;
        store.remember(reference, &artifact.digest)?;
        let (digest, bytes) = (artifact.digest, artifact.component.len());
        tracing::info!(%reference, digest, bytes, "a plugin was pulled");
        // What serves, and what a start without the registry would take.
        let serving =
            self.current().iter().filter_map(|one| Some(one.version.as_ref()?.digest.clone())).collect::<Vec<_>>();
        let kept = self.config.plugins.iter().filter_map(|one| store.remembered(one));
        store.remove_unused(&kept.chain(serving).collect::<Vec<_>>());
        Ok(PulledVersion { digest, file })
    }
}
