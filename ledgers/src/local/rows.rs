//! What is read from the SQLite store's tables and written to them.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use wasq_core::message::{Key, UnixMs};

use crate::ledger::{Fence, LedgerError};

/// Reads and writes that take effect together.
pub struct Batch<'a>(Transaction<'a>);

impl<'a> Batch<'a> {
    pub fn new(transaction: Transaction<'a>) -> Self {
        Self(transaction)
    }

    pub fn commit(self) -> Result<(), LedgerError> {
        self.0.commit().map_err(failed)
    }

    /// The value of the step, unless it was recorded under a fence before `since`.
    pub fn step(&self, key: Key, since: Fence, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let value = self.bytes(
            "SELECT value FROM steps WHERE key = ?1 AND name = ?2 AND fence >= ?3",
            params![&key.0, name, to_column(since.0)],
        );
        value.map_err(|error| unread(error, key))
    }

    pub fn put_step(&self, key: Key, fence: Fence, name: &str, value: &[u8]) -> Result<(), LedgerError> {
        self.run(
            "INSERT OR REPLACE INTO steps (key, name, value, fence) VALUES (?1, ?2, ?3, ?4)",
            params![&key.0, name, value, to_column(fence.0)],
        )
        .map(drop)
    }

    /// Removes the key's steps that were recorded up to this fence.
    pub fn forget_steps(&self, key: Key, up_to: Fence) -> Result<(), LedgerError> {
        self.run("DELETE FROM steps WHERE key = ?1 AND fence <= ?2", params![&key.0, to_column(up_to.0)]).map(drop)
    }

    /// The steps in the rows after `row`, at most `limit`.
    pub fn steps_after(&self, row: i64, limit: u32) -> Result<Vec<Step>, LedgerError> {
        let mut select =
            self.prepare("SELECT rowid, key, fence FROM steps WHERE rowid > ?1 ORDER BY rowid LIMIT ?2")?;
        let step = |row: &Row<'_>| {
            Ok(Step { row: row.get(0)?, key: row.get(1).ok().map(Key), fence: Fence(from_column(row.get(2)?)) })
        };
        let rows = select.query_map(params![row, limit], step).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    pub fn remove_step(&self, row: i64) -> Result<(), LedgerError> {
        self.run("DELETE FROM steps WHERE rowid = ?1", params![row]).map(drop)
    }

    pub fn envelope(&self, id: &str, now: UnixMs) -> Result<Option<Vec<u8>>, LedgerError> {
        let json =
            self.bytes("SELECT json FROM envelopes WHERE id = ?1 AND removable_at > ?2", params![id, to_column(now.0)]);
        json.map_err(failed)
    }

    pub fn put_envelope(&self, id: &str, json: &[u8], removable_at: UnixMs) -> Result<(), LedgerError> {
        self.run(
            "INSERT OR REPLACE INTO envelopes (id, json, removable_at) VALUES (?1, ?2, ?3)",
            params![id, json, to_column(removable_at.0)],
        )
        .map(drop)
    }

    /// Removes at most `limit` envelopes whose time has come.
    pub fn remove_envelopes(&self, now: UnixMs, limit: u32) -> Result<(), LedgerError> {
        self.run(
            "DELETE FROM envelopes WHERE rowid IN (SELECT rowid FROM envelopes WHERE removable_at <= ?1 LIMIT ?2)",
            params![to_column(now.0), limit],
        )
        .map(drop)
    }

    /// Removes at most `limit` documents whose time has come.
    pub fn remove_documents(&self, now: UnixMs, limit: u32) -> Result<(), LedgerError> {
        self.run(
            "DELETE FROM documents WHERE rowid IN (SELECT rowid FROM documents WHERE removable_at <= ?1 LIMIT ?2)",
            params![to_column(now.0), limit],
        )
        .map(drop)
    }

    /// Counts a ping. The count matters to nobody, but it has to change: SQLite does not write what
    /// stays the same, and a disk that takes no more would not be found out.
    pub fn ping(&self) -> Result<(), LedgerError> {
        self.run("UPDATE counts SET pings = pings + 1", params![]).map(drop)
    }

    pub fn prepare(&self, sql: &str) -> Result<rusqlite::CachedStatement<'_>, LedgerError> {
        self.0.prepare_cached(sql).map_err(failed)
    }

    /// Runs a statement. The answer is how many rows it changed.
    pub fn run(&self, sql: &str, parameters: &[&dyn rusqlite::ToSql]) -> Result<usize, LedgerError> {
        self.0.prepare_cached(sql).and_then(|mut statement| statement.execute(parameters)).map_err(failed)
    }

    fn bytes(&self, sql: &str, parameters: &[&dyn rusqlite::ToSql]) -> Result<Option<Vec<u8>>, rusqlite::Error> {
        let mut select = self.0.prepare_cached(sql)?;
        select.query_row(parameters, |row| row.get(0)).optional()
    }
}

/// What the expiry looks at of a step.
pub struct Step {
    pub row: i64,
    /// None where it is damaged.
    pub key: Option<Key>,
    pub fence: Fence,
}

/// SQLite's integers are signed: the far end of time, and the last fence, is what they can hold.
pub fn to_column(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn from_column(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// The store did not do it; the next attempt may go well, unless it takes no value of that size.
pub fn failed(error: rusqlite::Error) -> LedgerError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::TooBig) => LedgerError::TooLarge(error.to_string()),
        Some(_) | None => LedgerError::Unavailable(error.to_string()),
    }
}

/// A row that is there but makes no sense is damage, and so is a page that SQLite cannot read it
/// from; anything else is the store's failure.
fn unread(error: rusqlite::Error, key: Key) -> LedgerError {
    let damaged = |what: &dyn std::fmt::Display| LedgerError::Damaged(format!("{}: {what}", key.to_hex()));
    match error {
        rusqlite::Error::FromSqlConversionFailure(_, _, what) => damaged(&what),
        rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::IntegralValueOutOfRange(..) => damaged(&error),
        error if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt) => damaged(&error),
        error => failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_cannot_be_read_is_its_keys_matter_and_a_full_disk_is_not() {
        let failure = |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        let key = Key([7; 32]);
        let corrupt = unread(failure(rusqlite::ffi::SQLITE_CORRUPT), key);
        assert!(matches!(&corrupt, LedgerError::Damaged(what) if what.contains(&key.to_hex())), "{corrupt:?}");
        let full = unread(failure(rusqlite::ffi::SQLITE_FULL), key);
        assert!(matches!(full, LedgerError::Unavailable(_)), "{full:?}");
        let large = failed(failure(rusqlite::ffi::SQLITE_TOOBIG));
        assert!(matches!(large, LedgerError::TooLarge(_)), "{large:?}");
    }
}
