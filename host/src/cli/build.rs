//! `wasq build`: from handler projects to plugins.

mod cargo;
mod command;
mod project;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use wasq_toolchain::ensure_wasm_target;

use cargo::{Artifact, compile, directory_of, workspace_of};
use project::{Kind, find};

use crate::plugins::{LoadError, check_format, pack};

pub use project::is_source;

use super::schema;

/// Where built plugins are put, under the directory that was built.
pub const OUT_DIR: &str = ".wasq/plugins";

/// Compile the handler projects under a directory into plugins.
///
/// A handler project is a directory with a plugin.toml and a Cargo.toml, a package.json or a
/// pyproject.toml; or with a `[build]` command in its plugin.toml. Each becomes one NAME.wasm, with
/// its manifest inside. What has not changed is not compiled again.
#[derive(Args)]
pub struct Build {
    /// The directory to look in.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Where the .wasm files go; default: .wasq/plugins in DIR.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Build {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let out = self.out.unwrap_or_else(|| self.dir.join(OUT_DIR));
        for plugin in build(&self.dir, &out, true)? {
            let state = if plugin.changed { "built" } else { "unchanged" };
            println!("{state:>9}  {}  {} KiB  blake3 {}", plugin.path.display(), plugin.bytes / 1024, plugin.digest);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A plugin that was built.
pub struct Built {
    pub path: PathBuf,
    /// Whether the file differs from what was there before.
    pub changed: bool,
    pub bytes: usize,
    /// Its blake3: what a pin in the config, and a manifest beside it, name it by.
    pub digest: String,
}

/// Builds every handler project under `dir` into `out`. `verbose` shows the tools' own progress.
pub fn build(dir: &Path, out: &Path, verbose: bool) -> anyhow::Result<Vec<Built>> {
    let projects = find(dir)?;
    if projects.is_empty() {
        bail!(
            "no handler project in {}: one has a plugin.toml, and a Cargo.toml, a package.json, a pyproject.toml or a [build] command; \
             `wasq new NAME` makes one",
            dir.display()
        );
    }
    let (mut by_workspace, mut commands): (BTreeMap<PathBuf, Vec<PathBuf>>, _) = (BTreeMap::new(), Vec::new());
    for project in projects {
        schema::put_into(&project.dir)?;
        match project.kind {
            Kind::Cargo => by_workspace.entry(workspace_of(&project.dir)?).or_default().push(project.dir),
            Kind::Command(command) => commands.push((project.dir, command)),
        }
    }
    // Of all, before the first is compiled.
    for workspace in by_workspace.keys() {
        ensure_wasm_target(directory_of(workspace), |line| eprintln!("{line}"))?;
    }
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let mut built = Vec::new();
    for (workspace, projects) in by_workspace {
        for Artifact { component, project } in compile(&workspace, &projects, verbose)? {
            let bytes = std::fs::read(&component).with_context(|| format!("cannot read {}", component.display()))?;
            let bytes = with_manifest(bytes, &component, &project)?;
            let stem =
                component.file_stem().context("a component has a file name")?.to_string_lossy().replace('_', "-");
            built.push(put(&stem, &bytes, out)?);
        }
    }
    for (dir, project) in commands {
        built.push(put(&project.name, &command::component(&dir, &project, verbose)?, out)?);
    }
    built.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(built)
}

/// A component with its manifest. The SDK puts it there; a crate without the SDK has it beside.
fn with_manifest(component: Vec<u8>, path: &Path, project: &Path) -> anyhow::Result<Vec<u8>> {
    let refuse = |reason| LoadError { path: path.to_owned(), reason };
    if check_format(&component).map_err(refuse)?.manifest.is_some() {
        return Ok(component);
    }
    let beside = project.join("plugin.toml");
    let manifest = std::fs::read_to_string(&beside).with_context(|| format!("cannot read {}", beside.display()))?;
    let packed = pack(&component, &manifest).map_err(|reason| LoadError { path: beside, reason })?;
    Ok(packed)
}

/// Puts a component into the plugin directory. The file is named after the package.
fn put(name: &str, bytes: &[u8], out: &Path) -> anyhow::Result<Built> {
    let path = out.join(format!("{name}.wasm"));
    let changed = std::fs::read(&path).ok().is_none_or(|before| before != bytes);
    if changed {
        write_whole(&path, bytes)?;
    }
    Ok(Built { path, changed, bytes: bytes.len(), digest: blake3::hash(bytes).to_hex().to_string() })
}

/// Writes a file: whole, or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let name = path.file_name().with_context(|| format!("{} is no file", path.display()))?.to_string_lossy();
    let whole = path.with_file_name(format!(".{name}.new"));
    std::fs::write(&whole, bytes).with_context(|| format!("cannot write {}", whole.display()))?;
    std::fs::rename(&whole, path).with_context(|| format!("cannot write {}", path.display()))
}
