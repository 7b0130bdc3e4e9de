//! Reads a run from its first entry to its last, for a merge.

use std::fs::File;
use std::io::{self, BufReader, Read};

use super::frame::{CHECKSUM_BYTES, checksum};
use super::record::Record;
use super::run::Run;

/// Bytes that are read at once.
const READ_AHEAD_BYTES: usize = 256 * 1024;

/// At one of a run's entries.
pub struct Reader<'a> {
    run: &'a Run,
    file: BufReader<File>,
    next_block: usize,
    block: Vec<u8>,
    /// Where in the block the present record begins, and where it ends.
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// At the run's first entry.
    pub fn new(run: &'a Run) -> io::Result<Self> {
        let file = BufReader::with_capacity(READ_AHEAD_BYTES, File::open(&run.path)?);
        let mut reader = Self { run, file, next_block: 0, block: Vec::new(), at: 0, end: 0 };
        reader.advance()?;
        Ok(reader)
    }

    /// The present record; none behind the last.
    pub fn record(&self) -> Option<Record<'_>> {
        (self.at < self.end).then(|| Record::first(&self.block[self.at..])).flatten()
    }

    pub fn advance(&mut self) -> io::Result<()> {
        self.at = self.end;
        if self.at == self.block.len() && self.next_block < self.run.blocks.len() {
            self.block.resize(self.run.block_bytes(self.next_block), 0);
            self.file.read_exact(&mut self.block)?;
            let is_whole = self.block.split_first_chunk().is_some_and(|(sum, rest)| checksum(rest) == *sum);
            if !is_whole {
                let (path, offset) = (self.run.path.display(), self.run.blocks[self.next_block].offset);
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{path} is damaged at byte {offset}")));
            }
            self.next_block += 1;
            self.at = CHECKSUM_BYTES;
        }
        self.end = self.at + Record::first(&self.block[self.at..]).map_or(0, |record| record.bytes.len());
        Ok(())
    }
}
