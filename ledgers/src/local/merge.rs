//! Makes a run of a segment, and one run of several. Of a key's entries the newest is kept, and it
//! goes when it has expired, unless an older run may have the key: there an older entry would come
//! to light.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wasq_core::message::UnixMs;

use super::record::Record;
use super::run::{Run, Span};
use super::run_reader::Reader;
use super::run_writer::Writer;
use super::segment::Segment;

/// What came of it.
pub struct Merged {
    /// None where all has expired.
    pub run: Option<Run>,
    /// Expired entries that were left out.
    pub removed: u64,
    /// For how long the most overdue of them could have been gone.
    pub overdue_ms: u64,
}

/// A run of a segment's entries, on the disk. `older` are the runs that there are.
pub fn run_of(segment: &Segment, dir: &Path, older: &[Arc<Run>], now: UnixMs) -> io::Result<Merged> {
    let mut records: Vec<Record<'_>> = segment.records().collect();
    records.sort_unstable_by_key(|record| record.key);
    let span = Span { first: segment.number, last: segment.number };
    let mut output = Output::create(dir, span, records.len() as u64, older, now)?;
    records.into_iter().try_for_each(|record| output.push(record))?;
    output.finish()
}

/// One run of these neighbours, the newest first, on the disk. `older` are the runs before them.
/// None once `stop` is set.
pub fn merge(
    inputs: &[Arc<Run>],
    dir: &Path,
    older: &[Arc<Run>],
    now: UnixMs,
    stop: &AtomicBool,
) -> io::Result<Option<Merged>> {
    let first = inputs.iter().map(|run| run.span.first).min().unwrap_or_default();
    let last = inputs.iter().map(|run| run.span.last).max().unwrap_or_default();
    let entries = inputs.iter().map(|run| run.entries).sum();
    let mut output = Output::create(dir, Span { first, last }, entries, older, now)?;
    let mut readers = inputs.iter().map(|run| Reader::new(run)).collect::<io::Result<Vec<_>>>()?;
    while let Some(key) = readers.iter().filter_map(|reader| Some(reader.record()?.key)).min() {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut is_newest = true;
        for reader in &mut readers {
            let Some(record) = reader.record().filter(|record| record.key == key) else { continue };
            if std::mem::take(&mut is_newest) {
                output.push(record)?;
            }
            reader.advance()?;
        }
    }
    output.finish().map(Some)
}

struct Output<'a> {
    writer: Writer,
    older: &'a [Arc<Run>],
    now: UnixMs,
    removed: u64,
    overdue_ms: u64,
}

impl<'a> Output<'a> {
    fn create(dir: &Path, span: Span, entries_max: u64, older: &'a [Arc<Run>], now: UnixMs) -> io::Result<Self> {
        let writer = Writer::create(dir, span, entries_max, now)?;
        Ok(Self { writer, older, now, removed: 0, overdue_ms: 0 })
    }

    fn push(&mut self, record: Record<'_>) -> io::Result<()> {
        let removable_at = record.removable_at();
        if removable_at > self.now || self.older.iter().any(|run| run.may_have(record.key)) {
            return self.writer.push(record);
        }
        self.removed += 1;
        self.overdue_ms = self.overdue_ms.max(self.now.0 - removable_at.0);
        Ok(())
    }

    fn finish(self) -> io::Result<Merged> {
        Ok(Merged { run: self.writer.finish()?, removed: self.removed, overdue_ms: self.overdue_ms })
    }
}
