//! What is read from the ledger's tables and written to them.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use wasq_core::message::{BodyDigest, Key, MessageId, UnixMs};

use super::row_index::{Id, RowIndex};
use crate::entry::{self, DeadIds, Entry, State};
use crate::ledger::{Fence, LedgerError};

/// Reads and writes that take effect together.
pub struct Batch<'a> {
    transaction: Transaction<'a>,
    row_index: &'a mut RowIndex,
}

impl<'a> Batch<'a> {
    pub fn new(transaction: Transaction<'a>, row_index: &'a mut RowIndex) -> Self {
        Self { transaction, row_index }
    }

    pub fn commit(self) -> Result<(), LedgerError> {
        self.transaction.commit().map_err(failed)
    }

    pub fn entry(&self, key: Key) -> Result<Option<Entry>, LedgerError> {
        let Some(id) = self.find(key)? else { return Ok(None) };
        let mut select = self.prepare(
            "SELECT state, fence, attempts, crashes, replays, body, message_id, dead, first_failed_at, removable_at, discarded,
                 result FROM entries WHERE id = ?1 AND key = ?2",
        )?;
        select.query_row(params![id, &key.0], read_entry).optional().map_err(|error| unread(error, key))
    }

    fn find(&self, key: Key) -> Result<Option<Id>, LedgerError> {
        self.row_index.find(&self.transaction, key).map_err(|error| unread(error, key))
    }

    /// Whether there is an entry under the key.
    pub fn has(&self, key: Key) -> Result<bool, LedgerError> {
        let Some(id) = self.find(key)? else { return Ok(false) };
        self.prepare("SELECT 1 FROM entries WHERE id = ?1 AND key = ?2")?.exists(params![id, &key.0]).map_err(failed)
    }

    /// Adds an entry. False if there is one under the key, which stays as it is.
    pub fn insert(&mut self, key: Key, entry: &Entry) -> Result<bool, LedgerError> {
        if self.has(key)? {
            return Ok(false);
        }
        let id = self.row_index.give(key);
        self.write(
            "INSERT INTO entries (id, key, state, fence, attempts, crashes, replays, body, message_id, dead, first_failed_at,
                 removable_at, discarded, result)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            id,
            key,
            entry,
        )?;
        Ok(true)
    }

    /// Writes an entry in place of the one that is there.
    pub fn update(&self, key: Key, entry: &Entry) -> Result<(), LedgerError> {
        let gone = || LedgerError::Damaged(format!("{}: its entry has gone", key.to_hex()));
        let updated = self.write(
            "UPDATE entries SET state = ?3, fence = ?4, attempts = ?5, crashes = ?6, replays = ?7, body = ?8, message_id = ?9,
                 dead = ?10, first_failed_at = ?11, removable_at = ?12, discarded = ?13, result = ?14
             WHERE id = ?1 AND key = ?2",
            self.find(key)?.ok_or_else(gone)?,
            key,
            entry,
        )?;
        if updated == 1 { Ok(()) } else { Err(gone()) }
    }

    /// Runs a statement over all of an entry's columns. The answer is how many rows it changed.
    fn write(&self, sql: &str, id: Id, key: Key, entry: &Entry) -> Result<usize, LedgerError> {
        let Entry { state, fence, attempts, crashes, replays, body, message_id, dead, first_failed_at, removable_at } =
            entry;
        let (code, discarded, result) = match state {
            State::Claimed => (CLAIMED, None, None),
            State::Released => (RELEASED, None, None),
            State::Done { result, discarded } => (DONE, Some(*discarded), result.as_deref()),
            State::DeadLettered => (DEAD_LETTERED, None, None),
        };
        self.run(
            sql,
            params![
                id,
                &key.0,
                code,
                fence.0 as i64,
                attempts,
                crashes,
                replays,
                &body.0,
                message_id.0,
                dead.as_bytes(),
                first_failed_at.map(to_column),
                to_column(*removable_at),
                discarded,
                result
            ],
        )
    }

    pub fn forget_steps(&self, key: Key) -> Result<(), LedgerError> {
        self.run("DELETE FROM steps WHERE key = ?1", params![&key.0]).map(drop)
    }

    pub fn step(&self, key: Key, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let value = self.bytes("SELECT value FROM steps WHERE key = ?1 AND name = ?2", params![&key.0, name]);
        value.map_err(|error| unread(error, key))
    }

    pub fn put_step(&self, key: Key, name: &str, value: &[u8]) -> Result<(), LedgerError> {
        self.run("INSERT OR REPLACE INTO steps (key, name, value) VALUES (?1, ?2, ?3)", params![&key.0, name, value])
            .map(drop)
    }

    pub fn envelope(&self, id: &str, now: UnixMs) -> Result<Option<Vec<u8>>, LedgerError> {
        let json =
            self.bytes("SELECT json FROM envelopes WHERE id = ?1 AND removable_at > ?2", params![id, to_column(now)]);
        json.map_err(failed)
    }

    pub fn put_envelope(&self, id: &str, json: &[u8], removable_at: UnixMs) -> Result<(), LedgerError> {
        self.run(
            "INSERT OR REPLACE INTO envelopes (id, json, removable_at) VALUES (?1, ?2, ?3)",
            params![id, json, to_column(removable_at)],
        )
        .map(drop)
    }

    /// The entries after `from`, at most `limit`, each with the moment from which it may be
    /// removed.
    pub fn ages(&self, from: Id, limit: u32) -> Result<Vec<Age>, LedgerError> {
        let mut select =
            self.prepare("SELECT id, key, removable_at FROM entries WHERE id > ?1 ORDER BY id LIMIT ?2")?;
        let age = |row: &Row<'_>| {
            let removable_at = UnixMs(from_column(row.get(2)?));
            Ok(Age { id: row.get(0)?, key: row.get(1).ok().map(Key), removable_at })
        };
        let rows = select.query_map(params![from, limit], age).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// Removes the entry and its steps.
    pub fn remove(&self, id: Id, key: Option<Key>) -> Result<(), LedgerError> {
        if let Some(key) = key {
            self.forget_steps(key)?;
            self.run("DELETE FROM places WHERE key = ?1 AND id = ?2", params![&key.0, id])?;
        }
        self.run("DELETE FROM entries WHERE id = ?1", params![id]).map(drop)
    }

    /// Removes at most `limit` envelopes whose time has come.
    pub fn remove_envelopes(&self, now: UnixMs, limit: u32) -> Result<(), LedgerError> {
        self.run(
            "DELETE FROM envelopes WHERE rowid IN (SELECT rowid FROM envelopes WHERE removable_at <= ?1 LIMIT ?2)",
            params![to_column(now), limit],
        )
        .map(drop)
    }

    /// Counts a ping. The count matters to nobody, but it has to change: SQLite does not write what
    /// stays the same, and a disk that takes no more would not be found out.
    pub fn ping(&self) -> Result<(), LedgerError> {
        self.run("UPDATE counts SET pings = pings + 1", params![]).map(drop)
    }

    pub fn prepare(&self, sql: &str) -> Result<rusqlite::CachedStatement<'_>, LedgerError> {
        self.transaction.prepare_cached(sql).map_err(failed)
    }

    /// Runs a statement. The answer is how many rows it changed.
    pub fn run(&self, sql: &str, parameters: &[&dyn rusqlite::ToSql]) -> Result<usize, LedgerError> {
        self.transaction.prepare_cached(sql).and_then(|mut statement| statement.execute(parameters)).map_err(failed)
    }

    #[cfg(test)]
    pub fn count(&self, sql: &str) -> usize {
        let count: i64 = self.transaction.query_row(sql, [], |row| row.get(0)).expect("it counts");
        count as usize
    }

    fn bytes(&self, sql: &str, parameters: &[&dyn rusqlite::ToSql]) -> Result<Option<Vec<u8>>, rusqlite::Error> {
        let mut select = self.transaction.prepare_cached(sql)?;
        select.query_row(parameters, |row| row.get(0)).optional()
    }
}

/// What the expiry looks at of an entry.
pub struct Age {
    pub id: Id,
    /// None where it is damaged.
    pub key: Option<Key>,
    pub removable_at: UnixMs,
}

// The states as the column `state` has them.
const CLAIMED: i64 = 1;
const RELEASED: i64 = 2;
const DONE: i64 = 3;
const DEAD_LETTERED: i64 = 4;

fn read_entry(row: &Row<'_>) -> Result<Entry, rusqlite::Error> {
    let state = match row.get("state")? {
        CLAIMED => State::Claimed,
        RELEASED => State::Released,
        DONE => State::Done { result: row.get("result")?, discarded: row.get("discarded")? },
        DEAD_LETTERED => State::DeadLettered,
        unknown => return Err(unknown_state(unknown)),
    };
    Ok(Entry {
        state,
        fence: Fence(from_column(row.get("fence")?)),
        attempts: row.get("attempts")?,
        crashes: row.get("crashes")?,
        replays: row.get("replays")?,
        body: BodyDigest(row.get("body")?),
        message_id: MessageId(row.get("message_id")?),
        dead: DeadIds::from_bytes(row.get("dead")?)
            .ok_or(rusqlite::Error::IntegralValueOutOfRange(0, DEAD_LETTERED))?,
        first_failed_at: row.get::<_, Option<i64>>("first_failed_at")?.map(|at| UnixMs(from_column(at))),
        removable_at: UnixMs(from_column(row.get("removable_at")?)),
    })
}

/// SQLite's integers are signed: the far end of time is what they can hold.
fn to_column(at: UnixMs) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
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

fn unknown_state(state: i64) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Integer, entry::unknown_state(state).into())
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
