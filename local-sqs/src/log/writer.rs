//! The two threads of the log: one writes commits, the other waits for the disk.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc as std_mpsc,
    },
    thread::JoinHandle,
};

use tokio::sync::mpsc;

use super::{
    super::record::Record,
    commit::{Commit, Durability, Finish, Operation},
    error::LogError,
    frame,
    segment::{Location, SEGMENT_BYTES, Segment, Segments},
};

/// Commits, and bytes of contents, in one write at most.
const GROUP_COMMITS: usize = 256;
const GROUP_BYTES: usize = 8 * 1024 * 1024;
/// Groups that may wait for the disk.
const UNSYNCED_GROUPS: usize = 256;

pub struct Writer {
    segments: Arc<Segments>,
    active: Arc<Segment>,
    /// Where in the active segment the next frame goes.
    end: u64,
    buffer: Vec<u8>,
    unsynced: std_mpsc::SyncSender<Unsynced>,
    /// Set when a sync failed: from then on nothing is taken.
    failed: Arc<AtomicBool>,
}

/// Commits that are written and wait for the disk.
struct Unsynced {
    segment: Arc<Segment>,
    written: Vec<Written>,
}

struct Written {
    finish: Finish,
    locations: Vec<Location>,
}

impl Writer {
    /// Starts both threads, and gives the one that ends last: when it is told to, or all senders of
    /// orders are gone, and all commits are finished. Only then is the directory's lock let go of.
    pub fn start(
        segments: Arc<Segments>,
        end: u64,
        orders: mpsc::Receiver<Operation>,
        lock: File,
    ) -> io::Result<JoinHandle<()>> {
        let active = segments.all().pop().expect("a log has at least one segment");
        let (unsynced, to_sync) = std_mpsc::sync_channel(UNSYNCED_GROUPS);
        let failed = Arc::new(AtomicBool::new(false));
        let writer = Self { segments, active, end, buffer: Vec::new(), unsynced, failed: failed.clone() };
        let syncing = std::thread::Builder::new().name("queue-sync".into()).spawn(move || sync(to_sync, &failed))?;
        std::thread::Builder::new().name("queue-write".into()).spawn(move || {
            writer.run(orders);
            if syncing.join().is_err() {
                tracing::error!("the local queue's syncing thread panicked");
            }
            drop(lock);
        })
    }

    fn run(mut self, mut orders: mpsc::Receiver<Operation>) {
        while let Some(Operation::Commit(first)) = orders.blocking_recv() {
            let mut bytes = content_bytes(&first);
            let mut group = vec![first];
            let mut closing = false;
            while group.len() < GROUP_COMMITS && bytes < GROUP_BYTES && !closing {
                match orders.try_recv() {
                    Ok(Operation::Commit(commit)) => {
                        bytes += content_bytes(&commit);
                        group.push(commit);
                    }
                    Ok(Operation::Close) => closing = true,
                    Err(_) => break,
                }
            }
            self.write(group);
            if closing {
                break;
            }
        }
    }

    fn write(&mut self, group: Vec<Commit>) {
        if self.failed.load(Relaxed) {
            return refuse(group, &LogError::Unsynced { path: self.active.path.clone() });
        }
        self.buffer.clear();
        let places: Vec<Vec<usize>> =
            group.iter().map(|commit| frame::encode(&mut self.buffer, &commit.records, &commit.contents)).collect();
        if let Err(error) = self.append() {
            tracing::error!(path = %self.active.path.display(), %error, "the local queue cannot write its log");
            return refuse(group, &LogError::Write { path: self.active.path.clone(), error: Arc::new(error) });
        }
        let start = self.end - self.buffer.len() as u64;
        let mut to_sync = Vec::new();
        for (commit, places) in group.into_iter().zip(places) {
            self.keep_for_dedup(&commit.records);
            let locations = places
                .into_iter()
                .zip(&commit.contents)
                .map(|(place, content)| Location::new(self.active.clone(), start + place as u64, content.len() as u32));
            let written = Written { finish: commit.finish, locations: locations.collect() };
            match commit.durability {
                Durability::System => (written.finish)(Ok(written.locations)),
                Durability::Disk => to_sync.push(written),
            }
        }
        if !to_sync.is_empty() {
            let unsynced = Unsynced { segment: self.active.clone(), written: to_sync };
            self.unsynced.send(unsynced).expect("the syncing thread outlives the writing one");
        }
    }

    /// Writes the buffer at the log's end. After a failure the end is where it was, and what got
    /// written is overwritten.
    fn append(&mut self) -> io::Result<()> {
        if self.end >= SEGMENT_BYTES {
            self.active.file.sync_data().inspect_err(|_| self.failed.store(true, Relaxed))?;
            self.active = self.segments.add_next()?;
            self.end = 0;
        }
        self.active.file.write_all_at(&self.buffer, self.end).inspect_err(|_| {
            // Best effort: the next write goes to the same place, and replay stops at a torn frame
            // anyway.
            let _ = self.active.file.set_len(self.end);
        })?;
        self.end += self.buffer.len() as u64;
        self.active.grew_to(self.end);
        Ok(())
    }

    fn keep_for_dedup(&self, records: &[Record]) {
        for record in records {
            if let Record::Put(message) = record
                && let Some((_, until)) = message.dedup
            {
                self.active.keep_until(until);
            }
        }
    }
}

fn content_bytes(commit: &Commit) -> usize {
    commit.contents.iter().map(Vec::len).sum()
}

fn refuse(group: Vec<Commit>, error: &LogError) {
    for commit in group {
        (commit.finish)(Err(error.clone()));
    }
}

/// Syncs whatever waits, all of it at once, and finishes it.
fn sync(to_sync: std_mpsc::Receiver<Unsynced>, failed: &AtomicBool) {
    while let Ok(first) = to_sync.recv() {
        let groups: Vec<Unsynced> = std::iter::once(first).chain(to_sync.try_iter()).collect();
        let mut synced: Option<&Arc<Segment>> = None;
        for group in &groups {
            if synced.is_some_and(|segment| Arc::ptr_eq(segment, &group.segment)) || failed.load(Relaxed) {
                continue;
            }
            synced = Some(&group.segment);
            if let Err(error) = group.segment.file.sync_data() {
                tracing::error!(path = %group.segment.path.display(), %error, "the local queue cannot sync its log");
                failed.store(true, Relaxed);
            }
        }
        for group in groups {
            for written in group.written {
                (written.finish)(match failed.load(Relaxed) {
                    false => Ok(written.locations),
                    true => Err(LogError::Unsynced { path: group.segment.path.clone() }),
                });
            }
        }
    }
}
