//! Directories whose files are trusted, since nobody else may write there.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

/// May others write?
const OTHERS_WRITE: u32 = 0o022;

/// Why a directory is not private.
#[derive(Debug, thiserror::Error)]
pub enum NotPrivate {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("others may write to it; take that right away (chmod go-w)")]
    OthersWrite,
}

/// A directory that is made if it is not there, and that nobody else may write to.
pub fn private_dir(dir: &Path) -> Result<(), NotPrivate> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let about = fs::metadata(dir)?;
    if about.mode() & OTHERS_WRITE != 0 || about.uid() != rustix::process::geteuid().as_raw() {
        return Err(NotPrivate::OthersWrite);
    }
    Ok(())
}
