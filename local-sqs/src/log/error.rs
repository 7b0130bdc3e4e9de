//! Why a log does not open, or does not take a commit.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a commit is not stored. The store stays as it was before.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// A write failed, for want of space for instance. The next may succeed.
    #[error("cannot write to {path}: {error}; free space or check the disk")]
    Write { path: PathBuf, error: Arc<std::io::Error> },
    /// The disk failed to sync. What it holds is unknown, so nothing more is written.
    #[error("{path} could not be synced to the disk: check the disk, then restart")]
    Unsynced { path: PathBuf },
    /// The log is closed.
    #[error("the local queue is shut down")]
    Closed,
}

/// Why a log does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{dir} is in use by another process: stop it, or choose another directory")]
    Locked { dir: PathBuf },
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: std::io::Error },
    #[error(
        "{path} is damaged at byte {offset}, before its end: restore it from a copy, or move it away to go on without it"
    )]
    Damaged { path: PathBuf, offset: u64 },
    #[error(
        "{path} has at byte {offset} what this version cannot read ({reason}), though it is whole: open it with the version \
         that wrote it, or move it away to go on without it"
    )]
    Unknown { path: PathBuf, offset: u64, reason: String },
}

impl OpenError {
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path, error }
    }
}
