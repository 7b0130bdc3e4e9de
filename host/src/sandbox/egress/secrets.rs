//! The operator's secrets: where each is, and what it is now. Nothing here shows one.

mod fetch;
#[cfg(feature = "aws-secrets")]
mod stores;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;
use wasq_core::clock;

pub use fetch::Fetcher;

use crate::config::{AwsSecretLocation, SecretLocation, SecretSource};

/// How old a file's content may be when a request uses it.
const REREAD_AFTER: Duration = Duration::from_secs(2);

/// The longest secret. Longer ones fit into no header that servers take.
const SECRET_MAX_BYTES: u64 = 16 * 1024;

/// Every secret that the config names.
pub struct Secrets(BTreeMap<String, Stored>);

enum Stored {
    /// Out of the environment: it does not change while the host runs.
    Fixed(Arc<[u8]>),
    File {
        path: PathBuf,
        kept: Mutex<FileSecret>,
    },
    /// With AWS: its value, or why there is none yet.
    Aws {
        at: AwsSecretLocation,
        field: Option<String>,
        kept: Mutex<Result<Arc<[u8]>, String>>,
    },
}

/// A file's content, and when it was read.
struct FileSecret {
    value: Arc<[u8]>,
    read_at: Instant,
}

/// A secret that the config names and the host cannot find or use.
#[derive(Debug, thiserror::Error)]
#[error("secret `{name}`: {reason}")]
pub struct SecretError {
    name: String,
    reason: String,
}

impl Secrets {
    /// Finds every secret that is on this machine. Those with AWS are a [`Fetcher`]'s to fetch.
    ///
    /// # Errors
    /// Names the first that is missing, empty, or no header's value, and the location where it was
    /// looked for.
    pub fn load(sources: &BTreeMap<String, SecretSource>) -> Result<Self, SecretError> {
        let now = clock::now();
        let stored = sources.iter().map(|(name, source)| {
            let stored = Stored::load(source, now);
            Ok((name.clone(), stored.map_err(|reason| SecretError { name: name.clone(), reason })?))
        });
        Ok(Self(stored.collect::<Result<_, _>>()?))
    }

    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The secret's value; none if the config does not name it, or if it could not be fetched yet.
    pub fn value(&self, name: &str) -> Option<Arc<[u8]>> {
        match self.0.get(name)? {
            Stored::Fixed(value) => Some(value.clone()),
            Stored::File { kept, .. } => Some(lock(kept).value.clone()),
            Stored::Aws { kept, .. } => lock(kept).as_ref().ok().cloned(),
        }
    }

    /// Whether a file's content is too old to be used.
    pub fn is_stale(&self, now: Instant) -> bool {
        self.0.values().any(|stored| stored.is_stale(now))
    }

    /// Reads again what is stale. What cannot be read keeps its last value, and the log says so.
    /// Blocks.
    pub fn reread(&self, now: Instant) {
        for (name, stored) in &self.0 {
            let Stored::File { path, kept } = stored else { continue };
            {
                // Marked first, so that many requests at once read the file once.
                let mut kept = lock(kept);
                if now.saturating_duration_since(kept.read_at) < REREAD_AFTER {
                    continue;
                }
                kept.read_at = now;
            }
            match read(path) {
                Ok(value) => lock(kept).value = value,
                Err(reason) => {
                    tracing::warn!(secret = %name, %reason, "a secret cannot be read again; its last value is used on")
                }
            }
        }
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Stored {
    fn load(source: &SecretSource, now: Instant) -> Result<Self, String> {
        match source.location().ok_or("it is not said where it is, or said twice")? {
            SecretLocation::Env(name) => {
                let location = format!("the environment's variable {name}");
                let value = std::env::var_os(&name).ok_or_else(|| format!("{location} is not set"))?;
                Ok(Self::Fixed(checked(value.into_encoded_bytes(), &location)?))
            }
            SecretLocation::File(path) => {
                let kept = Mutex::new(FileSecret { value: read(&path)?, read_at: now });
                Ok(Self::File { path, kept })
            }
            SecretLocation::Aws { at, field } => {
                let kept = Mutex::new(Err(format!("{at} was not asked for yet")));
                Ok(Self::Aws { at, field, kept })
            }
        }
    }

    fn is_stale(&self, now: Instant) -> bool {
        match self {
            Self::Fixed(_) | Self::Aws { .. } => false,
            Self::File { kept, .. } => now.saturating_duration_since(lock(kept).read_at) >= REREAD_AFTER,
        }
    }
}

fn lock<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock()
}

/// A file's content, without the line end that editors put there.
fn read(path: &Path) -> Result<Arc<[u8]>, String> {
    let location = format!("the file {}", path.display());
    let fail = |error: std::io::Error| format!("cannot read {location}: {error}");
    // What is no file, such as a pipe, could keep its reader waiting.
    if !std::fs::metadata(path).map_err(fail)?.is_file() {
        return Err(format!("{location} is not a regular file"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(fail)?;
    file.take(SECRET_MAX_BYTES + 2).read_to_end(&mut bytes).map_err(fail)?;
    checked(without_line_end(bytes), &location)
}

fn without_line_end(mut bytes: Vec<u8>) -> Vec<u8> {
    let line_end = if bytes.ends_with(b"\r\n") { 2 } else { usize::from(bytes.ends_with(b"\n")) };
    bytes.truncate(bytes.len() - line_end);
    bytes
}

fn checked(bytes: Vec<u8>, location: &str) -> Result<Arc<[u8]>, String> {
    if bytes.is_empty() {
        return Err(format!("{location} is empty"));
    }
    if bytes.len() as u64 > SECRET_MAX_BYTES {
        return Err(format!("{location} has more than {SECRET_MAX_BYTES} bytes"));
    }
    match HeaderValue::from_bytes(&bytes) {
        Ok(_) => Ok(bytes.into()),
        Err(_) => Err(format!("{location} has a line end or another control character in it, which no header takes")),
    }
}

#[cfg(test)]
mod tests;
