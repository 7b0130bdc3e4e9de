//! The catalog: which plugins handle which type. It is replaced whole; what runs keeps the plugin that it started on.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::load::{LoadError, Loader, Plugin, Reason};
use crate::message::MessageType;
use crate::permits::Pools;

/// One state of the plugin directory.
#[derive(Default)]
pub struct Catalog {
    by_name: BTreeMap<String, Arc<Plugin>>,
    by_type: HashMap<MessageType, Vec<Arc<Plugin>>>,
    failures: Vec<LoadFailure>,
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
    /// The plugins that handle a type, in the order of their names.
    pub fn route(&self, kind: &MessageType) -> &[Arc<Plugin>] {
        self.by_type.get(kind).map_or(&[], Vec::as_slice)
    }

    pub fn plugins(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.by_name.values()
    }

    /// The most attempts that any plugin makes; the default where there is none.
    pub fn most_attempts(&self) -> u32 {
        let attempts = self.plugins().map(|plugin| plugin.manifest.retry.max_attempts);
        attempts.max().unwrap_or(super::manifest::Retry::default().max_attempts)
    }

    pub fn failures(&self) -> &[LoadFailure] {
        &self.failures
    }

    fn of(plugins: BTreeMap<String, Arc<Plugin>>, failures: Vec<LoadFailure>) -> Self {
        let mut by_type: HashMap<MessageType, Vec<Arc<Plugin>>> = HashMap::new();
        for plugin in plugins.values() {
            for kind in &plugin.manifest.types {
                by_type.entry(kind.clone()).or_default().push(plugin.clone());
            }
        }
        Self { by_name: plugins, by_type, failures }
    }
}

/// The catalog that serves now, and how it is replaced.
pub struct Catalogs {
    loader: Loader,
    current: RwLock<Arc<Catalog>>,
    /// Held while the directory is read: one reload ends before the next begins.
    reloading: Mutex<()>,
}

impl Catalogs {
    /// Starts with nothing loaded.
    pub fn new(loader: Loader) -> Self {
        Self { loader, current: RwLock::default(), reloading: Mutex::default() }
    }

    /// The pools that plugins share.
    pub fn pools(&self) -> &Pools {
        self.loader.shared_pools()
    }

    pub fn current(&self) -> Arc<Catalog> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the directory and swaps the catalog. A file that has not changed is kept as it is; one that cannot be loaded
    /// leaves its earlier version serving. Blocks while it compiles.
    pub fn reload(&self, dir: &Path) -> std::io::Result<Arc<Catalog>> {
        let _alone = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.current();
        let mut plugins: BTreeMap<String, Arc<Plugin>> = BTreeMap::new();
        let mut failures = Vec::new();
        for path in wasm_files(dir)? {
            let earlier = before.plugins().find(|plugin| plugin.path == path).cloned();
            let loaded = match &earlier {
                Some(plugin) if unchanged(plugin, &path) => Ok(plugin.clone()),
                Some(_) | None => self.loader.load(&path).map(Arc::new),
            };
            let taken = |plugin: &Arc<Plugin>| plugins.get(&plugin.manifest.name).map(|first| first.path.clone());
            let loaded = loaded.and_then(|plugin| match taken(&plugin) {
                None => Ok(plugin),
                Some(first) => {
                    let reason = Reason::SameName { name: plugin.manifest.name.clone(), first };
                    Err(LoadError { path: path.clone(), reason })
                }
            });
            match loaded {
                Ok(plugin) => {
                    plugins.insert(plugin.manifest.name.clone(), plugin);
                }
                Err(error) => {
                    tracing::error!(%error, "a plugin cannot be loaded");
                    let still_serving = earlier.as_ref().map(|plugin| plugin.digest.clone());
                    failures.push(LoadFailure { path, reason: error.reason.to_string(), still_serving });
                    if let Some(plugin) = earlier {
                        plugins.entry(plugin.manifest.name.clone()).or_insert(plugin);
                    }
                }
            }
        }
        let catalog = Arc::new(Catalog::of(plugins, failures));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = catalog.clone();
        Ok(catalog)
    }
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
