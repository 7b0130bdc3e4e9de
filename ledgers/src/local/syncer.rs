//! Waits for the disk, on a thread of its own: one sync serves all callers that wait for it.
//!
//! The kernel reports a failed sync once, and then counts the file's pages as clean: no later sync
//! of that file says anything. So what may be lost is written once more, from memory and to a new
//! segment, and the callers are answered when that is on the disk. Until then nothing is written.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;
use tokio::time::Instant;
use wasq_core::clock;

use super::segment::{self, Segment};
use super::table::Table;
use crate::ledger::LedgerError;

/// Whomever a sync serves, it costs the same processor time, some half of the time that it takes. So
/// those that come soon after one share the next, which begins so many times as long after it as it
/// took: syncs take a thirtieth of a core or less.
const GATHER_TIMES: u32 = 15;
const GATHER_MAX: Duration = Duration::from_millis(8);
/// It begins earlier where nobody has come for so long, or no claim is open whose end could come.
const GATHER_SILENCE: Duration = Duration::from_millis(2);
/// How often it looks for that.
const GATHER_LOOK: Duration = Duration::from_micros(500);

/// Where callers wait until the log is on the disk.
#[derive(Default)]
pub struct Syncer {
    waiting: Mutex<Waiting>,
    came: Condvar,
    /// So much of the log is on the disk.
    synced: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    callers: Vec<Caller>,
    /// Whether a failed sync is to be made up for, though nobody waits.
    is_kicked: bool,
    is_over: bool,
}

struct Caller {
    position: u64,
    answer: oneshot::Sender<Result<(), LedgerError>>,
}

impl Syncer {
    /// Waits until so much of the log is on the disk.
    pub async fn durable(&self, position: u64) -> Result<(), LedgerError> {
        if self.synced.load(Ordering::Acquire) >= position {
            return Ok(());
        }
        let (answer, synced) = oneshot::channel();
        let closed = || LedgerError::Unavailable("the ledger is closed".into());
        {
            let mut waiting = self.waiting.lock();
            if waiting.is_over {
                return Err(closed());
            }
            waiting.callers.push(Caller { position, answer });
            // With more than one, the thread has been woken already.
            if waiting.callers.len() == 1 {
                self.came.notify_one();
            }
        }
        synced.await.map_err(|_| closed())?
    }

    /// Has the thread make up for a failed sync.
    pub fn kick(&self) {
        self.waiting.lock().is_kicked = true;
        self.came.notify_one();
    }

    /// Ends the thread, once all who wait are answered.
    pub fn end(&self) {
        self.waiting.lock().is_over = true;
        self.came.notify_one();
    }

    /// Works until [`Syncer::end`]. `disk` brings a file to the disk.
    pub fn run(&self, table: &Mutex<Table>, mut disk: impl FnMut(&File) -> io::Result<()>) {
        let (mut named, mut gather_until) = (None, clock::now());
        while let Some(callers) = self.next(gather_until, || table.lock().leases.may_end()) {
            let began = clock::now();
            let synced = self.synced.load(Ordering::Acquire);
            let is_failing = table.lock().failing.is_some();
            let written = match callers.iter().any(|caller| caller.position > synced) || is_failing {
                true => sync(table, &mut named, &mut disk),
                false => Ok(synced),
            };
            if let Ok(end) = written {
                self.synced.store(end, Ordering::Release);
            }
            gather_until = began + ((clock::now() - began) * GATHER_TIMES).min(GATHER_MAX);
            for Caller { position, answer } in callers {
                let on_disk = written.as_ref().map(drop).map_err(|reason| LedgerError::Unavailable(reason.clone()));
                // A caller that no longer waits has gone away; what is recorded stands.
                drop(answer.send(if position <= synced { Ok(()) } else { on_disk }));
            }
        }
    }

    /// Those who wait, once there is no sense in waiting for more: `may_come` tells whether any
    /// could.
    fn next(&self, gather_until: Instant, may_come: impl Fn() -> bool) -> Option<Vec<Caller>> {
        let mut waiting = self.waiting.lock();
        while waiting.callers.is_empty() && !waiting.is_kicked {
            if waiting.is_over {
                return None;
            }
            self.came.wait(&mut waiting);
        }
        let (mut came, mut silent_at) = (0, clock::now());
        while !waiting.is_over {
            let now = clock::now();
            if waiting.callers.len() > came {
                (came, silent_at) = (waiting.callers.len(), now + GATHER_SILENCE);
            }
            let left = gather_until.min(silent_at).saturating_duration_since(now);
            let is_alone = MutexGuard::unlocked(&mut waiting, || {
                let is_alone = left.is_zero() || !may_come();
                if !is_alone {
                    thread::sleep(left.min(GATHER_LOOK));
                }
                is_alone
            });
            if is_alone {
                break;
            }
        }
        waiting.is_kicked = false;
        Some(std::mem::take(&mut waiting.callers))
    }
}

/// Brings all that is written to the disk, and gives where the log stood. `named` is the newest
/// segment whose name is there.
fn sync(
    table: &Mutex<Table>,
    named: &mut Option<u64>,
    disk: &mut impl FnMut(&File) -> io::Result<()>,
) -> Result<u64, String> {
    let (unsynced, dir, failing) = {
        let table = table.lock();
        (table.unsynced(), table.dir.clone(), table.failing.clone())
    };
    if let Some(reason) = failing {
        return rescue(table, &dir, reason, disk);
    }
    let mut synced = || {
        for segment in &unsynced.sealed {
            disk(&segment.file)?;
            segment.set_synced();
        }
        disk(&unsynced.active)?;
        if named.is_none_or(|named| named < unsynced.active_number) {
            File::open(&dir)?.sync_all()?;
            *named = Some(unsynced.active_number);
        }
        Ok(unsynced.end)
    };
    synced().or_else(|error: io::Error| {
        let reason = format!("the ledger's log in {} could not be synced: {error}", dir.display());
        tracing::error!(reason, "the ledger cannot record; nothing runs until it can");
        rescue(table, &dir, reason, disk)
    })
}

/// Writes what may be lost to a new segment.
fn rescue(
    table: &Mutex<Table>,
    dir: &Path,
    reason: String,
    disk: &mut impl FnMut(&File) -> io::Result<()>,
) -> Result<u64, String> {
    // While the table says so nothing is appended.
    let (number, base, frames) = {
        let mut table = table.lock();
        table.failing = Some(reason);
        table.rescue()
    };
    let segment = Segment::create_with(dir, number, base, frames).and_then(|segment| {
        disk(&segment.file)?;
        File::open(dir)?.sync_all()?;
        Ok(segment)
    });
    let mut table = table.lock();
    match segment {
        Ok(segment) => {
            table.rescued(segment);
            tracing::info!(dir = %dir.display(), "the ledger records again");
            Ok(table.end())
        }
        Err(error) => {
            let reason = format!("the ledger in {} cannot reach the disk: {error}", dir.display());
            table.failing = Some(reason.clone());
            drop(table);
            segment::remove(&segment::path(dir, number));
            Err(reason)
        }
    }
}
