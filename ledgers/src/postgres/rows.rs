//! What goes into the statements' columns, and what is read from them.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use wasq_core::message::{Key, MessageId, UnixMs};

use super::error;
use crate::entry::{self, DeadIds, IDLE_KEPT};
use crate::remote::until;
use crate::{Claim, Fence, Finish, Fresh, LedgerError};

// The states as the column `state` has them.
pub const CLAIMED: i16 = 1;
pub const RELEASED: i16 = 2;
pub const DONE: i16 = 3;
pub const DEAD_LETTERED: i16 = 4;

/// A finish in columns.
pub struct FinishedRow {
    pub key: Key,
    pub fence: Fence,
    pub state: i16,
    pub ttl: Duration,
    /// The attempt is taken off.
    pub uncounted: bool,
    pub forgets_crashes: bool,
    pub failed_at_ms: Option<i64>,
    pub message_id: Option<Vec<u8>>,
    pub mark: Option<i64>,
    pub discarded: Option<bool>,
    pub result: Option<Vec<u8>>,
}

impl FinishedRow {
    pub fn of(key: Key, fence: Fence, finish: Finish) -> Self {
        let plain = |state, ttl| Self {
            key,
            fence,
            state,
            ttl,
            uncounted: false,
            forgets_crashes: false,
            failed_at_ms: None,
            message_id: None,
            mark: None,
            discarded: None,
            result: None,
        };
        match finish {
            Finish::Done { result, discarded, ttl } => Self { discarded: Some(discarded), result, ..plain(DONE, ttl) },
            Finish::Failed { at: UnixMs(at) } => {
                let failed_at_ms = Some(i64::try_from(at).unwrap_or(i64::MAX));
                Self { failed_at_ms, forgets_crashes: true, ..plain(RELEASED, IDLE_KEPT) }
            }
            Finish::Released { ran } => Self { uncounted: true, forgets_crashes: ran, ..plain(RELEASED, IDLE_KEPT) },
            Finish::DeadLettered { message_id, ttl } => {
                let mark = Some(mark(&message_id));
                let message_id = Some(message_id.0.into_bytes());
                Self { message_id, mark, forgets_crashes: true, ..plain(DEAD_LETTERED, ttl) }
            }
        }
    }
}

/// A claim's answer as the statement gives it.
pub fn answer(row: &Row, key: Key) -> Result<Claim, LedgerError> {
    match get::<&str>(row, "ruling")? {
        "fresh" => Ok(Claim::Fresh(Fresh {
            attempt: count(row, "attempts", key)?,
            crashes: count(row, "crashes", key)?,
            replays: count(row, "replays", key)?,
            fence: Fence(natural(get(row, "fence")?, "fence", key)?),
            first_failed_at: nullable::<i64>(row, "first_failed_at_ms")?
                .map(|at| natural(at, "first_failed_at_ms", key).map(UnixMs))
                .transpose()?,
            is_new: get(row, "is_new")?,
        })),
        "done" => Ok(Claim::Done { same_message: get(row, "same_message")? }),
        "dead-lettered" => Ok(Claim::DeadLettered),
        "busy" => Ok(Claim::Busy { remaining: until(get(row, "remaining_ms")?) }),
        "conflict" => Ok(Claim::Conflict),
        ruling => Err(match ruling.strip_prefix("state ") {
            Some(state) => unknown_state(key, state),
            None => LedgerError::Damaged(format!("{}: a claim was {ruling} and not made", key.to_hex())),
        }),
    }
}

/// A completion's answer, from the word for what was made of its entry.
pub fn completed(key: Key, ruling: &str) -> Result<(), LedgerError> {
    match ruling.strip_prefix("state ") {
        Some(state) => Err(unknown_state(key, state)),
        None => Ok(()),
    }
}

/// What stands for a message among the dead.
pub fn mark(id: &MessageId) -> i64 {
    i64::from_be_bytes(DeadIds::mark(id))
}

/// A fence that no column can hold is one that no entry has.
pub fn column(fence: Fence) -> i64 {
    i64::try_from(fence.0).unwrap_or(-1)
}

pub fn row_key(row: &Row) -> Result<Key, LedgerError> {
    let bytes: &[u8] = get(row, "key")?;
    bytes.try_into().map(Key).map_err(|_| LedgerError::Damaged(format!("a key has {} bytes", bytes.len())))
}

pub fn unknown_state(key: Key, state: impl std::fmt::Display) -> LedgerError {
    LedgerError::Damaged(format!("{}: {}", key.to_hex(), entry::unknown_state(state)))
}

pub fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, LedgerError> {
    nullable(row, column)?.ok_or_else(|| LedgerError::Damaged(format!("{column} is null")))
}

/// A column of another type is no entry's damage: the tables are not those that this version knows.
pub fn nullable<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<Option<T>, LedgerError> {
    row.try_get(column).map_err(|error| {
        let reason = error::reason(&error);
        LedgerError::Unavailable(format!("the tables in PostgreSQL are not this version's: {column}: {reason}"))
    })
}

fn natural<T: TryFrom<i64>>(value: i64, column: &str, key: Key) -> Result<T, LedgerError> {
    value.try_into().map_err(|_| LedgerError::Damaged(format!("{}: {column} is {value}", key.to_hex())))
}

fn count(row: &Row, column: &str, key: Key) -> Result<u32, LedgerError> {
    natural(get(row, column)?, column, key)
}
