//! SQLite with a write-ahead log. A commit at `synchronous = NORMAL` has reached the operating
//! system, one at `FULL` the disk. Beside: commits at `NORMAL`, and a second thread syncs the
//! write-ahead log's file, which no lock of SQLite's covers.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

use super::{Durable, Store};
use crate::drive::Key;

/// Pages in the log before they are moved into the database. With 4,000 the worst waits were twice
/// as long.
const CHECKPOINT_PAGES: u32 = 1_000;

pub struct Sqlite {
    connection: Connection,
    log: PathBuf,
    beside: bool,
}

impl Sqlite {
    pub fn open(dir: &Path, beside: bool) -> Self {
        let path = dir.join("entries.sqlite");
        let connection = Connection::open(&path).expect("SQLite opens");
        connection
            .execute_batch(&format!(
                "PRAGMA locking_mode = EXCLUSIVE;
                 PRAGMA journal_mode = WAL;
                 PRAGMA synchronous = NORMAL;
                 PRAGMA cache_size = -65536;
                 PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
                 CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
            ))
            .expect("SQLite takes the settings");
        Self { connection, log: dir.join("entries.sqlite-wal"), beside }
    }
}

impl Store for Sqlite {
    fn get(&mut self, key: &Key) -> Option<Vec<u8>> {
        let mut select =
            self.connection.prepare_cached("SELECT value FROM entries WHERE key = ?1").expect("the statement is valid");
        select.query_row([key.as_slice()], |row| row.get(0)).optional().expect("SQLite reads")
    }

    fn commit(&mut self, writes: &[(Key, Vec<u8>)], durable: bool) {
        if !self.beside {
            let level = if durable { "FULL" } else { "NORMAL" };
            self.connection.pragma_update(None, "synchronous", level).expect("no transaction is open");
        }
        let transaction = self.connection.transaction().expect("SQLite begins");
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO entries VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2")
                .expect("the statement is valid");
            for (key, value) in writes {
                insert.execute((key.as_slice(), value)).expect("SQLite inserts");
            }
        }
        transaction.commit().expect("SQLite commits");
    }

    fn durable(&self) -> Durable {
        match self.beside {
            true => {
                let log = File::open(&self.log).expect("the log is there as long as the connection");
                Durable::Beside(Box::new(move || log.sync_data().expect("the log syncs")))
            }
            false => Durable::InCommit,
        }
    }
}
