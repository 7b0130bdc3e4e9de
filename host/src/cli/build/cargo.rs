//! Handlers in Rust: one run of cargo for all projects of a workspace.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde::Deserialize;
use wasq_toolchain::WASM_TARGET;

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
pub fn directory_of(manifest: &Path) -> &Path {
    manifest.parent().unwrap_or(manifest)
}

/// The Cargo.toml of the workspace that a project belongs to.
pub fn workspace_of(project: &Path) -> anyhow::Result<PathBuf> {
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

/// A component that cargo made, and the project that it is of.
pub struct Artifact {
    pub component: PathBuf,
    pub project: PathBuf,
}

/// One run of cargo for all projects of a workspace; the components that it made.
pub fn compile(workspace: &Path, projects: &[PathBuf], verbose: bool) -> anyhow::Result<Vec<Artifact>> {
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
        let dir = message.manifest_path.as_deref().and_then(Path::parent);
        let project = projects.iter().find(|project| dir == Some(project.as_path()));
        if let Some(project) = project.filter(|_| message.reason == "compiler-artifact") {
            let components = message.filenames.into_iter().filter(|file| file.extension().is_some_and(|e| e == "wasm"));
            artifacts.extend(components.map(|component| Artifact { component, project: project.clone() }));
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
