//! Loading: from a `.wasm` file to a plugin that can run, or to words that say why not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;
use wasq_core::message::{KeySource, Message};

use super::compile::Compiler;
use super::conflicts::{Conflict, conflicts};
use super::grants::{denied_import, granted};
use super::manifest::Manifest;
use super::origin::Origin;
use super::reason::Reason;
use super::signature::{self, Unsigned};
use crate::admission::permits::{Needs, Pools};
use crate::config::{Config, Limits, Percent, PluginConfig, RolloutConfig, SignerKey};
use crate::oci::PulledPlugins;
use crate::sandbox::egress::{Dialer, EgressError, Secrets};
use crate::sandbox::{CompileError, Grants, Handler, Policy, Sandbox};

/// The custom section in which the SDK embeds the manifest.
pub const MANIFEST_SECTION: &str = "wasq:manifest";

/// A plugin, ready to run.
#[derive(Clone)]
pub struct Plugin {
    pub manifest: Manifest,
    /// blake3 of the component, in hexadecimal.
    pub digest: String,
    /// The component's file.
    pub path: PathBuf,
    pub origin: Origin,
    pub handler: Handler,
    pub policy: Arc<Policy>,
    /// Attempts at once on this host.
    pub permits: Arc<Semaphore>,
    /// Permits that it shares with other plugins, by the pools' names.
    pub pools: Vec<Arc<Semaphore>>,
    pub max_concurrency: usize,
    /// What it is granted in vain.
    pub conflicts: Arc<[Conflict]>,
}

impl<'a> From<&'a Plugin> for Needs<'a> {
    fn from(plugin: &'a Plugin) -> Self {
        let (own, alone, pools) = (&plugin.permits, plugin.handler.alone(), &plugin.pools);
        Self { own, alone, pools, fleet: &[], priority: plugin.manifest.priority, queue: 0 }
    }
}

/// Loads plugins for one config.
#[derive(Clone)]
pub struct Loader {
    compiler: Compiler,
    dialer: Dialer,
    pools: Pools,
    config: Arc<Config>,
}

/// Why a file is no plugin.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct LoadError {
    pub path: PathBuf,
    pub reason: Reason,
}

impl Plugin {
    /// The text of a message's key as this plugin sees it: its template's, else the message's own.
    pub fn key_text(&self, message: &Message) -> String {
        self.manifest.idempotency.key_of(message).0
    }

    /// Where that key comes from.
    pub fn key_source(&self, message: &Message) -> KeySource {
        self.manifest.idempotency.key_of(message).1
    }

    /// Whether a message of it may have to wait before it is claimed, for a rate or for its key.
    pub fn is_paced(&self) -> bool {
        !self.manifest.rates.is_empty() || self.manifest.keyed_concurrency.is_some()
    }

    /// What tells its version from others: the component and its manifest, which may stand beside
    /// it.
    pub fn fingerprint(&self) -> String {
        let manifest = serde_json::to_vec(&self.manifest).expect("a manifest is plain data with text keys");
        blake3::Hasher::new().update(self.digest.as_bytes()).update(&manifest).finalize().to_hex().to_string()
    }

    /// The same, not bound any more by the permits of the version before it.
    pub fn with_own_permits(&self) -> Self {
        Self { permits: Arc::new(Semaphore::new(self.max_concurrency)), ..self.clone() }
    }
}

impl Loader {
    pub fn new(sandbox: Sandbox, config: Arc<Config>) -> Result<Self, EgressError> {
        let (dialer, pools) = (Dialer::new(&config)?, Pools::new(&config.pools));
        Ok(Self { compiler: Compiler::new(sandbox, &config), dialer, pools, config })
    }

    /// The share of its messages that a new version of a plugin gets at first.
    pub fn canary(&self, name: &str) -> Option<Percent> {
        self.config.plugins.get(name)?.canary
    }

    /// How new versions are judged.
    pub fn rollout(&self) -> &RolloutConfig {
        &self.config.rollout
    }

    /// Every secret of the config, to be kept up to date.
    pub fn secrets(&self) -> Arc<Secrets> {
        self.dialer.secrets()
    }

    /// Each destination for which nothing can be signed now, with the reason.
    pub async fn missing_identities(&self) -> Vec<String> {
        self.dialer.missing_identities().await
    }

    /// The plugins that are in registries, to be kept up to date.
    pub fn pulled(&self) -> PulledPlugins {
        PulledPlugins::new(self.config.oci.clone(), self.config.aws.clone(), self.config.limits.max_component.as_u64())
    }

    /// The pools that plugins share.
    pub fn shared_pools(&self) -> &Pools {
        &self.pools
    }

    /// Reads, checks and compiles one file. Blocks for as long as compiling takes.
    pub fn load(&self, path: &Path) -> Result<Plugin, LoadError> {
        self.load_from(&Origin::File(path.to_owned()), path)
    }

    /// As [`Loader::load`], a file that stands for what is elsewhere.
    pub fn load_from(&self, origin: &Origin, path: &Path) -> Result<Plugin, LoadError> {
        self.try_load(origin, path).map_err(|reason| LoadError { path: origin.to_string().into(), reason })
    }

    fn try_load(&self, origin: &Origin, path: &Path) -> Result<Plugin, Reason> {
        let limits = &self.config.limits;
        let contents = read(path, limits, self.config.plugins_signed_by.as_deref());
        let Contents { bytes, manifest, format } = contents.map_err(|reason| match (reason, origin) {
            (Reason::Unsigned(Unsigned::Missing { .. }), Origin::Registry(reference, _)) => {
                Reason::UnsignedArtifact { reference: reference.to_string() }
            }
            (reason, _) => reason,
        })?;
        if let Some(import) = format.imports.iter().find(|import| is_wasi_0_3(import)) {
            return Err(CompileError::Wasi03(format!("it imports `{import}`")).into());
        }
        let own = PluginConfig::default();
        let operator = self.config.plugins.get(&manifest.name).unwrap_or(&own);
        let digest = blake3::hash(&bytes).to_hex().to_string();
        if let Some(pinned) = operator.blake3.as_ref().filter(|pinned| !pinned.eq_ignore_ascii_case(&digest)) {
            return Err(Reason::Digest { name: manifest.name, pinned: pinned.clone(), digest });
        }
        let grants = granted(&manifest, operator, &self.config)?;
        let policy = self.policy(&manifest, operator, grants)?;
        if format.memory_bytes > policy.memory_bytes {
            let (needs, limit) = (format.memory_bytes, policy.memory_bytes);
            return Err(Reason::Memory { needs, limit, setting: policy.memory_setting });
        }
        let (closed, egress) = (self.dialer.closed(&policy.egress), &policy.egress);
        let (headers, signing) = (egress.unused_headers().cloned(), egress.unused_signing().map(str::to_owned));
        let conflicts = conflicts(&manifest, operator, &self.config, &policy.grants, closed, headers, signing).into();
        let pools = self.pools(&manifest)?;
        self.check_rates(&manifest)?;
        let handler = self.compiler.compile(&bytes)?;
        if let Some(import) = denied_import(&policy.grants, &format.imports) {
            let plugin = &manifest.name;
            tracing::warn!(
                plugin,
                "it imports {import}, and is granted no host: its requests are denied; name them in the manifest's \
                 allowed_outbound_hosts"
            );
        }
        let asked = manifest.max_concurrency.unwrap_or(usize::MAX);
        let max_concurrency =
            asked.min(operator.max_concurrency.unwrap_or(usize::MAX)).min(limits.max_instances as usize);
        Ok(Plugin {
            digest,
            path: path.to_owned(),
            origin: origin.clone(),
            handler,
            policy: Arc::new(policy),
            permits: Arc::new(Semaphore::new(max_concurrency)),
            pools,
            max_concurrency,
            conflicts,
            manifest,
        })
    }

    /// The plugin's pools. Where everything is granted, a pool that nobody sized does not bound it.
    fn pools(&self, manifest: &Manifest) -> Result<Vec<Arc<Semaphore>>, Reason> {
        let (pools, unsized_names) = self.pools.of(&manifest.pools);
        match unsized_names.into_iter().next() {
            Some(pool) if !self.config.grant_all => Err(Reason::NoPool { pool }),
            Some(_) | None => Ok(pools),
        }
    }

    /// Where everything is granted, a rate that nobody has set does not bound it.
    fn check_rates(&self, manifest: &Manifest) -> Result<(), Reason> {
        match manifest.rates.iter().find(|used| !self.config.rates.contains_key(&used.rate)) {
            Some(used) if !self.config.grant_all => Err(Reason::NoRate { rate: used.rate.clone() }),
            Some(_) | None => Ok(()),
        }
    }

    /// What the plugin may do: where manifest and operator both set a limit, the stricter one
    /// holds.
    fn policy(&self, manifest: &Manifest, operator: &PluginConfig, grants: Grants) -> Result<Policy, Reason> {
        let mut variables = manifest.variables.clone();
        variables.extend(operator.variables.clone());
        let memory = [
            (Some(manifest.memory), "memory in its manifest".to_owned()),
            (operator.memory, format!("plugins.{}.memory", manifest.name)),
            (Some(self.config.limits.max_memory), "limits.max_memory".to_owned()),
        ];
        let memory = memory.into_iter().filter_map(|(size, setting)| Some((size?.as_u64(), setting)));
        let (memory_bytes, memory_setting) = memory.min_by_key(|(bytes, _)| *bytes).expect("the manifest has a size");
        Ok(Policy {
            plugin: manifest.name.clone(),
            timeout: manifest
                .timeout
                .min(operator.timeout.unwrap_or(manifest.timeout))
                .min(self.config.limits.max_timeout),
            memory_bytes,
            memory_setting,
            variables: variables.into_iter().collect(),
            egress: Arc::new(self.dialer.egress(&manifest.name, &grants.hosts)?),
            grants,
            without_steps: manifest.idempotency.mode.without_steps(),
            profiler: Arc::default(),
        })
    }
}

/// A file's manifest, without compiling it and whoever has signed it. `limits` bound the file.
pub fn read_manifest(path: &Path, limits: &Limits) -> Result<Manifest, LoadError> {
    read(path, limits, None)
        .map(|contents| contents.manifest)
        .map_err(|reason| LoadError { path: path.to_owned(), reason })
}

/// What the files of a plugin have.
struct Contents {
    /// The component.
    bytes: Vec<u8>,
    manifest: Manifest,
    format: Format,
}

/// Reads a component, its manifest and what it imports. With `signers`, nothing is made of bytes
/// that none of them has signed, nor of a manifest beside a component that it does not name: two
/// good signatures do not say that the two belong together.
fn read(path: &Path, limits: &Limits, signers: Option<&[SignerKey]>) -> Result<Contents, Reason> {
    let check = |path: &Path, bytes: &[u8]| signers.map_or(Ok(()), |keys| signature::check(path, bytes, keys));
    let size = std::fs::metadata(path)?.len();
    let limit = limits.max_component.as_u64();
    if size > limit {
        return Err(Reason::TooLarge { size, limit });
    }
    let bytes = std::fs::read(path)?;
    check(path, &bytes)?;
    let mut format = check_format(&bytes)?;
    let beside = path.with_extension("toml");
    let manifest = match std::fs::read_to_string(&beside) {
        // It wins over the signed one inside.
        Ok(text) => {
            check(&beside, text.as_bytes())?;
            let manifest = Manifest::parse(&text)?;
            check_component(&manifest, &beside, &bytes, signers.is_some())?;
            manifest
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let section = format.manifest.take().ok_or_else(|| Reason::NoManifest(beside.clone()))?;
            Manifest::parse(&String::from_utf8(section).map_err(|_| Reason::ManifestEncoding)?)?
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Contents { bytes, manifest, format })
}

/// Whether a manifest that stands beside a component is that one's.
fn check_component(manifest: &Manifest, beside: &Path, component: &[u8], must_name: bool) -> Result<(), Reason> {
    let digest = || blake3::hash(component).to_hex().to_string();
    match &manifest.component_blake3 {
        Some(named) if named.eq_ignore_ascii_case(&digest()) => Ok(()),
        Some(named) => {
            Err(Reason::OtherComponent { manifest: beside.to_owned(), named: named.clone(), digest: digest() })
        }
        None if must_name => Err(Reason::AnyComponent { manifest: beside.to_owned(), digest: digest() }),
        None => Ok(()),
    }
}

/// What a component says of itself, without compiling it.
#[derive(Debug, Default)]
pub struct Format {
    /// The manifest's section, wherever in it.
    pub manifest: Option<Vec<u8>>,
    /// The names of what it imports.
    pub imports: Vec<String>,
    /// The names of what it exports.
    pub exports: Vec<String>,
    /// The most memory that one of its modules begins with.
    pub memory_bytes: u64,
}

/// Whether the bytes are a component, and what it says of itself. The bytes may be anything at all.
pub fn check_format(bytes: &[u8]) -> Result<Format, Reason> {
    if bytes.starts_with(b"\x7fELF") {
        return Err(Reason::Precompiled);
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(Reason::NotWasm);
    }
    if wasmparser::Parser::is_core_wasm(bytes) {
        return Err(Reason::CoreModule);
    }
    let mut format = Format::default();
    // Modules and components within have imports of their own, which the component itself fulfils.
    let mut depth = 0_u32;
    let damaged = |error: wasmparser::BinaryReaderError| Reason::Damaged(error.to_string());
    for payload in wasmparser::Parser::new(0).parse_all(bytes) {
        match payload.map_err(damaged)? {
            wasmparser::Payload::CustomSection(custom) if custom.name() == MANIFEST_SECTION => {
                format.manifest.get_or_insert_with(|| custom.data().to_vec());
            }
            wasmparser::Payload::ModuleSection { .. } | wasmparser::Payload::ComponentSection { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth = depth.saturating_sub(1),
            wasmparser::Payload::ComponentImportSection(all) if depth == 0 => {
                for import in all {
                    format.imports.push(import.map_err(damaged)?.name.name.to_owned());
                }
            }
            wasmparser::Payload::ComponentExportSection(all) if depth == 0 => {
                for export in all {
                    format.exports.push(export.map_err(damaged)?.name.name.to_owned());
                }
            }
            wasmparser::Payload::MemorySection(all) => {
                let mut bytes = 0_u64;
                for memory in all {
                    bytes = bytes.saturating_add(memory.map_err(damaged)?.initial.saturating_mul(WASM_PAGE_BYTES));
                }
                format.memory_bytes = format.memory_bytes.max(bytes);
            }
            _ => {}
        }
    }
    Ok(format)
}

const WASM_PAGE_BYTES: u64 = 64 * 1024;

/// Whether an import is of WASI 0.3, which has async functions.
fn is_wasi_0_3(import: &str) -> bool {
    import.starts_with("wasi:") && import.split_once('@').is_some_and(|(_, version)| version.starts_with("0.3."))
}
