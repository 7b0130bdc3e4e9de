//! Segment files: `NUMBER.log`, written in order, read by position.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::{Mutex, MutexGuard};

use super::{super::clock::Ms, error::OpenError};

/// A segment that has grown to this is followed by a new one. Small in unit tests, so that they see
/// many.
pub const SEGMENT_BYTES: u64 = if cfg!(test) { 64 * 1024 } else { 64 * 1024 * 1024 };
/// Less dead content than this is not worth copying the living for.
const MIN_DEAD_BYTES: u64 = 2 * SEGMENT_BYTES;

/// One file of the log.
#[derive(Debug)]
pub struct Segment {
    pub path: PathBuf,
    pub file: File,
    number: u64,
    bytes: AtomicU64,
    /// Bytes of contents that a message in memory still points to.
    live: AtomicU64,
    /// No deduplication window that began in this segment lasts longer.
    dedup_until: AtomicU64,
}

impl Segment {
    /// Counts bytes that were written.
    pub fn grew_to(&self, bytes: u64) {
        self.bytes.store(bytes, Relaxed);
    }

    /// Keeps the segment until this deduplication window is over.
    pub fn keep_until(&self, at: Ms) {
        self.dedup_until.fetch_max(at, Relaxed);
    }
}

/// Where a message's content lies. As long as one exists, its content counts as alive.
#[derive(Debug)]
pub struct Location {
    segment: Arc<Segment>,
    offset: u64,
    bytes: u32,
}

impl Location {
    pub fn new(segment: Arc<Segment>, offset: u64, bytes: u32) -> Self {
        segment.live.fetch_add(u64::from(bytes), Relaxed);
        Self { segment, offset, bytes }
    }

    /// Reads the content from the file: microseconds when the system has it in memory.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut content = vec![0; self.bytes as usize];
        self.segment.file.read_exact_at(&mut content, self.offset)?;
        Ok(content)
    }

    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    pub fn is_in(&self, segment: &Segment) -> bool {
        self.segment.number == segment.number
    }
}

impl Clone for Location {
    fn clone(&self) -> Self {
        Self::new(self.segment.clone(), self.offset, self.bytes)
    }
}

impl Drop for Location {
    fn drop(&mut self) {
        self.segment.live.fetch_sub(u64::from(self.bytes), Relaxed);
    }
}

/// The segments of a log, oldest first; the last is being written.
pub struct Segments {
    dir: PathBuf,
    list: Mutex<VecDeque<Arc<Segment>>>,
}

impl Segments {
    /// Opens the segments in a directory, or makes the first.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let mut numbers: Vec<u64> = std::fs::read_dir(dir)
            .map_err(OpenError::io(dir))?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".log")?.parse().ok())
            .collect();
        numbers.sort_unstable();
        let segments = Self { dir: dir.to_owned(), list: Mutex::default() };
        for number in numbers {
            segments.add(number).map_err(OpenError::io(dir))?;
        }
        if segments.all().is_empty() {
            segments.add_next().map_err(OpenError::io(dir))?;
        }
        Ok(segments)
    }

    /// Makes the next segment, durable in its directory.
    pub fn add_next(&self) -> io::Result<Arc<Segment>> {
        let number = self.list().back().map_or(1, |last| last.number + 1);
        let segment = self.add(number)?;
        File::open(&self.dir)?.sync_all()?;
        Ok(segment)
    }

    /// The segments, oldest first.
    pub fn all(&self) -> Vec<Arc<Segment>> {
        self.list().iter().cloned().collect()
    }

    /// The oldest segment, when more than half of the log is dead and nothing else wants that
    /// segment.
    pub fn retirable(&self, now: Ms) -> Option<Arc<Segment>> {
        let list = self.list();
        let (total, live) =
            list.iter().fold((0, 0), |sum, one| (sum.0 + one.bytes.load(Relaxed), sum.1 + one.live.load(Relaxed)));
        let dead = total.saturating_sub(live);
        let oldest = list.front().filter(|oldest| list.len() > 1 && oldest.dedup_until.load(Relaxed) <= now)?;
        (dead > MIN_DEAD_BYTES && dead > live).then(|| oldest.clone())
    }

    /// Deletes the oldest segment's file and forgets it.
    pub fn retire(&self, segment: &Segment) -> io::Result<()> {
        let mut list = self.list();
        if list.front().is_some_and(|oldest| oldest.number == segment.number) {
            std::fs::remove_file(&segment.path)?;
            list.pop_front();
        }
        Ok(())
    }

    fn add(&self, number: u64) -> io::Result<Arc<Segment>> {
        let path = self.dir.join(format!("{number:020}.log"));
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
        let bytes = AtomicU64::new(file.metadata()?.len());
        let (live, dedup_until) = (AtomicU64::new(0), AtomicU64::new(0));
        let segment = Arc::new(Segment { path, file, number, bytes, live, dedup_until });
        self.list().push_back(segment.clone());
        Ok(segment)
    }

    fn list(&self) -> MutexGuard<'_, VecDeque<Arc<Segment>>> {
        self.list.lock()
    }
}
