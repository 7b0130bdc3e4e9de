//! What is read from the ledger's tables and written to them.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::ledger::entry::{DeadIds, Entry, State};
use crate::ledger::{Fence, LedgerError};
use crate::message::{BodyDigest, Key, MessageId, UnixMs};

/// Reads and writes that take effect together.
pub struct Batch<'a>(Transaction<'a>);

impl<'a> Batch<'a> {
    pub fn new(transaction: Transaction<'a>) -> Self {
        Self(transaction)
    }

    pub fn commit(self) -> Result<(), LedgerError> {
        self.0.commit().map_err(failed)
    }

    pub fn entry(&self, key: Key) -> Result<Option<Entry>, LedgerError> {
        let mut select = self.0.prepare_cached(
            "SELECT state, fence, attempts, crashes, replays, body, message_id, dead, first_failed_at, removable_at, discarded,
                 result FROM entries WHERE key = ?1",
        ).map_err(failed)?;
        select.query_row([&key.0], read_entry).optional().map_err(|error| unread(error, key))
    }

    /// Adds an entry. False if there is one under the key, which stays as it is.
    pub fn insert(&self, key: Key, entry: &Entry) -> Result<bool, LedgerError> {
        let added = self.write(
            "INSERT OR IGNORE INTO entries (key, state, fence, attempts, crashes, replays, body, message_id, dead,
                 first_failed_at, removable_at, discarded, result)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            key,
            entry,
        )?;
        Ok(added == 1)
    }

    /// Writes an entry in place of the one that is there.
    pub fn update(&self, key: Key, entry: &Entry) -> Result<(), LedgerError> {
        let updated = self.write(
            "UPDATE entries SET state = ?2, fence = ?3, attempts = ?4, crashes = ?5, replays = ?6, body = ?7, message_id = ?8,
                 dead = ?9, first_failed_at = ?10, removable_at = ?11, discarded = ?12, result = ?13
             WHERE key = ?1",
            key,
            entry,
        )?;
        match updated {
            1 => Ok(()),
            _ => Err(LedgerError::Damaged(format!("{}: its entry has gone", key.to_hex()))),
        }
    }

    /// Runs a statement over all of an entry's columns. The answer is how many rows it changed.
    fn write(&self, sql: &str, key: Key, entry: &Entry) -> Result<usize, LedgerError> {
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
        self.bytes("SELECT value FROM steps WHERE key = ?1 AND name = ?2", params![&key.0, name])
    }

    pub fn put_step(&self, key: Key, name: &str, value: &[u8]) -> Result<(), LedgerError> {
        self.run("INSERT OR REPLACE INTO steps (key, name, value) VALUES (?1, ?2, ?3)", params![&key.0, name, value])
            .map(drop)
    }

    pub fn envelope(&self, id: &str, now: UnixMs) -> Result<Option<Vec<u8>>, LedgerError> {
        self.bytes("SELECT json FROM envelopes WHERE id = ?1 AND removable_at > ?2", params![id, to_column(now)])
    }

    pub fn put_envelope(&self, id: &str, json: &[u8], removable_at: UnixMs) -> Result<(), LedgerError> {
        self.run(
            "INSERT OR REPLACE INTO envelopes (id, json, removable_at) VALUES (?1, ?2, ?3)",
            params![id, json, to_column(removable_at)],
        )
        .map(drop)
    }

    /// The keys after `from`, at most `limit`, each with the moment from which it may be removed.
    pub fn ages(&self, from: Key, limit: u32) -> Result<Vec<(Key, UnixMs)>, LedgerError> {
        let mut select = self
            .0
            .prepare_cached("SELECT key, removable_at FROM entries WHERE key > ?1 ORDER BY key LIMIT ?2")
            .map_err(failed)?;
        let rows = select
            .query_map(params![&from.0, limit], |row| Ok((Key(row.get(0)?), UnixMs(from_column(row.get(1)?)))))
            .map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// Removes the entry and its steps.
    pub fn remove(&self, key: Key) -> Result<(), LedgerError> {
        self.forget_steps(key)?;
        self.run("DELETE FROM entries WHERE key = ?1", params![&key.0]).map(drop)
    }

    /// Removes at most `limit` envelopes whose time has come.
    pub fn remove_envelopes(&self, now: UnixMs, limit: u32) -> Result<(), LedgerError> {
        self.run(
            "DELETE FROM envelopes WHERE rowid IN (SELECT rowid FROM envelopes WHERE removable_at <= ?1 LIMIT ?2)",
            params![to_column(now), limit],
        )
        .map(drop)
    }

    /// Counts a ping. The count matters to nobody, but it has to change: SQLite does not write what stays the same, and a
    /// disk that takes no more would not be found out.
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

    fn bytes(&self, sql: &str, parameters: &[&dyn rusqlite::ToSql]) -> Result<Option<Vec<u8>>, LedgerError> {
        let mut select = self.0.prepare_cached(sql).map_err(failed)?;
        select.query_row(parameters, |row| row.get(0)).optional().map_err(failed)
    }
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
        unknown => return Err(rusqlite::Error::IntegralValueOutOfRange(0, unknown)),
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

/// The store did not do it; the next attempt may go well.
pub fn failed(error: rusqlite::Error) -> LedgerError {
    LedgerError::Unavailable(error.to_string())
}

/// A row that is there but makes no sense is damage; anything else is the store's failure.
fn unread(error: rusqlite::Error, key: Key) -> LedgerError {
    match error {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => LedgerError::Damaged(format!("{}: {error}", key.to_hex())),
        error => failed(error),
    }
}
