//! `wasq push`: a plugin into a registry.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

use super::build::OUT_DIR;
use crate::config::OciReference;
use crate::oci::{Contents, Settings, push};
use crate::plugins::manifest::Manifest;
use crate::plugins::{LoadError, check_format};

/// Push a plugin to a registry, as an OCI artifact.
///
/// Its manifest is inside, as `wasq build` and `wasq pack` put it there, and a minisign signature
/// beside FILE.wasm goes with it. Prints the reference with the digest, to be pinned in `[oci]` of
/// wasq.toml. Credentials are those of `docker login`. The format is the CNCF's for WebAssembly,
/// which other tools read.
#[derive(Args)]
pub struct Push {
    /// The plugin: a .wasm file, a directory with one, or a project that was built.
    #[arg(value_name = "FILE|DIR")]
    plugin: PathBuf,
    /// Where it goes, with a tag: oci://REGISTRY/REPOSITORY:TAG.
    #[arg(value_name = "REFERENCE")]
    reference: OciReference,
    /// Asks the registry by HTTP without TLS. One on this machine always is.
    #[arg(long)]
    plain_http: bool,
}

impl Push {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let reference = self.reference;
        if reference.digest.is_some() {
            bail!("{reference} has a digest, which only the push itself can tell; name a tag alone");
        }
        let file = file_of(&self.plugin)?;
        let refuse = |reason| LoadError { path: file.clone(), reason };
        let component = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let format = check_format(&component).map_err(refuse)?;
        let beside = file.with_extension("toml");
        if beside.exists() {
            bail!(
                "{} stands beside the component and would stay behind; put it inside: wasq pack {} {}",
                beside.display(),
                beside.display(),
                file.display()
            );
        }
        let manifest = format.manifest.with_context(|| {
            format!(
                "{} has no manifest inside; put one there: wasq pack plugin.toml {}",
                file.display(),
                file.display()
            )
        })?;
        let manifest =
            String::from_utf8(manifest).with_context(|| format!("{}: its manifest is not UTF-8", file.display()))?;
        let manifest = Manifest::parse(&manifest).map_err(|error| refuse(error.into()))?;
        let signature = signature_of(&file)?;
        let contents = Contents {
            name: &manifest.name,
            imports: &format.imports,
            exports: &format.exports,
            created: &created(&file)?,
            signature: signature.as_deref(),
        };
        let plain_http = if self.plain_http { vec![reference.registry.clone()] } else { Vec::new() };
        let settings = Settings { plain_http, ..Settings::default() };
        let digest = push(&reference, component.into(), &contents, &settings).await?;
        println!("{}", reference.at(&digest));
        Ok(ExitCode::SUCCESS)
    }
}

/// The plugin's file: itself, the only one in a directory, or the only one that was built there.
fn file_of(plugin: &Path) -> anyhow::Result<PathBuf> {
    if !plugin.is_dir() {
        return Ok(plugin.to_owned());
    }
    let in_dir = |dir: &Path| -> anyhow::Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
        let files: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
        let mut files = files?;
        files.retain(|path| path.extension().is_some_and(|extension| extension == "wasm"));
        files.sort();
        Ok(files)
    };
    let built = plugin.join(OUT_DIR);
    let mut files = in_dir(plugin)?;
    if files.is_empty() && built.is_dir() {
        files = in_dir(&built)?;
    }
    match &files[..] {
        [file] => Ok(file.clone()),
        [] => bail!("no plugin in {}; build it first: wasq build {}", plugin.display(), plugin.display()),
        several => {
            let names: Vec<_> = several.iter().map(|file| file.display().to_string()).collect();
            bail!("several plugins in {}: {}; name one of the files", plugin.display(), names.join(", "))
        }
    }
}

/// minisign's, beside the file.
fn signature_of(file: &Path) -> anyhow::Result<Option<String>> {
    let beside = file.with_extension("wasm.minisig");
    match std::fs::read_to_string(&beside) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", beside.display())),
    }
}

/// When the file was built: the same file is the same artifact whenever it is pushed.
fn created(file: &Path) -> anyhow::Result<String> {
    let modified = std::fs::metadata(file)?.modified()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).context("the file's time is beyond all times")?;
    Ok(jiff::Timestamp::from_second(seconds)?.to_string())
}
