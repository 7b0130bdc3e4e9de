//! A segment of the log: a file of frames, and all that is in it once more in memory, where each
//! key's latest record is found. It lives until its entries are in a run.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wasq_core::message::Key;

use super::frame;
use super::key_map::{KeyHash, KeyMap};
use super::record::Record;

/// A segment that has grown to this is followed by a new one. Small in unit tests, so that they
/// see many.
pub const SEGMENT_BYTES: usize = if cfg!(test) { 16 * 1024 } else { 8 * 1024 * 1024 };
/// Keys that a segment has about: a claim and a completion take some 330 bytes.
const KEYS: usize = SEGMENT_BYTES / 320;

pub struct Segment {
    pub number: u64,
    pub path: PathBuf,
    pub file: Arc<File>,
    /// How many bytes of log were before it.
    pub base: u64,
    bytes: Vec<u8>,
    /// Where in them each key's latest record begins.
    index: KeyMap<u32>,
    /// Whether the file, which does not grow any more, is on the disk.
    is_synced: AtomicBool,
    /// A write has left something behind the last frame that could not be cut off.
    is_torn: bool,
}

/// The segments' files in a directory, by number.
pub fn list(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let number = |name: &str| name.strip_prefix("log-")?.strip_suffix(".log")?.parse().ok();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if let Some(number) = entry.file_name().to_str().and_then(number) {
            found.push((number, entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

pub fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("log-{number:016}.log"))
}

/// Removes a segment's file that is not needed any more. One that stays does no harm: at the next
/// start it is removed, or read once more.
pub fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "a file of the ledger that is not needed any more stays for now");
        }
        Ok(()) | Err(_) => {}
    }
}

impl Segment {
    /// Makes a segment's file.
    pub fn create(dir: &Path, number: u64, base: u64) -> io::Result<Self> {
        let path = path(dir, number);
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        let bytes = Vec::with_capacity(SEGMENT_BYTES + SEGMENT_BYTES / 8);
        let index = KeyMap::with_capacity_and_hasher(KEYS, KeyHash::default());
        Ok(Self {
            number,
            path,
            file: Arc::new(file),
            base,
            bytes,
            index,
            is_synced: AtomicBool::new(false),
            is_torn: false,
        })
    }

    /// A segment's file with these frames, written and not synced. It takes over their place in the
    /// log.
    pub fn create_with(dir: &Path, number: u64, base: u64, frames: Vec<u8>) -> io::Result<Self> {
        let mut segment = Self::create(dir, number, base)?;
        segment.file.write_all_at(&frames, 0)?;
        segment.bytes = frames;
        segment.index().map_err(|version| io::Error::other(format!("a frame of version {version}")))?;
        Ok(segment)
    }

    /// Reads a segment that another process has left, up to the first frame that is not whole.
    ///
    /// # Errors
    /// A whole frame of another version, with its offset.
    pub fn replay(number: u64, path: PathBuf, base: u64) -> io::Result<Result<Self, (usize, u8)>> {
        let file = File::options().read(true).write(true).open(&path)?;
        let bytes = std::fs::read(&path)?;
        let (length, mut segment) = (
            bytes.len(),
            Self {
                number,
                path,
                file: Arc::new(file),
                base,
                bytes,
                index: KeyMap::default(),
                is_synced: AtomicBool::new(false),
                is_torn: false,
            },
        );
        if let Err(version) = segment.index() {
            return Ok(Err((segment.bytes.len(), version)));
        }
        let whole = segment.bytes.len();
        if whole < length {
            let path = segment.path.display();
            tracing::warn!(%path, offset = whole, bytes = length - whole, "cut off a torn write of the ledger's log");
        }
        Ok(Ok(segment))
    }

    /// Indexes the frames, and forgets what is behind the last whole one.
    fn index(&mut self) -> Result<(), u8> {
        let mut at = 0;
        let unknown = loop {
            match frame::read(&self.bytes[at..]) {
                frame::Found::Frame(found) => {
                    for (offset, record) in found.records() {
                        self.index.insert(record.key, (at + offset) as u32);
                    }
                    at += found.bytes;
                }
                frame::Found::Torn => break None,
                frame::Found::Unknown(version) => break Some(version),
            }
        };
        self.bytes.truncate(at);
        unknown.map_or(Ok(()), Err)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the log stands after it.
    pub fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    pub fn is_full(&self) -> bool {
        self.is_torn || self.bytes.len() >= SEGMENT_BYTES
    }

    pub fn is_synced(&self) -> bool {
        self.is_synced.load(Ordering::Acquire)
    }

    /// The file is on the disk, or its frames are there in another.
    pub fn set_synced(&self) {
        self.is_synced.store(true, Ordering::Release);
    }

    pub fn keys(&self) -> usize {
        self.index.len()
    }

    /// The latest record of each key, in no order.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.index.values().filter_map(|at| Record::first(&self.bytes[*at as usize..]))
    }

    /// The key's latest record, and how much of the log has to be on the disk for it to be.
    pub fn get(&self, key: Key) -> Option<(Record<'_>, u64)> {
        let at = *self.index.get(&key)? as usize;
        let record = Record::first(&self.bytes[at..])?;
        Some((record, self.base + (at + record.bytes.len()) as u64))
    }

    pub fn has(&self, key: Key) -> bool {
        self.index.contains_key(&key)
    }

    /// What is appended next. Not before [`Segment::write`] is it in the file.
    pub fn append(&mut self) -> Append<'_> {
        let start = self.bytes.len();
        frame::begin(&mut self.bytes);
        Append { segment: self, start, undo: Vec::new() }
    }
}

/// A frame on its way. Dropped before it is written, it leaves no trace.
pub struct Append<'a> {
    segment: &'a mut Segment,
    start: usize,
    /// What each record of the frame replaced in the index, oldest first.
    undo: Vec<(Key, Option<u32>)>,
}

impl Append<'_> {
    pub fn segment(&self) -> &Segment {
        self.segment
    }

    /// Adds a record, which `encode` appends to the buffer that it is given.
    pub fn put<E>(&mut self, key: Key, encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let at = self.segment.bytes.len() as u32;
        encode(&mut self.segment.bytes)?;
        self.undo.push((key, self.segment.index.insert(key, at)));
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.undo.is_empty()
    }

    /// Writes the frame with one call; then it has reached the operating system. Gives where the
    /// log stands after it.
    pub fn write(mut self) -> io::Result<u64> {
        let segment = &mut *self.segment;
        frame::end(&mut segment.bytes[self.start..]);
        if let Err(error) = segment.file.write_all_at(&segment.bytes[self.start..], self.start as u64) {
            // What was written of it must not stand behind a shorter frame.
            segment.is_torn = segment.file.set_len(self.start as u64).is_err();
            return Err(error);
        }
        self.undo.clear();
        self.start = segment.bytes.len();
        Ok(segment.end())
    }
}

impl Drop for Append<'_> {
    fn drop(&mut self) {
        for (key, before) in self.undo.drain(..).rev() {
            match before {
                Some(at) => self.segment.index.insert(key, at),
                None => self.segment.index.remove(&key),
            };
        }
        self.segment.bytes.truncate(self.start);
    }
}
