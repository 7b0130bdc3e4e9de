//! The repository that a release is made of: its version, commit and time, and the words about it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::files::sha256;
use crate::target::Target;

/// The repository.
pub struct Source {
    pub root: PathBuf,
    /// The directories of the workspace's packages.
    pub members: Vec<PathBuf>,
    pub version: String,
    /// Twelve digits; none outside of a clone.
    pub commit: Option<String>,
    /// The time that everything in the release has: the commit's, in seconds since 1970.
    pub epoch_s: u64,
    pub description: String,
    pub repository: String,
    pub license: String,
}

impl Source {
    /// The repository that this program was built in.
    pub fn find() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("dist/ stands in the repository")?;
        let arguments = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
        let metadata: Value = serde_json::from_str(&output(cargo(), &arguments, Some(root))?)?;
        let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
        let host = packages.iter().find(|package| package["name"] == "wasq").context("there is no package `wasq`")?;
        let text = |key: &str| host[key].as_str().map(str::to_owned).with_context(|| format!("wasq has no `{key}`"));
        let manifests = packages.iter().filter_map(|package| package["manifest_path"].as_str());
        let members = manifests.filter_map(|manifest| Path::new(manifest).parent()).map(Path::to_owned).collect();
        let git = |arguments: &[&str]| output("git", arguments, Some(root)).ok();
        let commit = git(&["rev-parse", "--short=12", "HEAD"]);
        let epoch_s = match std::env::var("SOURCE_DATE_EPOCH").ok().or_else(|| git(&["log", "-1", "--format=%ct"])) {
            Some(seconds) => seconds.trim().parse().with_context(|| format!("{seconds:?} is no time in seconds"))?,
            None => bail!("this is no clone, so nothing tells the release's time; set SOURCE_DATE_EPOCH to it"),
        };
        Ok(Self {
            root: root.to_owned(),
            members,
            version: text("version")?,
            commit: commit.map(|commit| commit.trim().to_owned()),
            epoch_s,
            description: text("description")?,
            repository: text("repository")?,
            license: text("license")?,
        })
    }

    /// A file of the repository.
    pub fn read(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let path = self.root.join(path);
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Where a file of the release can be fetched, once its tag is published.
    pub fn url_of(&self, file: &str) -> String {
        format!("{}/releases/download/v{}/{file}", self.repository, self.version)
    }

    /// `release.json`: what a script asks of a release, the tags of its image included.
    pub fn describe(&self, targets: &[Target], features: &str) -> String {
        let described = json!({
            "version": self.version,
            "tag": format!("v{}", self.version),
            "commit": self.commit,
            "source_date_epoch": self.epoch_s,
            "lock_sha256": self.read("Cargo.lock").ok().map(|lock| sha256(&lock)),
            "targets": targets.iter().map(|target| target.triple()).collect::<Vec<_>>(),
            "features": features.split(',').filter(|feature| !feature.is_empty()).collect::<Vec<_>>(),
            "image": { "name": "wasq", "tags": image_tags(&self.version) },
        });
        format!("{described:#}\n")
    }
}

/// The tags of a version's image. One that is no release yet has its own tag alone.
fn image_tags(version: &str) -> Vec<String> {
    match version.split('.').collect::<Vec<_>>()[..] {
        [major, minor, patch] if patch.bytes().all(|byte| byte.is_ascii_digit()) => {
            vec![version.to_owned(), format!("{major}.{minor}"), "latest".to_owned()]
        }
        _ => vec![version.to_owned()],
    }
}

/// The cargo that runs this.
pub fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// What a program prints.
///
/// # Errors
/// It is not there, or fails: with what it says.
pub fn output(program: impl AsRef<OsStr>, arguments: &[&str], dir: Option<&Path>) -> anyhow::Result<String> {
    let program = program.as_ref();
    let shown = || format!("{} {}", Path::new(program).display(), arguments.join(" "));
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C");
    if let Some(dir) = dir {
        command.current_dir(dir);
    }
    let output = command.output().with_context(|| format!("cannot run `{}`", shown()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed ({}): {}", shown(), output.status, said.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` prints no UTF-8", shown()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_a_candidate_is_nobodys_latest() {
        assert_eq!(image_tags("0.2.0"), ["0.2.0", "0.2", "latest"]);
        assert_eq!(image_tags("0.2.0-rc.1"), ["0.2.0-rc.1"]);
    }
}
