//! The pauses' table. An earlier version of wasq reads a store that has it, and one that has it not
//! gets it when it is opened: it is no new format.

use rusqlite::params;
use wasq_core::pause::Pause;

use super::rows::{Batch, failed};
use crate::ledger::LedgerError;
use crate::pauses;

pub const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS pauses (
        service TEXT NOT NULL,
        target TEXT NOT NULL,
        json TEXT NOT NULL,
        PRIMARY KEY (service, target)
    ) STRICT, WITHOUT ROWID;";

impl Batch<'_> {
    pub fn put_pause(&self, service: &str, pause: &Pause) -> Result<(), LedgerError> {
        let (target, json) = (pause.target.to_string(), pauses::to_json(pause));
        self.run("INSERT OR REPLACE INTO pauses VALUES (?1, ?2, ?3)", params![service, target, json]).map(drop)
    }

    pub fn remove_pause(&self, service: &str, target: &str) -> Result<(), LedgerError> {
        self.run("DELETE FROM pauses WHERE service = ?1 AND target = ?2", params![service, target]).map(drop)
    }

    pub fn pauses(&self, service: &str) -> Result<Vec<Pause>, LedgerError> {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
        let mut select = self.prepare("SELECT target, json FROM pauses WHERE service = ?1")?;
        let rows = select.query_map(params![service], row).map_err(failed)?;
        let rows = rows.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        Ok(rows.iter().filter_map(|(target, json)| pauses::from_json(Some(target), json.as_bytes())).collect())
    }
}
