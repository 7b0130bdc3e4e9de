//! `wasq build`: from handler projects to plugins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};
use clap::Args;
use serde::Deserialize;
use wasq_toolchain::{WASM_TARGET, ensure_wasm_target};

/// Where built plugins are put, under the directory that was built.
pub const OUT_DIR: &str = ".wasq/plugins";
/// How deep handler projects are looked for.
const DEPTH_MAX: usize = 4;

/// Compile the handler projects under a directory into plugins.
///
/// A handler project is a directory with a Cargo.toml and a plugin.toml. Each is compiled for
/// wasm32-wasip2 in release mode and becomes one NAME.wasm, with its manifest inside. What has not
/// changed is not compiled again.
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

/// Builds every handler project under `dir` into `out`. `verbose` shows cargo's own progress.
pub fn build(dir: &Path, out: &Path, verbose: bool) -> anyhow::Result<Vec<Built>> {
    let mut projects = Vec::new();
    find(dir, 0, &mut projects).with_context(|| format!("cannot look for handlers in {}", dir.display()))?;
    if projects.is_empty() {
        bail!(
            "no handler project in {}: one has a Cargo.toml and a plugin.toml; `wasq new NAME` makes one",
            dir.display()
        );
    }
    let mut by_workspace: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for project in projects {
        by_workspace.entry(workspace_of(&project)?).or_default().push(project);
    }
    // Of all, before the first is compiled.
    for workspace in by_workspace.keys() {
        ensure_wasm_target(directory_of(workspace), |line| eprintln!("{line}"))?;
    }
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let mut built = Vec::new();
    for (workspace, projects) in by_workspace {
        for artifact in compile(&workspace, &projects, verbose)? {
            built.push(put(&artifact, out)?);
        }
    }
    built.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(built)
}

/// Directories with a Cargo.toml and a plugin.toml.
fn find(dir: &Path, depth: usize, projects: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if dir.join("Cargo.toml").is_file() && dir.join("plugin.toml").is_file() {
        projects.push(dir.canonicalize()?);
        return Ok(());
    }
    if depth == DEPTH_MAX {
        return Ok(());
    }
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let hidden = name.to_string_lossy().starts_with('.');
        if entry.file_type()?.is_dir() && !hidden && name != "target" && name != "node_modules" {
            find(&entry.path(), depth + 1, projects)?;
        }
    }
    Ok(())
}

/// cargo, as the one that runs us or the one on the path. It runs in `dir`, whose toolchain file
/// counts.
fn cargo(dir: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(dir);
    // What an outer `cargo run` set for its own package is not meant for these.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO_CRATE_NAME" {
            command.env_remove(&name);
        }
    }
    command
}

/// The directory of a Cargo.toml.
fn directory_of(manifest: &Path) -> &Path {
    manifest.parent().unwrap_or(manifest)
}

/// The Cargo.toml of the workspace that a project belongs to.
fn workspace_of(project: &Path) -> anyhow::Result<PathBuf> {
    let output = cargo(project)
        .args(["locate-project", "--workspace", "--message-format", "plain", "--manifest-path"])
        .arg(project.join("Cargo.toml"))
        .output()
        .context("cannot run cargo; install Rust by rustup")?;
    if !output.status.success() {
        bail!("{}: {}", project.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// The part of cargo's messages that is read.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// One run of cargo for all projects of a workspace; the components that it made.
fn compile(workspace: &Path, projects: &[PathBuf], verbose: bool) -> anyhow::Result<Vec<PathBuf>> {
    let mut command = cargo(directory_of(workspace));
    command.args(["build", "--release", "--target", WASM_TARGET, "--message-format", "json-render-diagnostics"]);
    command.arg("--manifest-path").arg(workspace);
    for project in projects {
        command.arg("-p").arg(package_of(project)?);
    }
    if !verbose {
        command.arg("--quiet");
    }
    let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo; install Rust by rustup")?;
    if !output.status.success() {
        bail!("the handlers do not compile; what cargo says of them stands above");
    }
    let mut artifacts = Vec::new();
    for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let message: Message = serde_json::from_slice(line).context("cargo's messages cannot be read")?;
        let ours = message
            .manifest_path
            .as_deref()
            .and_then(Path::parent)
            .is_some_and(|dir| projects.iter().any(|project| project == dir));
        if message.reason == "compiler-artifact" && ours {
            artifacts
                .extend(message.filenames.into_iter().filter(|file| file.extension().is_some_and(|e| e == "wasm")));
        }
    }
    if artifacts.len() != projects.len() {
        bail!(
            "{} of {} projects made a component; each needs `crate-type = [\"cdylib\"]` in its [lib]",
            artifacts.len(),
            projects.len()
        );
    }
    Ok(artifacts)
}

fn package_of(project: &Path) -> anyhow::Result<String> {
    let path = project.join("Cargo.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let table: toml::Table = text.parse().with_context(|| format!("{} is no TOML", path.display()))?;
    let name = table.get("package").and_then(|package| package.get("name")?.as_str());
    name.map(str::to_owned).with_context(|| format!("{} has no package name", path.display()))
}

/// Puts a component into the plugin directory: whole, or not at all. The file is named after the
/// package.
fn put(artifact: &Path, out: &Path) -> anyhow::Result<Built> {
    let bytes = std::fs::read(artifact).with_context(|| format!("cannot read {}", artifact.display()))?;
    let stem = artifact.file_stem().context("a component has a file name")?.to_string_lossy().replace('_', "-");
    let path = out.join(format!("{stem}.wasm"));
    let changed = std::fs::read(&path).ok().is_none_or(|before| before != bytes);
    if changed {
        let whole = out.join(format!(".{stem}.wasm.new"));
        std::fs::write(&whole, &bytes).with_context(|| format!("cannot write {}", whole.display()))?;
        std::fs::rename(&whole, &path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Built { path, changed, bytes: bytes.len(), digest: blake3::hash(&bytes).to_hex().to_string() })
}
