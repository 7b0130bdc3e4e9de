//! The ledger's directory, and the SQLite store in it: opening, settings, tables. Steps, envelopes
//! and pauses are there; entries are in the log and the runs beside it.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use wasq_core::clock;

use super::convert::{self, Failure};
use super::rows::{Batch, failed};
use super::{run, segment};
use crate::ledger::{Fence, LedgerError};

/// The version of the tables below, and of the files beside them.
const SCHEMA: i64 = 4;
/// SQLite's page cache.
const CACHE_KIB: u32 = 8 * 1024;
/// 4 KiB pages in the write-ahead log before they are moved into the database: the longest wait
/// that a step meets.
const CHECKPOINT_PAGES: u32 = 1_000;
/// Fences are the number of the store's opening times this, and a count: they grow across restarts
/// without being written.
const FENCES_AN_OPENING: i64 = 1 << 40;

/// The store's files in its directory.
const DATABASE: &str = "ledger.sqlite";
const LOCK: &str = "lock";

const SETTINGS: &str = "
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;";

const TABLES: &str = "
    CREATE TABLE steps (
        key BLOB NOT NULL,
        name TEXT NOT NULL,
        value BLOB NOT NULL,
        fence INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (key, name)
    ) STRICT;
    CREATE TABLE envelopes (
        id TEXT PRIMARY KEY,
        json BLOB NOT NULL,
        removable_at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX envelopes_by_age ON envelopes (removable_at);
    CREATE TABLE counts (
        openings INTEGER NOT NULL,
        pings INTEGER NOT NULL
    ) STRICT;
    INSERT INTO counts VALUES (0, 0);";

/// From version 1 to 2.
const REPLAYS: &str = "
    ALTER TABLE entries ADD COLUMN replays INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE entries ADD COLUMN dead BLOB NOT NULL DEFAULT x'';";

/// To version 4, when the entries are in runs.
const WITHOUT_ENTRIES: &str = "
    DROP TABLE entries;
    DROP TABLE IF EXISTS places;
    ALTER TABLE steps ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;";

/// Why a local ledger could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Transient: it goes with the other process.
    #[error("the ledger in {} is in use by another process; stop that one, or name another directory", dir.display())]
    InUse { dir: PathBuf },
    /// Transient or permanent, as its source says.
    #[error("the ledger's directory {} cannot be used; check that it is a directory this user may write to", dir.display())]
    Directory { dir: PathBuf, source: io::Error },
    /// Transient (disk full) or permanent (damaged), as its source says.
    #[error("the ledger in {} cannot be opened; check the disk's space and permissions, or move the directory away", dir.display())]
    Store { dir: PathBuf, source: rusqlite::Error },
    /// Permanent.
    #[error(
        "the ledger in {} has format {found}, this version of wasq reads {SCHEMA}; use the version that wrote it, or another directory",
        dir.display()
    )]
    Format { dir: PathBuf, found: i64 },
    /// Permanent.
    #[error(
        "the ledger in {} has entries, and its {DATABASE} is missing or empty; restore it, or name another directory",
        dir.display()
    )]
    Incomplete { dir: PathBuf },
    /// Permanent.
    #[error(
        "{} is damaged or written by a newer wasq ({reason}); use the version that wrote it, restore it from a copy, or move \
         it away to go on without what is in it",
        path.display()
    )]
    Unreadable { path: PathBuf, reason: String },
}

/// The open store. One process at a time has it.
pub struct Store {
    connection: Connection,
    /// Locked as long as it is open; the lock ends with the process, however it ends. Dropped after
    /// the connection.
    _lock: Lock,
}

/// The directory's lock. It is let go of by word, and not only by closing the file: a child process
/// that has been forked just now holds that open until it runs its own program.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // At the latest it goes with the file.
        drop(self.0.unlock());
    }
}

/// A store that has been opened, and its first fence.
pub struct Opened {
    pub store: Store,
    pub first: Fence,
}

impl Store {
    /// Opens the store in `dir`, which is made if it is not there. The entries of earlier formats
    /// are then in runs.
    pub fn open(dir: &Path) -> Result<Opened, OpenError> {
        let at = |source| OpenError::Directory { dir: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(at)?;
        let lock = Lock(File::create(dir.join(LOCK)).map_err(at)?);
        lock.0.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse { dir: dir.to_owned() },
            TryLockError::Error(source) => at(source),
        })?;
        let failed = |failure| match failure {
            Failure::Store(source) => OpenError::Store { dir: dir.to_owned(), source },
            Failure::Files(source) => at(source),
        };
        let mut connection = Connection::open(dir.join(DATABASE)).map_err(Failure::from).map_err(failed)?;
        match prepare(&mut connection, dir).map_err(failed)? {
            Prepared::Ready { opening } => {
                let first = Fence(opening.saturating_mul(FENCES_AN_OPENING) as u64);
                Ok(Opened { store: Self { connection, _lock: lock }, first })
            }
            Prepared::OtherFormat { found } => Err(OpenError::Format { dir: dir.to_owned(), found }),
            Prepared::Incomplete => Err(OpenError::Incomplete { dir: dir.to_owned() }),
        }
    }

    /// Starts a batch. A batch that is dropped before its commit leaves no trace; a commit is on
    /// the disk when it returns.
    pub fn begin(&mut self) -> Result<Batch<'_>, LedgerError> {
        // The thread that owns the connection is the store's only user: it waits for nobody's lock.
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        Ok(Batch::new(transaction))
    }
}

enum Prepared {
    Ready { opening: i64 },
    OtherFormat { found: i64 },
    Incomplete,
}

fn prepare(connection: &mut Connection, dir: &Path) -> Result<Prepared, Failure> {
    connection.execute_batch(SETTINGS)?;
    connection.pragma_update(None, "cache_size", -i64::from(CACHE_KIB))?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    // A commit syncs the log: what it does not bring to the disk is no part of the store.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.set_prepared_statement_cache_capacity(64);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match found {
        0 if !run::list(dir)?.is_empty() || !segment::list(dir)?.is_empty() => return Ok(Prepared::Incomplete),
        0 => transaction.execute_batch(TABLES)?,
        1..SCHEMA => {
            if found == 1 {
                transaction.execute_batch(REPLAYS)?;
            }
            convert::entries_to_runs(&transaction, dir, clock::unix_ms())?;
            transaction.execute_batch(WITHOUT_ENTRIES)?;
        }
        SCHEMA => {}
        found => return Ok(Prepared::OtherFormat { found }),
    }
    transaction.execute_batch(super::pauses::TABLE)?;
    transaction.execute_batch(super::timers::TABLES)?;
    transaction.execute_batch(super::documents::TABLE)?;
    transaction.pragma_update(None, "user_version", SCHEMA)?;
    // On the disk before any fence is given out: not even a power cut makes one come twice.
    let opening =
        transaction.query_row("UPDATE counts SET openings = openings + 1 RETURNING openings", [], |row| row.get(0))?;
    transaction.commit()?;
    if (1..SCHEMA).contains(&found)
        && let Err(error) = connection.execute_batch("VACUUM")
    {
        tracing::warn!(dir = %dir.display(), %error, "the ledger's old file keeps its size");
    }
    Ok(Prepared::Ready { opening })
}

#[cfg(test)]
pub mod tests;
