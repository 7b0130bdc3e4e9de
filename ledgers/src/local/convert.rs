//! The entries of a store of an earlier format, which had them in SQLite, are written to runs when
//! it is opened. A crash in between leaves runs without a store that knows of them: the next time
//! they are removed, and written anew.

use std::io;
use std::path::Path;

use rusqlite::{Row, Transaction};
use wasq_core::message::{BodyDigest, Key, MessageId, UnixMs};

use super::record::{self, Record, Stored};
use super::run::{self, Span};
use super::run_writer::Writer;
use super::segment;
use crate::entry::{DeadIds, Entry, State};
use crate::ledger::Fence;

/// Bytes of records that are sorted at once, in memory, for one run.
const PART_BYTES: usize = 32 * 1024 * 1024;

/// Why a store could not be prepared.
pub enum Failure {
    Store(rusqlite::Error),
    Files(io::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Files(error)
    }
}

/// Writes all entries to runs. What has expired is left out; what cannot be read stays so.
pub fn entries_to_runs(transaction: &Transaction<'_>, dir: &Path, now: UnixMs) -> Result<(), Failure> {
    for (_, path) in run::list(dir)? {
        std::fs::remove_file(path)?;
    }
    for (_, path) in segment::list(dir)? {
        std::fs::remove_file(path)?;
    }
    let mut select = transaction.prepare(
        "SELECT key, state, removable_at, fence, attempts, crashes, replays, body, message_id, dead, first_failed_at,
             discarded, result FROM entries",
    )?;
    let mut rows = select.query([])?;
    let (mut part, mut number) = (Part::default(), 0);
    while let Some(row) = rows.next()? {
        part.push(row, now);
        if part.bytes.len() >= PART_BYTES {
            number += 1;
            part.write(dir, number, now)?;
        }
    }
    Ok(part.write(dir, number + 1, now)?)
}

/// Records that go to one run.
#[derive(Default)]
struct Part {
    bytes: Vec<u8>,
    /// Where in them each begins.
    starts: Vec<(Key, usize)>,
}

impl Part {
    fn push(&mut self, row: &Row<'_>, now: UnixMs) {
        // A key that cannot be read is nobody's.
        let Ok(key) = row.get("key").map(Key) else { return };
        let removable_at = UnixMs(row.get("removable_at").map_or(u64::MAX, from_column));
        if removable_at <= now {
            return;
        }
        self.starts.push((key, self.bytes.len()));
        let stored = read(row, removable_at).map(|entry| Stored { entry, steps_since: Fence(0) });
        if stored.is_none_or(|stored| stored.encode(key, &mut self.bytes).is_err()) {
            let state = row.get("state").unwrap_or(record::UNREADABLE);
            // A state that can be read is not what is wrong with it.
            let state = if record::is_known(state) { record::UNREADABLE } else { state };
            record::encode_unreadable(key, removable_at, state, &mut self.bytes);
        }
    }

    fn write(&mut self, dir: &Path, number: u64, now: UnixMs) -> io::Result<()> {
        self.starts.sort_unstable();
        let span = Span { first: number, last: number };
        let mut writer = Writer::create(dir, span, self.starts.len() as u64, now)?;
        for (_, start) in self.starts.drain(..) {
            writer.push(Record::first(&self.bytes[start..]).expect("it was written whole"))?;
        }
        self.bytes.clear();
        writer.finish().map(drop)
    }
}

fn read(row: &Row<'_>, removable_at: UnixMs) -> Option<Entry> {
    let state = match row.get("state").ok()? {
        1 => State::Claimed,
        2 => State::Released,
        3 => State::Done { result: row.get("result").ok()?, discarded: row.get("discarded").ok()? },
        4 => State::DeadLettered,
        _ => return None,
    };
    Some(Entry {
        state,
        fence: Fence(from_column(row.get("fence").ok()?)),
        attempts: row.get("attempts").ok()?,
        crashes: row.get("crashes").ok()?,
        replays: row.get("replays").ok()?,
        body: BodyDigest(row.get("body").ok()?),
        message_id: MessageId(row.get("message_id").ok()?),
        dead: DeadIds::from_bytes(row.get("dead").ok()?)?,
        first_failed_at: row.get::<_, Option<i64>>("first_failed_at").ok()?.map(|at| UnixMs(from_column(at))),
        removable_at,
    })
}

/// SQLite's integers are signed, and none of these is negative.
fn from_column(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
