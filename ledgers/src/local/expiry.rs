//! Removes what has expired, a little at a time, so that the hot path pays for no index by age.
//!
//! The writer makes a turn every second, and under load one for every few hundred entries that have
//! come in: what is removed keeps up with what comes, at any rate. Half of a turn goes to the
//! oldest rows, since rows stand in the order in which they came and most expire in it. The other
//! half goes on with a walk over all rows, since some outlast those behind them.

use wasq_core::message::UnixMs;

use super::leases::Leases;
use super::row_index::Id;
use super::rows::Batch;
use crate::ledger::LedgerError;
use crate::meters::LedgerMeters;

/// Entries after which a turn is made before its second is over.
const INSERTS_A_TURN: u32 = 500;
/// Rows that each half of a turn looks at for an entry that came in. With two, at most every second
/// row has expired: the walk comes round once while half as many entries come in as there are.
const ROWS_AN_INSERT: u32 = 2;
/// Rows that each half looks at at least, and at most: some milliseconds of the writer's time.
const ROWS_LEAST: u32 = 1_000;
const ROWS_MOST: u32 = 2_000;

/// How far the walk has come.
#[derive(Clone, Debug, Default)]
pub struct Expiry {
    at: Id,
    /// Rows that this walk has left behind it.
    passed: u64,
    /// Rows that there are, since a walk has seen them all.
    entries: Option<u64>,
    /// For how long the most overdue of the last turn's rows could have been gone.
    overdue_ms: u64,
}

/// What a look at some rows has found.
struct Look {
    /// The last of them.
    last: Option<Id>,
    rows: u32,
    removed: u32,
    /// Of those, the ones that the walk had passed.
    removed_behind: u32,
    overdue_ms: u64,
}

impl Expiry {
    const START: Id = 0;

    /// Whether so many new entries want a turn of their own.
    pub fn is_due(inserted: u32) -> bool {
        inserted >= INSERTS_A_TURN
    }

    /// Looks at some rows and removes those whose time has come by the wall clock, and no live
    /// claim stands on. `inserted` is how many have come in since the last turn. Gives the walk as
    /// it stands once the batch is written.
    pub fn turn(&self, batch: &Batch<'_>, leases: &Leases, now: UnixMs, inserted: u32) -> Result<Self, LedgerError> {
        let limit = inserted.saturating_mul(ROWS_AN_INSERT).clamp(ROWS_LEAST, ROWS_MOST);
        let oldest = self.look(batch, leases, now, Self::START, limit)?;
        let walked = self.look(batch, leases, now, self.at, limit)?;
        batch.remove_envelopes(now, 2 * limit)?;
        let removed = u64::from(oldest.removed + walked.removed);
        let passed =
            (self.passed + u64::from(walked.rows - walked.removed)).saturating_sub(u64::from(oldest.removed_behind));
        let overdue_ms = oldest.overdue_ms.max(walked.overdue_ms);
        Ok(match walked.last {
            Some(at) if walked.rows == limit => {
                let entries = self.entries.map(|before| (before + u64::from(inserted)).saturating_sub(removed));
                Self { at, passed, entries, overdue_ms }
            }
            Some(_) | None => Self { at: Self::START, passed: 0, entries: Some(passed), overdue_ms },
        })
    }

    /// Shows what is known.
    pub fn tell(&self, meters: &LedgerMeters) {
        if let Some(entries) = self.entries {
            meters.entries.set(entries as f64);
        }
        meters.overdue_s.set(self.overdue_ms as f64 / 1_000.0);
    }

    fn look(&self, batch: &Batch<'_>, leases: &Leases, now: UnixMs, from: Id, limit: u32) -> Result<Look, LedgerError> {
        let mut look = Look { last: None, rows: 0, removed: 0, removed_behind: 0, overdue_ms: 0 };
        for row in batch.ages(from, limit)? {
            look.last = Some(row.id);
            look.rows += 1;
            if row.removable_at <= now && !row.key.is_some_and(|key| leases.knows(key)) {
                batch.remove(row.id, row.key)?;
                look.removed += 1;
                look.removed_behind += u32::from(row.id <= self.at);
                look.overdue_ms = look.overdue_ms.max(now.0 - row.removable_at.0);
            }
        }
        Ok(look)
    }
}

#[cfg(test)]
mod tests;
