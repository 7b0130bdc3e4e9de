//! Compiled code, kept from one start to the next.
//!
//! Code from here is run as it is, so it must be ours. Each file carries a keyed blake3 of its name
//! and its code; the key is in a file beside them that only this user can read. A file that is
//! torn, or that somebody made who may write into the directory but not read the key, is passed
//! over and made anew. Whoever can act as this user is trusted: so is the host itself. The
//! directory is refused when others may write into it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::private_dir::NotPrivate;

/// What has not been used for so long is removed when the cache is opened.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const KEY_FILE: &str = "key";
const KEY_BYTES: usize = 32;
const MAC_BYTES: usize = 32;

/// A directory of compiled code, for one kind of engine.
#[derive(Clone)]
pub struct Cache {
    dir: PathBuf,
    key: [u8; KEY_BYTES],
    engine: u64,
}

/// Why there is no cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("the cache of compiled code in {} cannot be used: {source}; set compile_cache to a directory this user may write to", dir.display())]
    Directory { dir: PathBuf, source: io::Error },
    #[error("the cache of compiled code in {} can be written by others; take that right away (chmod go-w)", dir.display())]
    OthersWrite { dir: PathBuf },
    #[error("the key of the cache of compiled code, {}, is damaged; remove the directory", path.display())]
    Key { path: PathBuf },
}

impl Cache {
    /// Opens the directory, which is made if it is not there. `engine` tells code for one engine
    /// from code for another.
    pub fn open(dir: &Path, engine: u64) -> Result<Self, CacheError> {
        let at = |source| CacheError::Directory { dir: dir.to_owned(), source };
        private_dir(dir)?;
        let path = dir.join(KEY_FILE);
        let key = match fs::read(&path) {
            Ok(key) => key,
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_key(&path).map_err(at)?,
            Err(error) => return Err(at(error)),
        };
        let key = key.try_into().map_err(|_| CacheError::Key { path })?;
        let cache = Self { dir: dir.to_owned(), key, engine };
        cache.remove_unused();
        Ok(cache)
    }

    /// The code that was kept for a component, if it is whole and ours.
    pub fn get(&self, component: blake3::Hash) -> Option<Vec<u8>> {
        let path = self.path(component);
        let mut file = match fs::read(&path) {
            Ok(file) => file,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(path = %path.display(), %error, "compiled code cannot be read; compiling it anew");
                }
                return None;
            }
        };
        let code = file.split_off(file.len().min(MAC_BYTES));
        // Compared in constant time.
        let known: Option<[u8; MAC_BYTES]> = file.try_into().ok();
        if known.map(blake3::Hash::from_bytes) != Some(self.mac(component, &code)) {
            tracing::warn!(path = %path.display(), "compiled code is torn or not ours; compiling it anew");
            return None;
        }
        // Its time of use; whether that can be noted does not matter.
        drop(File::open(&path).and_then(|file| file.set_modified(std::time::SystemTime::UNIX_EPOCH + now())));
        Some(code)
    }

    /// Keeps a component's code.
    pub fn put(&self, component: blake3::Hash, code: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.dir)?;
        file.write_all(self.mac(component, code).as_bytes())?;
        file.write_all(code)?;
        file.persist(self.path(component)).map(drop).map_err(|error| error.error)
    }

    fn path(&self, component: blake3::Hash) -> PathBuf {
        self.dir.join(format!("{}-{:016x}.code", component.to_hex(), self.engine))
    }

    fn mac(&self, component: blake3::Hash, code: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(component.as_bytes()).update(&self.engine.to_le_bytes()).update(code);
        hasher.finalize()
    }

    fn remove_unused(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            let is_code = entry.path().extension().is_some_and(|extension| extension == "code");
            let used = entry.metadata().and_then(|about| about.modified()).ok();
            let used = used.and_then(|at| at.duration_since(std::time::SystemTime::UNIX_EPOCH).ok());
            if is_code && used.is_some_and(|used| used + KEPT < now()) {
                // The next opening tries it again.
                drop(fs::remove_file(entry.path()));
            }
        }
    }
}

/// A directory that is made if it is not there, and that nobody else may write to.
pub fn private_dir(dir: &Path) -> Result<(), CacheError> {
    crate::private_dir::private_dir(dir).map_err(|error| match error {
        NotPrivate::Io(source) => CacheError::Directory { dir: dir.to_owned(), source },
        NotPrivate::OthersWrite => CacheError::OthersWrite { dir: dir.to_owned() },
    })
}

/// Since 1970.
fn now() -> Duration {
    Duration::from_millis(wasq_core::clock::unix_ms().0)
}

fn make_key(path: &Path) -> io::Result<Vec<u8>> {
    let mut key = vec![0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    // Whole or not at all, and one for all that start at once.
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".key-").tempfile_in(dir)?;
    file.write_all(&key)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(key),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => fs::read(path),
        Err(error) => Err(error.error),
    }
}

#[cfg(test)]
mod tests;
