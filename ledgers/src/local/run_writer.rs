//! Writes a run, entry by entry in the order of keys. It is there, under its name, when it is on
//! the disk.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use wasq_core::message::UnixMs;

use super::filter::Filter;
use super::frame::{CHECKSUM_BYTES, checksum};
use super::record::Record;
use super::run::{BLOCK_BYTES, Block, MAGIC, Run, Span, UNFINISHED, prefix};

/// Bytes that are written at once.
const WRITE_BEHIND_BYTES: usize = 256 * 1024;
/// Entries that are asked for their expiry.
const SAMPLE: u64 = 1_024;

pub struct Writer {
    dir: PathBuf,
    span: Span,
    unfinished: Unfinished,
    file: BufWriter<File>,
    entries: u64,
    filter: Filter,
    blocks: Vec<Block>,
    block: Vec<u8>,
    last_prefix: Option<u64>,
    /// Where the open block begins.
    end: u64,
    /// When each of some entries expires: every so many that are written.
    sample: Vec<UnixMs>,
    sample_every: u64,
    now: UnixMs,
}

/// The file until it has its name. What is dropped before is removed.
struct Unfinished(Option<PathBuf>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::debug!(path = %path.display(), %error, "an unfinished run stays until the next start");
        }
    }
}

impl Writer {
    /// Of a run of at most so many entries.
    pub fn create(dir: &Path, span: Span, entries_max: u64, now: UnixMs) -> io::Result<Self> {
        let mut path = span.path(dir).into_os_string();
        path.push(UNFINISHED);
        let path = PathBuf::from(path);
        let file = File::create(&path)?;
        Ok(Self {
            dir: dir.to_owned(),
            span,
            unfinished: Unfinished(Some(path)),
            file: BufWriter::with_capacity(WRITE_BEHIND_BYTES, file),
            entries: 0,
            filter: Filter::with_room_for(entries_max),
            blocks: Vec::new(),
            block: Vec::new(),
            last_prefix: None,
            end: 0,
            sample: Vec::new(),
            sample_every: entries_max.div_ceil(SAMPLE).max(1),
            now,
        })
    }

    /// Adds an entry, whose key is above those before.
    pub fn push(&mut self, record: Record<'_>) -> io::Result<()> {
        let prefix = prefix(record.key);
        if self.block.len() >= BLOCK_BYTES && self.last_prefix != Some(prefix) {
            self.end_block()?;
        }
        if self.block.is_empty() {
            self.blocks.push(Block { prefix, offset: self.end });
            self.block.extend_from_slice(&[0; CHECKSUM_BYTES]);
        }
        self.block.extend_from_slice(record.bytes);
        self.filter.insert(record.key);
        self.last_prefix = Some(prefix);
        if self.entries.is_multiple_of(self.sample_every) && record.removable_at() > self.now {
            self.sample.push(record.removable_at());
        }
        self.entries += 1;
        Ok(())
    }

    fn end_block(&mut self) -> io::Result<()> {
        let (sum, records) = self.block.split_at_mut(CHECKSUM_BYTES);
        sum.copy_from_slice(&checksum(records));
        self.file.write_all(&self.block)?;
        self.end += self.block.len() as u64;
        self.block.clear();
        Ok(())
    }

    /// Brings the run to the disk and gives it its name. None if it has no entry.
    pub fn finish(mut self) -> io::Result<Option<Run>> {
        if self.entries == 0 {
            return Ok(None);
        }
        self.end_block()?;
        let half_expired_at = self.half_expired_at();
        let mut covered = self.filter.as_bytes().to_vec();
        for block in &self.blocks {
            covered.extend_from_slice(&block.prefix.to_le_bytes());
            covered.extend_from_slice(&block.offset.to_le_bytes());
        }
        let (filter_bytes, index_bytes) = (self.filter.as_bytes().len() as u64, self.blocks.len() as u64 * 16);
        for number in [self.entries, half_expired_at.0, filter_bytes, index_bytes, self.end] {
            covered.extend_from_slice(&number.to_le_bytes());
        }
        covered.extend_from_slice(&checksum(&covered));
        covered.extend_from_slice(&MAGIC);
        self.file.write_all(&covered)?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;

        let path = self.span.path(&self.dir);
        let is_rewritten = path.try_exists()?;
        if let Some(unfinished) = &self.unfinished.0 {
            std::fs::rename(unfinished, &path)?;
        }
        // Where its name does not reach the disk it is removed again: what it was made of stays. A
        // run that was written once more has the same in either file.
        self.unfinished.0 = Some(path.clone()).filter(|_| !is_rewritten);
        File::open(&self.dir)?.sync_all()?;
        let file = File::open(&path)?;
        self.unfinished.0 = None;
        Ok(Some(Run {
            span: self.span,
            path,
            file,
            entries: self.entries,
            half_expired_at,
            filter: self.filter,
            blocks: self.blocks,
            end: self.end,
        }))
    }

    fn half_expired_at(&mut self) -> UnixMs {
        let middle = self.sample.len() / 2;
        if self.sample.is_empty() { UnixMs(u64::MAX) } else { *self.sample.select_nth_unstable(middle).1 }
    }
}
