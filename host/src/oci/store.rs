//! What was pulled, on disk: a directory for each manifest's digest, and what each tag stood for
//! when it was asked last. A host that starts while a registry is away has its plugins from here.
//!
//! What is read is checked: a manifest by its directory's name, a component by the manifest. The
//! directory is private to this user, since what a tag stood for is nobody's digest.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::artifact::{ArtifactManifest, digest};
use super::error::OciError;
use super::transfer::Artifact;
use crate::config::{OciReference, is_digest};
use crate::private_dir::private_dir;

const MANIFEST_FILE: &str = "manifest.json";
const COMPONENT_FILE: &str = "plugin.wasm";
const SIGNATURE_FILE: &str = "plugin.wasm.minisig";
const TAGS_DIR: &str = "tags";
/// What no reference stands for any more is removed when it is so old.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The directory.
pub struct Store {
    dir: PathBuf,
}

/// What a tag stood for.
#[derive(Serialize, Deserialize)]
struct Remembered {
    reference: String,
    digest: String,
}

impl Store {
    /// Opens the directory, which is made if it is not there.
    ///
    /// # Errors
    /// Others may write to it, or this user may not.
    pub fn open(dir: &Path) -> Result<Self, OciError> {
        let bad = |reason: String| OciError::Cache { dir: dir.to_owned(), reason };
        private_dir(dir).map_err(|error| bad(error.to_string()))?;
        fs::create_dir_all(dir.join(TAGS_DIR)).map_err(|error| bad(error.to_string()))?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// The component of an artifact, if it is there and whole.
    pub fn get(&self, reference: &OciReference, of: &str) -> Option<PathBuf> {
        let dir = self.of(of)?;
        let manifest = fs::read(dir.join(MANIFEST_FILE)).ok()?;
        let component = dir.join(COMPONENT_FILE);
        let is_whole = || {
            let manifest = ArtifactManifest::parse(reference, &manifest).ok().filter(|_| digest(&manifest) == of)?;
            (digest(&fs::read(&component).ok()?) == manifest.layer().digest).then_some(())
        };
        if is_whole().is_none() {
            tracing::warn!(path = %dir.display(), "what was kept of a plugin is damaged; it is pulled again");
            return None;
        }
        Some(component)
    }

    /// Keeps an artifact.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub fn put(&self, artifact: &Artifact) -> Result<PathBuf, OciError> {
        self.try_put(artifact).map_err(|error| OciError::Cache { dir: self.dir.clone(), reason: error.to_string() })
    }

    fn try_put(&self, artifact: &Artifact) -> io::Result<PathBuf> {
        let dir = self.of(&artifact.digest).ok_or_else(|| io::Error::other("a digest that is none"))?;
        let new = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.dir)?;
        let write = |name: &str, bytes: &[u8]| -> io::Result<()> {
            let mut file = fs::File::create(new.path().join(name))?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write(COMPONENT_FILE, &artifact.component)?;
        write(MANIFEST_FILE, &artifact.manifest)?;
        if let Some(signature) = &artifact.signature {
            write(SIGNATURE_FILE, signature.as_bytes())?;
        }
        // In the place of what is damaged.
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        fs::rename(new.keep(), &dir)?;
        Ok(dir.join(COMPONENT_FILE))
    }

    /// Notes what a reference stands for.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub fn remember(&self, reference: &OciReference, digest: &str) -> Result<(), OciError> {
        let write = || -> io::Result<()> {
            let said = Remembered { reference: reference.to_string(), digest: digest.to_owned() };
            let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.dir)?;
            file.write_all(&serde_json::to_vec(&said)?)?;
            file.as_file().sync_all()?;
            file.persist(self.tag(reference)).map(drop).map_err(|error| error.error)
        };
        write().map_err(|error| OciError::Cache { dir: self.dir.clone(), reason: error.to_string() })
    }

    /// What a reference stood for when that was noted last.
    pub fn remembered(&self, reference: &OciReference) -> Option<String> {
        if let Some(digest) = &reference.digest {
            return Some(digest.clone());
        }
        let said: Remembered = serde_json::from_slice(&fs::read(self.tag(reference)).ok()?).ok()?;
        (said.reference == reference.to_string() && is_digest(&said.digest)).then_some(said.digest)
    }

    /// Removes what none of these digests is, and is old.
    pub fn remove_unused(&self, used: &[String]) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let of = format!("sha256:{}", name.to_string_lossy());
            let pulled = entry.metadata().and_then(|about| about.modified()).ok();
            let pulled = pulled.and_then(|at| at.duration_since(std::time::SystemTime::UNIX_EPOCH).ok());
            let is_old = pulled.is_some_and(|at| at + KEPT < Duration::from_millis(wasq_core::clock::unix_ms().0));
            if is_digest(&of) && !used.contains(&of) && is_old {
                // The next look tries it again.
                drop(fs::remove_dir_all(entry.path()));
            }
        }
    }

    /// Where an artifact is.
    fn of(&self, digest: &str) -> Option<PathBuf> {
        Some(self.dir.join(digest.strip_prefix("sha256:").filter(|_| is_digest(digest))?))
    }

    fn tag(&self, reference: &OciReference) -> PathBuf {
        self.dir.join(TAGS_DIR).join(blake3::hash(reference.to_string().as_bytes()).to_hex().as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::artifact::Contents;
    use super::*;

    /// An artifact of these bytes.
    fn artifact(component: &'static [u8]) -> Artifact {
        let contents = Contents { name: "a", imports: &[], exports: &[], created: "", signature: Some("signed") };
        let (_, manifest) = ArtifactManifest::of(component, &contents);
        let manifest = manifest.bytes();
        Artifact {
            digest: digest(&manifest),
            manifest: manifest.into(),
            component: component.into(),
            signature: Some("signed".into()),
        }
    }

    #[test]
    fn what_is_kept_is_whole_and_what_is_old_and_used_by_nobody_goes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("oci")).unwrap();
        let tag = OciReference::parse("oci://r.example/a:1").unwrap();
        let [used, unused] = [artifact(b"used"), artifact(b"unused")];
        let file = store.put(&used).unwrap();
        assert_eq!(fs::read_to_string(file.with_file_name(SIGNATURE_FILE)).unwrap(), "signed");
        assert_eq!(store.remembered(&tag), None);
        store.remember(&tag, &used.digest).unwrap();
        assert_eq!(store.remembered(&tag).as_deref(), Some(used.digest.as_str()));
        assert_eq!(store.get(&tag, &used.digest), Some(file.clone()));
        let other = store.put(&unused).unwrap();
        let keep = [used.digest.clone()];
        store.remove_unused(&keep);
        assert!(other.exists(), "it is not old");
        for file in [&file, &other] {
            fs::File::open(file.parent().unwrap()).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        store.remove_unused(&keep);
        assert!(file.exists() && !other.exists());
        // One that somebody has changed is as good as none, and another takes its place.
        fs::write(&file, b"evil").unwrap();
        assert_eq!(store.get(&tag, &used.digest), None);
        assert_eq!(store.put(&used).unwrap(), file);
        assert_eq!(store.get(&tag, &used.digest), Some(file));
        assert_eq!(store.get(&tag, "sha256:../../etc/passwd"), None);
    }
}
