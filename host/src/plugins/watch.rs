//! Looks at the plugin directory again and again, and says when what is in it has changed and come
//! to rest.
//!
//! It looks instead of being told: file systems that are shared over a network, and layers of a
//! container, tell nobody.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::signature;

/// How often it looks. A change is acted upon when two looks in a row have seen the same.
pub const LOOK: Duration = Duration::from_secs(1);

/// The files of plugins, by their extensions.
const KINDS: [&str; 3] = ["wasm", "toml", signature::EXTENSION];

/// What a directory holds, as far as a change of it can be seen from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing(Vec<(PathBuf, Option<std::time::SystemTime>, u64)>);

impl Listing {
    /// The components, manifests and signatures in `dir`. One that cannot be read is as good as
    /// empty: reloading says what is wrong.
    pub fn of(dir: &Path) -> Self {
        let Ok(entries) = std::fs::read_dir(dir) else { return Self::default() };
        let mut files: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                let is = |extension: &std::ffi::OsStr| KINDS.iter().any(|kind| extension == *kind);
                path.extension().is_some_and(is)
            })
            // Follows links: a directory of them is how some orchestrators swap files.
            .filter_map(|path| std::fs::metadata(&path).ok().map(|about| (path, about.modified().ok(), about.len())))
            .collect();
        files.sort();
        Self(files)
    }
}

/// Waits for changes of one directory.
///
/// It looks on a thread that may block: a network file system that does not answer takes that one,
/// and none that serves.
pub struct Watch {
    dir: PathBuf,
    list: fn(&Path) -> Listing,
    /// What was there when it was acted upon last, and at the last look.
    known: Listing,
    seen: Listing,
}

impl Watch {
    /// What is there now is known.
    pub async fn new(dir: &Path) -> Self {
        Self::with(dir, Listing::of).await
    }

    async fn with(dir: &Path, list: fn(&Path) -> Listing) -> Self {
        let mut watch = Self { dir: dir.to_owned(), list, known: Listing::default(), seen: Listing::default() };
        watch.known = watch.listing().await;
        watch.seen = watch.known.clone();
        watch
    }

    async fn listing(&self) -> Listing {
        let (dir, list) = (self.dir.clone(), self.list);
        let listing = tokio::task::spawn_blocking(move || list(&dir)).await;
        listing.unwrap_or_else(|error| {
            tracing::error!(%error, "the look at the plugin directory panicked");
            self.seen.clone()
        })
    }

    /// Completes when the directory has changed since the last time and has come to rest, or for
    /// what `else_if` looks at.
    pub async fn changed(&mut self, else_if: impl Fn() -> bool) {
        loop {
            tokio::time::sleep(LOOK).await;
            let listing = self.listing().await;
            if self.look(listing) || else_if() {
                return;
            }
        }
    }

    fn look(&mut self, now: Listing) -> bool {
        let at_rest = now == self.seen;
        self.seen = now;
        let changed = at_rest && self.seen != self.known;
        if changed {
            self.known = self.seen.clone();
        }
        changed
    }
}

#[cfg(test)]
mod tests;
