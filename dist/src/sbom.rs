//! The bill of materials in the format of CycloneDX, by cargo-cyclonedx.
//!
//! The tool looks at the workspace with what its tests need, and names local crates by this
//! machine's paths. So what it writes is reduced to what is in the binary.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::contents;
use crate::source::{Source, cargo, output};
use crate::target::Target;

/// The version of the format: the newest that the tool writes.
const SPECIFICATION: &str = "1.5";

/// What the tool calls the bills that it writes, one beside each manifest of the workspace.
const BILL: &str = "wasq-release-bill";

/// The bill's name among the release's files.
pub fn name(version: &str) -> String {
    format!("wasq-{version}.cdx.json")
}

/// Whether the tool is installed: asked before anything is made.
pub fn check_tool(tool: &Path) -> anyhow::Result<()> {
    output(tool, &["cyclonedx", "--version"], None).context(
        "cargo-cyclonedx, which makes the bill of materials, is missing; install it with `cargo install --locked \
         cargo-cyclonedx@0.5.9`, name it with --sbom-tool, or leave the bill out with --no-sbom",
    )?;
    Ok(())
}

/// Makes the bill of the binary for a target.
pub fn make(tool: &Path, source: &Source, target: Target, features: &str) -> anyhow::Result<Vec<u8>> {
    let workspace = linked_workspace(source)?;
    let root = workspace.path();
    let mut command = Command::new(tool);
    command.current_dir(root).env("CARGO", cargo()).env("CARGO_NET_OFFLINE", "true");
    command.env("SOURCE_DATE_EPOCH", source.epoch_s.to_string());
    command.args(["cyclonedx", "--manifest-path", "host/Cargo.toml", "--format", "json", "-qq", "--no-build-deps"]);
    command.args(["--features", features, "--target", target.triple(), "--override-filename", BILL]);
    command.args(["--spec-version", SPECIFICATION]);
    let run = command.output().context("cannot run cargo-cyclonedx")?;
    if !run.status.success() {
        bail!("cargo-cyclonedx failed ({}): {}", run.status, String::from_utf8_lossy(&run.stderr).trim());
    }
    let bill = root.join("host").join(format!("{BILL}.json"));
    let text =
        std::fs::read_to_string(&bill).with_context(|| format!("cargo-cyclonedx wrote no {}", bill.display()))?;
    let text = text.replace(&format!("file://{}", root.display()), "file:///wasq");
    let mut bill: Value = serde_json::from_str(&text).context("cargo-cyclonedx wrote no JSON")?;
    reduce(&mut bill, &contents::crates(source, target, features)?);
    Ok(format!("{bill:#}\n").into_bytes())
}

/// The workspace in another directory, by links: the tool writes beside each manifest, and must not
/// touch the repository, of which cargo would compile again what has changed.
fn linked_workspace(source: &Source) -> anyhow::Result<TempDir> {
    let workspace = tempfile::tempdir().context("no directory for the bill of materials")?;
    let there = |path: &Path| Some(workspace.path().join(path.strip_prefix(&source.root).ok()?));
    let link = |from: &Path| match there(from) {
        // A package in this one has a directory of its own.
        Some(to) if !to.exists() => symlink(from, &to).with_context(|| format!("cannot link {}", to.display())),
        Some(_) | None => Ok(()),
    };
    for member in source.members.iter().filter_map(|member| there(member)) {
        std::fs::create_dir_all(&member).with_context(|| format!("cannot make {}", member.display()))?;
    }
    for member in &source.members {
        let entries = std::fs::read_dir(member).with_context(|| format!("cannot look into {}", member.display()))?;
        for entry in entries {
            link(&entry.with_context(|| format!("cannot look into {}", member.display()))?.path())?;
        }
    }
    for file in ["Cargo.toml", "Cargo.lock"] {
        link(&source.root.join(file))?;
    }
    Ok(workspace)
}

/// Takes away what is not in the binary.
fn reduce(bill: &mut Value, crates: &BTreeSet<(String, String)>) {
    let is_inside = |component: &Value| {
        let text = |key: &str| component[key].as_str().unwrap_or_default().to_owned();
        crates.contains(&(text("name"), text("version")))
    };
    let mut kept: BTreeSet<String> =
        bill["metadata"]["component"]["bom-ref"].as_str().map(str::to_owned).into_iter().collect();
    if let Some(components) = bill.get_mut("components").and_then(Value::as_array_mut) {
        components.retain(is_inside);
        kept.extend(components.iter().filter_map(|component| component["bom-ref"].as_str()).map(str::to_owned));
    }
    let is_kept = |reference: &Value| reference.as_str().is_some_and(|reference| kept.contains(reference));
    if let Some(edges) = bill.get_mut("dependencies").and_then(Value::as_array_mut) {
        edges.retain(|edge| is_kept(&edge["ref"]));
        for edge in edges {
            if let Some(targets) = edge.get_mut("dependsOn").and_then(Value::as_array_mut) {
                targets.retain(is_kept);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_bill_names_what_is_in_the_binary_and_nothing_else() {
        let component = |name: &str| json!({ "name": name, "version": "1.0.0", "bom-ref": name });
        let mut bill = json!({
            "metadata": { "component": component("wasq") },
            "components": [component("tokio"), component("mockito")],
            "dependencies": [
                { "ref": "wasq", "dependsOn": ["mockito", "tokio"] },
                { "ref": "mockito", "dependsOn": ["tokio"] },
                { "ref": "tokio" },
            ],
        });
        let crates = ["wasq", "tokio"].map(|name| (name.to_owned(), "1.0.0".to_owned()));
        reduce(&mut bill, &crates.into_iter().collect());
        assert_eq!(bill["components"], json!([component("tokio")]));
        assert_eq!(bill["dependencies"], json!([{ "ref": "wasq", "dependsOn": ["tokio"] }, { "ref": "tokio" }]));
    }
}
