//! The versions that do well, kept beside the compiled code while new ones are on trial, and the
//! verdicts on those that did not: so that a host that starts again in the middle of a trial has
//! both.
//!
//! A plugin's directory holds its `state.json` and a copy of the component with its manifest. The
//! directory is private to this user, as the cache of compiled code is; a copy whose fingerprint is
//! not the one in `state.json` is passed over.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cache::{CacheError, private_dir};
use super::load::Plugin;

const STATE_FILE: &str = "state.json";
/// What may stand beside a component and belongs to it.
const BESIDE: [&str; 3] = ["toml", "wasm.minisig", "toml.minisig"];
/// Verdicts that are remembered of one plugin, the latest.
const REFUSED_MAX: usize = 64;

/// Where they are kept.
#[derive(Clone, Debug)]
pub struct Versions {
    dir: PathBuf,
}

/// What is known of one plugin.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct State {
    /// The fingerprint of the version that is kept.
    stable: String,
    /// Versions that were rolled back, by their fingerprints, with the reason; the order tells
    /// their age.
    refused: Vec<(String, String)>,
}

impl Versions {
    pub fn open(dir: &Path) -> Result<Self, CacheError> {
        private_dir(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Keeps this version as the one to go back to.
    pub fn keep(&self, plugin: &Plugin) -> io::Result<()> {
        let dir = self.of(&plugin.manifest.name);
        fs::create_dir_all(&dir)?;
        let bytes = fs::read(&plugin.path)?;
        if blake3::hash(&bytes).to_hex().as_str() != plugin.digest {
            return Err(io::Error::other(format!("{} was changed since it was loaded", plugin.path.display())));
        }
        let component = component(&dir, &plugin.manifest.name);
        write(&component, &bytes)?;
        for beside in BESIDE {
            copy(&plugin.path.with_extension(beside), &component.with_extension(beside))?;
        }
        self.change(&plugin.manifest.name, |state| state.stable = plugin.fingerprint())
    }

    /// The component that is kept, and the fingerprint that it must have.
    pub fn kept(&self, name: &str) -> Option<(PathBuf, String)> {
        let stable = self.state(name).stable;
        let component = component(&self.of(name), name);
        (!stable.is_empty() && component.exists()).then_some((component, stable))
    }

    /// Notes that a version was rolled back.
    pub fn refuse(&self, name: &str, fingerprint: &str, reason: &str) -> io::Result<()> {
        self.change(name, |state| {
            state.refused.retain(|(known, _)| known != fingerprint);
            state.refused.push((fingerprint.to_owned(), reason.to_owned()));
            let over = state.refused.len().saturating_sub(REFUSED_MAX);
            state.refused.drain(..over);
        })
    }

    /// Why a version was rolled back, if it was.
    pub fn refused(&self, name: &str, fingerprint: &str) -> Option<String> {
        let refused: BTreeMap<_, _> = self.state(name).refused.into_iter().collect();
        refused.get(fingerprint).cloned()
    }

    /// Forgets a plugin that was taken away.
    pub fn forget(&self, name: &str) -> io::Result<()> {
        match fs::remove_dir_all(self.of(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// A name has no character that means anything in a path (see `Manifest`).
    fn of(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn state(&self, name: &str) -> State {
        let path = self.of(name).join(STATE_FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(path = %path.display(), %error, "what is known of a plugin's versions cannot be read");
                }
                return State::default();
            }
        };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "what is known of a plugin's versions is damaged; beginning anew");
            State::default()
        })
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.state(name);
        change(&mut state);
        fs::create_dir_all(self.of(name))?;
        write(&self.of(name).join(STATE_FILE), &serde_json::to_vec_pretty(&state)?)
    }
}

fn component(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.wasm"))
}

/// Makes one file as the other is, and as absent.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::read(from) {
        Ok(bytes) => write(to, &bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::remove_file(to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        },
        Err(error) => Err(error),
    }
}

/// Whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_kept_the_latest_and_a_damaged_file_is_as_good_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let versions = Versions::open(&dir.path().join("rollouts")).unwrap();
        for n in 0..=REFUSED_MAX {
            versions.refuse("p", &n.to_string(), "why").unwrap();
        }
        assert_eq!(versions.refused("p", "0"), None);
        assert_eq!(versions.refused("p", "1").as_deref(), Some("why"));
        assert_eq!(versions.refused("q", "1"), None);
        assert_eq!(versions.kept("p"), None);
        fs::write(versions.of("p").join(STATE_FILE), "{").unwrap();
        assert_eq!(versions.refused("p", "1"), None);
        versions.forget("p").unwrap();
        versions.forget("p").unwrap();
    }
}
