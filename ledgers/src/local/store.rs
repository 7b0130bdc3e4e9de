//! The ledger's directory, and the SQLite database in it: opening, settings, tables.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::row_index::RowIndex;
use super::rows::{Batch, failed};
use crate::ledger::{Fence, LedgerError};

/// The version of the tables below.
const SCHEMA: i64 = 3;
/// SQLite's page cache. It holds the inner pages of some ten million entries.
const CACHE_KIB: u32 = 32 * 1024;
/// 4 KiB pages in the write-ahead log before they are moved into the database: the longest wait
/// that a claim meets.
const CHECKPOINT_PAGES: u32 = 1_000;
/// Fences are the number of the store's opening times this, and a count: they grow across restarts
/// without being written.
const FENCES_AN_OPENING: i64 = 1 << 40;

/// The store's files in its directory.
const DATABASE: &str = "ledger.sqlite";
const LOG: &str = "ledger.sqlite-wal";
const LOCK: &str = "lock";

const SETTINGS: &str = "
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;";

// Rows stand in the order in which they came, and the table `places` says where a key's is.
const ENTRIES: &str = "
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        key BLOB NOT NULL,
        state INTEGER NOT NULL,
        fence INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        crashes INTEGER NOT NULL,
        replays INTEGER NOT NULL,
        body BLOB NOT NULL,
        message_id TEXT NOT NULL,
        dead BLOB NOT NULL,
        first_failed_at INTEGER,
        removable_at INTEGER NOT NULL,
        discarded INTEGER,
        result BLOB
    ) STRICT;
    CREATE TABLE places (
        key BLOB PRIMARY KEY,
        id INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;";

const OTHER_TABLES: &str = "
    CREATE TABLE steps (
        key BLOB NOT NULL,
        name TEXT NOT NULL,
        value BLOB NOT NULL,
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
        pings INTEGER NOT NULL,
        placed INTEGER NOT NULL
    ) STRICT;
    INSERT INTO counts VALUES (0, 0, 0);";

/// From version 1 to 2.
const REPLAYS: &str = "
    ALTER TABLE entries ADD COLUMN replays INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE entries ADD COLUMN dead BLOB NOT NULL DEFAULT x'';";

/// From version 2 to 3, around the new tables: the rows in the order of keys, each with its place.
const SET_ASIDE: &str = "ALTER TABLE entries RENAME TO by_key;";
const BRING_BACK: &str = "
    INSERT INTO entries (key, state, fence, attempts, crashes, replays, body, message_id, dead, first_failed_at, removable_at,
            discarded, result)
        SELECT key, state, fence, attempts, crashes, replays, body, message_id, dead, first_failed_at, removable_at,
            discarded, result FROM by_key ORDER BY key;
    DROP TABLE by_key;
    INSERT INTO places SELECT key, id FROM entries ORDER BY key;
    ALTER TABLE counts ADD COLUMN placed INTEGER NOT NULL DEFAULT 0;
    UPDATE counts SET placed = (SELECT ifnull(max(id), 0) FROM entries);";

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
}

/// The open store. One process at a time has it.
pub struct Store {
    connection: Connection,
    row_index: RowIndex,
    dir: PathBuf,
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

impl Store {
    /// Opens the store in `dir`, which is made if it is not there, and gives it with its first
    /// fence.
    pub fn open(dir: &Path) -> Result<(Self, Fence), OpenError> {
        let at = |source| OpenError::Directory { dir: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(at)?;
        let lock = Lock(File::create(dir.join(LOCK)).map_err(at)?);
        lock.0.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse { dir: dir.to_owned() },
            TryLockError::Error(source) => at(source),
        })?;
        let store = |source| OpenError::Store { dir: dir.to_owned(), source };
        let mut connection = Connection::open(dir.join(DATABASE)).map_err(store)?;
        match prepare(&mut connection).map_err(store)? {
            Prepared::Ready { opening, row_index } => {
                let fence = Fence(opening.saturating_mul(FENCES_AN_OPENING) as u64);
                Ok((Self { connection, row_index, dir: dir.to_owned(), _lock: lock }, fence))
            }
            Prepared::OtherFormat { found } => Err(OpenError::Format { dir: dir.to_owned(), found }),
        }
    }

    /// The write-ahead log's file. SQLite keeps it as long as the store is open, and takes no lock
    /// on it: all that has been committed is on the disk when this file has been synced, or was
    /// brought into the database with syncs of SQLite's own.
    pub fn log(&self) -> io::Result<File> {
        File::open(self.dir.join(LOG))
    }

    /// Starts a batch. A batch that is dropped before its commit leaves no trace; a commit has
    /// reached the operating system.
    pub fn begin(&mut self) -> Result<Batch<'_>, LedgerError> {
        // The thread that owns the connection is the store's only user: it waits for nobody's lock.
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        Ok(Batch::new(transaction, &mut self.row_index))
    }

    pub fn row_index(&self) -> &RowIndex {
        &self.row_index
    }

    /// Brings some of the newest keys to where the next process finds them.
    pub fn index_rows(&mut self) -> Result<(), LedgerError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let placed = self.row_index.bring_slice(&transaction).and_then(|()| transaction.commit());
        match placed {
            Ok(()) => self.row_index.settle(),
            Err(_) => self.row_index.take_back(),
        }
        placed.map_err(failed)
    }

    /// Brings all that has been committed into the database and syncs that, so that the log does
    /// not matter any more.
    pub fn checkpoint(&mut self) -> Result<(), LedgerError> {
        let blocked: i64 =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map_err(failed)?;
        // No one else has the store open who could block it.
        if blocked == 0 { Ok(()) } else { Err(LedgerError::Unavailable("the log could not be emptied".into())) }
    }
}

enum Prepared {
    Ready { opening: i64, row_index: RowIndex },
    OtherFormat { found: i64 },
}

fn prepare(connection: &mut Connection) -> Result<Prepared, rusqlite::Error> {
    connection.execute_batch(SETTINGS)?;
    connection.pragma_update(None, "cache_size", -i64::from(CACHE_KIB))?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.set_prepared_statement_cache_capacity(32);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match found {
        0 => [ENTRIES, OTHER_TABLES].iter().try_for_each(|sql| transaction.execute_batch(sql))?,
        1 => [REPLAYS, SET_ASIDE, ENTRIES, BRING_BACK].iter().try_for_each(|sql| transaction.execute_batch(sql))?,
        2 => [SET_ASIDE, ENTRIES, BRING_BACK].iter().try_for_each(|sql| transaction.execute_batch(sql))?,
        SCHEMA => {}
        found => return Ok(Prepared::OtherFormat { found }),
    }
    transaction.execute_batch(super::pauses::TABLE)?;
    transaction.pragma_update(None, "user_version", SCHEMA)?;
    // On the disk before any fence is given out: not even a power cut makes one come twice.
    let opening =
        transaction.query_row("UPDATE counts SET openings = openings + 1 RETURNING openings", [], |row| row.get(0))?;
    let row_index = RowIndex::load(&transaction)?;
    transaction.commit()?;
    // From here on a commit is with the operating system when it returns, and the log's sync brings
    // it to the disk.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    Ok(Prepared::Ready { opening, row_index })
}

#[cfg(test)]
mod tests;
