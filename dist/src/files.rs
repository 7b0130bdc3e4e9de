//! Files in memory, as the archives have them, and their checksums.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use sha2::{Digest, Sha256};

use crate::ReleaseFile;

/// Files by their paths, in the order of these.
#[derive(Default)]
pub struct Tree(BTreeMap<String, Entry>);

/// A file.
#[derive(Clone)]
pub struct Entry {
    pub bytes: Vec<u8>,
    pub is_program: bool,
}

impl Entry {
    /// Its permissions: everybody may read it, and run it if it is a program.
    pub fn mode(&self) -> u32 {
        if self.is_program { 0o755 } else { 0o644 }
    }
}

impl Tree {
    pub fn add(&mut self, path: &str, bytes: Vec<u8>) {
        self.0.insert(path.to_owned(), Entry { bytes, is_program: false });
    }

    pub fn add_program(&mut self, path: &str, bytes: Vec<u8>) {
        self.0.insert(path.to_owned(), Entry { bytes, is_program: true });
    }

    pub fn add_all(&mut self, other: &Self) {
        self.0.extend(other.0.iter().map(|(path, entry)| (path.clone(), entry.clone())));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(path, entry)| (path.as_str(), entry))
    }
}

/// As `sha256sum` prints it.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file that was written, with its checksum.
pub fn read_sum(directory: &Path, name: String) -> anyhow::Result<ReleaseFile> {
    let bytes = std::fs::read(directory.join(&name)).with_context(|| format!("cannot read {name} again"))?;
    Ok(ReleaseFile { sha256: sha256(&bytes), name })
}
