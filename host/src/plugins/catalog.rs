//! The catalog: which plugins handle which type. It is replaced whole; what runs keeps the plugin
//! that it started on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use wasq_core::clock;
use wasq_core::message::{Key, MessageType};

use super::demands::Demands;
use super::gone::Gone;
use super::load::{LoadError, Loader, Plugin};
use super::origin::{Origin, Source};
use super::reason::Reason;
use super::rollout::{Rollout, TrialEnd, Version};
use super::type_table::TypeTable;
use super::versions::Versions;
use crate::admission::permits::Pools;
use crate::oci::PulledPlugins;

/// One state of the plugin directory and the registries.
#[derive(Default)]
pub struct Catalog {
    by_name: BTreeMap<String, Arc<Serving>>,
    routes: TypeTable<Arc<Serving>>,
    failures: Vec<LoadFailure>,
}

/// What serves for one file of the plugin directory, or one reference to a registry.
#[derive(Clone)]
pub struct Serving {
    origin: Origin,
    pub stable: Arc<Plugin>,
    /// The file's version, while it is on trial.
    pub rollout: Option<Arc<Rollout>>,
    /// The file's version, when it was rolled back.
    refused: Option<Refused>,
}

/// A version that was rolled back.
#[derive(Clone)]
struct Refused {
    plugin: Arc<Plugin>,
    reason: String,
}

/// A file that could not be loaded, and what serves in its place.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LoadFailure {
    pub path: PathBuf,
    pub reason: String,
    /// The digest of the earlier version that goes on serving.
    pub still_serving: Option<String>,
}

impl Catalog {
    /// What handles a type, in the order of the plugins' names.
    pub fn route(&self, kind: &MessageType) -> &[Arc<Serving>] {
        self.routes.of(kind)
    }

    /// Every pattern of a manifest with the plugins that name it.
    pub fn table(&self) -> BTreeMap<String, &[Arc<Serving>]> {
        self.routes.table()
    }

    pub fn serving(&self) -> impl Iterator<Item = &Arc<Serving>> {
        self.by_name.values()
    }

    /// The plugins that serve; of two versions the earlier one.
    pub fn plugins(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.serving().map(|serving| &serving.stable)
    }

    /// The most that any plugin asks of a queue; the defaults where there is none.
    pub fn demands(&self) -> Demands {
        let all = self.plugins().map(|plugin| Demands::of(&plugin.manifest));
        all.reduce(Demands::max).unwrap_or_default()
    }

    /// The largest body that any plugin takes; no limit where there is none.
    pub fn largest_body(&self) -> usize {
        let largest = self.plugins().map(|plugin| plugin.manifest.max_body.as_u64()).max().unwrap_or(u64::MAX);
        usize::try_from(largest).unwrap_or(usize::MAX)
    }

    pub fn failures(&self) -> &[LoadFailure] {
        &self.failures
    }

    /// Whether a trial has ended, and the catalog is to be read again.
    pub fn a_trial_has_ended(&self) -> bool {
        self.serving().any(|serving| serving.rollout.as_ref().is_some_and(|rollout| rollout.outcome().is_some()))
    }

    fn of(by_name: BTreeMap<String, Arc<Serving>>, failures: Vec<LoadFailure>) -> Self {
        let patterns = |serving: &Arc<Serving>| {
            let patterns: BTreeSet<_> = serving.stable.manifest.types.iter().cloned().collect();
            patterns.into_iter().map({
                let serving = serving.clone();
                move |pattern| (pattern, serving.clone())
            })
        };
        let routes = TypeTable::new(by_name.values().flat_map(patterns));
        Self { by_name, routes, failures }
    }
}

impl Serving {
    fn all_by(origin: &Origin, stable: Arc<Plugin>) -> Self {
        Self { origin: origin.clone(), stable, rollout: None, refused: None }
    }

    /// The same component, pulled as another artifact.
    fn from(&self, origin: &Origin, path: &Path) -> Self {
        if self.origin == *origin || self.rollout.is_some() || self.refused.is_some() {
            return self.clone();
        }
        Self::all_by(
            origin,
            Arc::new(Plugin { origin: origin.clone(), path: path.to_owned(), ..(*self.stable).clone() }),
        )
    }

    /// The version that a message runs on.
    pub fn version(&self, kind: &MessageType, key: &Key, receive_count: u32) -> (&Plugin, Version) {
        match &self.rollout {
            Some(rollout) => match rollout.version(kind, key, receive_count) {
                Version::Candidate => (&rollout.candidate, Version::Candidate),
                Version::Stable => (&self.stable, Version::Stable),
            },
            None => (&self.stable, Version::Stable),
        }
    }

    /// The longest timeout of its versions.
    pub fn timeout(&self) -> Duration {
        let candidate = self.rollout.as_ref().map(|rollout| rollout.candidate.policy.timeout);
        self.stable.policy.timeout.max(candidate.unwrap_or_default())
    }

    /// The version that is in the file.
    fn of_the_file(&self) -> &Plugin {
        match (&self.rollout, &self.refused) {
            (Some(rollout), _) => &rollout.candidate,
            (None, Some(refused)) => &refused.plugin,
            (None, None) => &self.stable,
        }
    }

    fn failure(&self) -> Option<LoadFailure> {
        let Refused { reason, .. } = self.refused.as_ref()?;
        Some(LoadFailure {
            path: self.origin.to_string().into(),
            reason: format!("it was rolled back: {reason}"),
            still_serving: Some(self.stable.digest.clone()),
        })
    }
}

/// The catalog that serves now, and how it is replaced.
pub struct Catalogs {
    loader: Loader,
    /// Where versions are kept while others are on trial; without it, every new version serves at
    /// once.
    versions: Option<Versions>,
    pulled: PulledPlugins,
    current: RwLock<Arc<Catalog>>,
    /// Held while the directory is read: one reload ends before the next begins.
    reloading: Mutex<Gone>,
}

impl Catalogs {
    /// Starts with nothing loaded.
    pub fn new(loader: Loader, versions: Option<Versions>) -> Self {
        let pulled = loader.pulled();
        Self { loader, versions, pulled, current: RwLock::default(), reloading: Mutex::default() }
    }

    /// The plugins that are in registries. What they are is found out by a refresh.
    pub fn pulled(&self) -> &PulledPlugins {
        &self.pulled
    }

    /// The pools that plugins share.
    pub fn pools(&self) -> &Pools {
        self.loader.shared_pools()
    }

    pub fn current(&self) -> Arc<Catalog> {
        self.current.read().clone()
    }

    /// Reads the directory and what was pulled, and swaps the catalog. A file that has not changed
    /// is kept as it is; one that cannot be loaded leaves its earlier version serving. Trials that
    /// have ended are concluded. Blocks while it compiles.
    pub fn reload(&self, dir: &Path) -> std::io::Result<Arc<Catalog>> {
        let mut gone = self.reloading.lock();
        self.forget(gone.for_long(clock::now()));
        let before = self.current();
        let mut by_name: BTreeMap<String, Arc<Serving>> = BTreeMap::new();
        let mut failures = Vec::new();
        for source in sources(dir, &self.pulled)? {
            let Source { origin, file, error } = source;
            let earlier = before.serving().find(|serving| serving.origin.is_of(&origin));
            let earlier = earlier.map(|serving| self.concluded(serving));
            let path = || PathBuf::from(origin.to_string());
            let still = |serving: &Serving| serving.stable.digest.clone();
            let serving = match file.map(|file| self.serve(&origin, &file, earlier.as_ref())) {
                Some(served) => served.and_then(|serving| not_taken(serving, &by_name)).map_err(Some),
                None => Err(None),
            };
            let serving = match serving {
                Ok(serving) => Some(Arc::new(serving)),
                Err(refused) => {
                    if let Some(error) = refused {
                        tracing::error!(%error, "a plugin cannot be loaded");
                        let still_serving = earlier.as_ref().map(still);
                        failures.push(LoadFailure { path: path(), reason: error.reason.to_string(), still_serving });
                    }
                    earlier.map(Arc::new)
                }
            };
            // Said when it was looked at.
            failures.extend(error.map(|reason| {
                let still_serving = serving.as_deref().map(still);
                LoadFailure { path: path(), reason, still_serving }
            }));
            if let Some(serving) = serving {
                failures.extend(serving.failure());
                by_name.entry(serving.stable.manifest.name.clone()).or_insert(serving);
            }
        }
        gone.note(&before.by_name, &by_name, clock::now());
        let catalog = Arc::new(Catalog::of(by_name, failures));
        *self.current.write() = catalog.clone();
        Ok(catalog)
    }

    /// What serves for a file from now on.
    fn serve(&self, origin: &Origin, path: &Path, earlier: Option<&Serving>) -> Result<Serving, LoadError> {
        if let Some(serving) = earlier.filter(|serving| unchanged(serving.of_the_file(), path)) {
            return Ok(serving.from(origin, path));
        }
        let new = self.loader.load_from(origin, path)?;
        match earlier {
            Some(serving) if serving.of_the_file().fingerprint() == new.fingerprint() => Ok(serving.from(origin, path)),
            Some(_) | None => {
                for conflict in new.conflicts.iter() {
                    tracing::warn!(plugin = new.manifest.name, "{conflict}");
                }
                Ok(self.introduce(origin, new, earlier))
            }
        }
    }

    /// A new version: for all messages, or on trial where the operator wants that and there is a
    /// version to compare it with.
    fn introduce(&self, origin: &Origin, new: Plugin, earlier: Option<&Serving>) -> Serving {
        let name = new.manifest.name.clone();
        let (Some(versions), Some(share)) = (&self.versions, self.loader.canary(&name)) else {
            return Serving::all_by(origin, Arc::new(new));
        };
        let known = earlier.map(|serving| serving.stable.clone()).filter(|stable| stable.manifest.name == name);
        let Some(stable) = known.or_else(|| self.kept(versions, &name)) else {
            keep(versions, &new);
            return Serving::all_by(origin, Arc::new(new));
        };
        if stable.fingerprint() == new.fingerprint() {
            return Serving::all_by(origin, Arc::new(new));
        }
        let refused = versions.refused(&name, &new.fingerprint());
        // They share their permits: two versions are one plugin to whatever stands behind it.
        let new = Arc::new(Plugin { permits: stable.permits.clone(), ..new });
        if let Some(reason) = refused {
            return Serving { refused: Some(Refused { plugin: new, reason }), ..Serving::all_by(origin, stable) };
        }
        let (digest, earlier) = (&new.digest, &stable.digest);
        tracing::info!(plugin = name, digest, earlier, %share, "a new version is on trial");
        let rollout = Some(Arc::new(Rollout::new(new, share, self.loader.rollout().clone())));
        Serving { rollout, ..Serving::all_by(origin, stable) }
    }

    /// The version that an earlier run of this host has kept.
    fn kept(&self, versions: &Versions, name: &str) -> Option<Arc<Plugin>> {
        let (path, fingerprint) = versions.kept(name)?;
        match self.loader.load(&path) {
            Ok(plugin) if plugin.fingerprint() == fingerprint => Some(Arc::new(plugin)),
            Ok(_) => {
                tracing::warn!(plugin = name, path = %path.display(), "the version that was kept is damaged; the new one serves at once");
                None
            }
            Err(error) => {
                tracing::warn!(plugin = name, %error, "the version that was kept cannot be loaded; the new one serves at once");
                None
            }
        }
    }

    /// What serves after a trial, if it has ended.
    fn concluded(&self, serving: &Serving) -> Serving {
        let (Some(rollout), Some(versions)) = (&serving.rollout, &self.versions) else { return serving.clone() };
        let (candidate, name) = (&rollout.candidate, &serving.stable.manifest.name);
        let (digest, earlier) = (&candidate.digest, &serving.stable.digest);
        match rollout.outcome() {
            None => serving.clone(),
            Some(TrialEnd::Promoted) => {
                tracing::info!(plugin = name, digest, earlier, "a new version did well and takes all messages");
                keep(versions, candidate);
                Serving::all_by(&serving.origin, Arc::new(candidate.with_own_permits()))
            }
            Some(TrialEnd::RolledBack { reason }) => {
                tracing::error!(plugin = name, digest, earlier, reason, "a new version was rolled back");
                if let Err(error) = versions.refuse(name, &candidate.fingerprint(), reason) {
                    tracing::warn!(plugin = name, %error, "a restart will try the version again: its verdict cannot be kept");
                }
                let refused = Some(Refused { plugin: candidate.clone(), reason: reason.clone() });
                Serving { refused, ..Serving::all_by(&serving.origin, serving.stable.clone()) }
            }
        }
    }

    /// Of plugins that were taken away, the version to go back to.
    fn forget(&self, names: Vec<String>) {
        let Some(versions) = &self.versions else { return };
        for name in names {
            if let Err(error) = versions.forget(&name) {
                tracing::warn!(plugin = name, %error, "the kept version of a plugin that was taken away cannot be removed");
            }
        }
    }
}

fn keep(versions: &Versions, plugin: &Plugin) {
    if let Err(error) = versions.keep(plugin) {
        tracing::warn!(plugin = plugin.manifest.name, %error, "a version cannot be kept: after a restart, the next one is not tried beside it");
    }
}

/// Refuses a second file with a plugin's name.
fn not_taken(serving: Serving, by_name: &BTreeMap<String, Arc<Serving>>) -> Result<Serving, LoadError> {
    let name = &serving.stable.manifest.name;
    match by_name.get(name) {
        None => Ok(serving),
        Some(first) => {
            let reason = Reason::SameName { name: name.clone(), first: first.origin.to_string() };
            Err(LoadError { path: serving.origin.to_string().into(), reason })
        }
    }
}

/// What is to be loaded: the directory's files by name, then what is in registries. Where there are
/// such, there may be no directory.
pub fn sources(dir: &Path, pulled: &PulledPlugins) -> std::io::Result<Vec<Source>> {
    let files = match wasm_files(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !pulled.is_empty() => Vec::new(),
        files => files?,
    };
    Ok(files.into_iter().map(Source::from).chain(pulled.current().iter().map(Source::from)).collect())
}

/// The plugins' files, by name.
fn wasm_files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether the file and the manifest beside it are what was loaded.
fn unchanged(plugin: &Plugin, path: &Path) -> bool {
    let same_bytes = std::fs::read(path).is_ok_and(|bytes| blake3::hash(&bytes).to_hex().as_str() == plugin.digest);
    // A manifest beside it may have changed alone; then it is simply loaded again.
    same_bytes && !path.with_extension("toml").exists()
}
