//! Where each entry is found. Entries stand in the order in which they came, so that a batch writes
//! a few pages at the table's end, and not one for every key. The keys of the newest are in memory;
//! when they are many, they go to the table `places`, in the order of keys and a slice at a
//! time, where a page takes several of them at once.
//!
//! A place may be out of date, for a batch that was void or an entry that has gone: a row counts
//! only with the key that was looked for.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, Transaction, params};
use wasq_core::message::Key;

/// Keys in memory from which on a round begins that brings them to the table.
const RECENT_MAX: usize = 16 * 1024;
/// Keys that a turn brings there: a millisecond or two of the writer's time, and as many as can
/// come in meanwhile.
const SLICE: usize = 256;

/// The number of an entry's row. It is never given twice.
pub type Id = i64;

pub struct RowIndex {
    /// Entries that the table has not, and for the time of a round some that it has.
    recent: HashMap<Key, Id>,
    last: Id,
    round: Option<Round>,
}

/// The recent keys on their way to the table.
struct Round {
    /// From the last key to the first.
    left: Vec<(Key, Id)>,
    up_to: Id,
}

impl RowIndex {
    /// What the last process had not brought to the table, and the last number that it gave.
    pub fn load(transaction: &Transaction<'_>) -> Result<Self, rusqlite::Error> {
        let placed: Id = transaction.query_row("SELECT placed FROM counts", [], |row| row.get(0))?;
        let mut select = transaction.prepare("SELECT id, key FROM entries WHERE id > ?1 ORDER BY id")?;
        let mut rows = select.query([placed])?;
        let (mut recent, mut last) = (HashMap::new(), placed);
        while let Some(row) = rows.next()? {
            last = row.get(0)?;
            // A key that cannot be read is nobody's; the expiry removes its row in time.
            if let Ok(key) = row.get(1) {
                recent.insert(Key(key), last);
            }
        }
        Ok(Self { recent, last, round: None })
    }

    /// Where to look for the key's entry.
    pub fn find(&self, transaction: &Transaction<'_>, key: Key) -> Result<Option<Id>, rusqlite::Error> {
        if let Some(id) = self.recent.get(&key) {
            return Ok(Some(*id));
        }
        let mut select = transaction.prepare_cached("SELECT id FROM places WHERE key = ?1")?;
        select.query_row([&key.0], |row| row.get(0)).optional()
    }

    /// The number of the key's new entry.
    pub fn give(&mut self, key: Key) -> Id {
        self.last += 1;
        self.recent.insert(key, self.last);
        self.last
    }

    /// The last number that was given.
    pub fn last(&self) -> Id {
        self.last
    }

    /// Whether there are keys to bring to the table.
    pub fn is_due(&self) -> bool {
        self.round.is_some() || self.recent.len() >= RECENT_MAX
    }

    /// Brings a slice of them there. What it wrote stands with [`RowIndex::settle`]; otherwise the
    /// round begins anew.
    pub fn bring_slice(&mut self, transaction: &Transaction<'_>) -> Result<(), rusqlite::Error> {
        let mut round = self.round.take().unwrap_or_else(|| self.begin());
        {
            let mut insert = transaction.prepare_cached(
                "INSERT OR REPLACE INTO places SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM entries WHERE id = ?2 AND key = ?1)",
            )?;
            for (key, id) in round.left.split_off(round.left.len().saturating_sub(SLICE)).into_iter().rev() {
                insert.execute(params![&key.0, id])?;
            }
        }
        if round.left.is_empty() {
            transaction.execute("UPDATE counts SET placed = ?1", [round.up_to])?;
        }
        self.round = Some(round);
        Ok(())
    }

    fn begin(&self) -> Round {
        let mut left: Vec<_> = self.recent.iter().map(|(key, id)| (*key, *id)).collect();
        left.sort_unstable_by(|one, other| other.cmp(one));
        Round { left, up_to: self.last }
    }

    /// The slice is written. After a round's last the table has all of its keys.
    pub fn settle(&mut self) {
        if let Some(round) = self.round.take_if(|round| round.left.is_empty()) {
            self.recent.retain(|_, id| *id > round.up_to);
        }
    }

    /// The slice is void, and with it the round.
    pub fn take_back(&mut self) {
        self.round = None;
    }
}

#[cfg(test)]
mod tests;
