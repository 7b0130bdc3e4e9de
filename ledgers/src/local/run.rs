//! A run: a file of entries in the order of their keys, which never changes. It has what one or
//! more segments of the log had: its name says which, `run-FIRST-LAST.run`.
//!
//! `blocks | filter | index | tail`: a block is `checksum 8 | records`; the index has, for each
//! block, the first 8 bytes of its first key and its offset; the tail says how long all that is,
//! and has a checksum over filter, index and itself. Filter and index are in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use wasq_core::message::{Key, UnixMs};

use super::filter::Filter;
use super::frame::{CHECKSUM_BYTES, checksum};
use super::record::{Record, Stored};
use crate::ledger::LedgerError;

/// What an unfinished run's file ends with. One that is there at start is removed.
pub const UNFINISHED: &str = ".tmp";
/// Bytes of records from which on a block is closed: one look at the disk.
pub const BLOCK_BYTES: usize = 8 * 1024;
pub const MAGIC: [u8; 8] = *b"wasqrun1";
const TAIL_BYTES: usize = 5 * 8 + CHECKSUM_BYTES + MAGIC.len();

/// The segments whose entries a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub first: u64,
    pub last: u64,
}

impl Span {
    pub fn contains(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    pub fn path(self, dir: &Path) -> PathBuf {
        dir.join(format!("run-{:016}-{:016}.run", self.first, self.last))
    }
}

#[derive(Clone, Copy)]
pub struct Block {
    /// The beginning of its first key. Keys with one beginning are never in two blocks.
    pub prefix: u64,
    pub offset: u64,
}

pub struct Run {
    pub span: Span,
    pub path: PathBuf,
    pub file: File,
    pub entries: u64,
    /// From then on half of its entries, of those that had not expired when it was written, have.
    pub half_expired_at: UnixMs,
    pub filter: Filter,
    pub blocks: Vec<Block>,
    /// Where the last block ends.
    pub end: u64,
}

/// The runs' files in a directory, in the order of their segments.
pub fn list(dir: &Path) -> io::Result<Vec<(Span, PathBuf)>> {
    let span = |name: &str| {
        let (first, last) = name.strip_prefix("run-")?.strip_suffix(".run")?.split_once('-')?;
        Some(Span { first: first.parse().ok()?, last: last.parse().ok()? })
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if let Some(span) = entry.file_name().to_str().and_then(span) {
            found.push((span, entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Removes what a crash, or a full disk, has left of runs on their way.
pub fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.as_os_str().as_encoded_bytes().ends_with(UNFINISHED.as_bytes()) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

pub fn prefix(key: Key) -> u64 {
    u64::from_be_bytes(*key.0.first_chunk().expect("a key has 32 bytes"))
}

impl Run {
    /// Opens a run: reads its filter and its index.
    pub fn open(span: Span, path: PathBuf) -> io::Result<Self> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "its index is damaged");
        let file = File::open(&path)?;
        let length = file.metadata()?.len();
        let mut tail = [0; TAIL_BYTES];
        let tail_at = length.checked_sub(TAIL_BYTES as u64).ok_or_else(damaged)?;
        file.read_exact_at(&mut tail, tail_at)?;
        let number = |n: usize| u64::from_le_bytes(*tail[n * 8..].first_chunk().expect("the tail has five numbers"));
        let [entries, half_expired_at, filter_bytes, index_bytes, end] = [0, 1, 2, 3, 4].map(number);
        let is_whole = [end, filter_bytes, index_bytes].into_iter().try_fold(0, u64::checked_add) == Some(tail_at);
        if !is_whole || !tail.ends_with(&MAGIC) {
            return Err(damaged());
        }
        let mut covered = vec![0; (tail_at - end) as usize];
        file.read_exact_at(&mut covered, end)?;
        covered.extend_from_slice(&tail[..5 * 8]);
        if checksum(&covered) != tail[5 * 8..5 * 8 + CHECKSUM_BYTES] {
            return Err(damaged());
        }
        let (filter, rest) = covered.split_at(filter_bytes as usize);
        let blocks = rest[..index_bytes as usize].chunks_exact(16).map(|block| {
            let word = |at: usize| u64::from_le_bytes(*block[at..].first_chunk().expect("a block's line has 16 bytes"));
            Block { prefix: word(0), offset: word(8) }
        });
        let (blocks, filter) = (blocks.collect(), Filter::from_bytes(filter.to_vec()).ok_or_else(damaged)?);
        Ok(Self { span, path, file, entries, half_expired_at: UnixMs(half_expired_at), filter, blocks, end })
    }

    /// Whether the run may have the key. False is certain.
    pub fn may_have(&self, key: Key) -> bool {
        self.filter.may_have(key)
    }

    /// The key's entry, from the disk.
    pub fn get(&self, key: Key) -> Result<Option<Stored>, LedgerError> {
        let prefix = prefix(key);
        let Some(n) = self.blocks.partition_point(|block| block.prefix <= prefix).checked_sub(1) else {
            return Ok(None);
        };
        let path = self.path.display();
        let mut block = vec![0; self.block_bytes(n)];
        self.file
            .read_exact_at(&mut block, self.blocks[n].offset)
            .map_err(|error| LedgerError::Unavailable(format!("{path}: {error}")))?;
        let Some(mut records) = records(&block) else {
            let offset = self.blocks[n].offset;
            return Err(LedgerError::Damaged(format!("{}: {path} is damaged at byte {offset}", key.to_hex())));
        };
        records.find(|record| record.key == key).map(|record| Stored::decode(key, record.content())).transpose()
    }

    /// Bytes of a block.
    pub fn block_bytes(&self, n: usize) -> usize {
        let end = self.blocks.get(n + 1).map_or(self.end, |next| next.offset);
        (end - self.blocks[n].offset) as usize
    }
}

/// The records of a block; none if it is damaged.
fn records(block: &[u8]) -> Option<impl Iterator<Item = Record<'_>>> {
    let (sum, mut rest) = block.split_first_chunk::<CHECKSUM_BYTES>()?;
    (checksum(rest) == *sum).then_some(())?;
    Some(std::iter::from_fn(move || {
        let record = Record::first(rest)?;
        rest = &rest[record.bytes.len()..];
        Some(record)
    }))
}

#[cfg(test)]
mod tests;
