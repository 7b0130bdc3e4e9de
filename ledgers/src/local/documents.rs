//! The documents, in a table. An earlier version of wasq reads a store that has it: it is no new
//! format.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{OptionalExtension, params};
use wasq_core::clock;

use super::core::Core;
use super::operation::Operations;
use super::rows::{Batch, failed, to_column};
use crate::documents::{Document, Documents, LIST_MAX, Listed, Put, behind_all_with};
use crate::entry::after;
use crate::ledger::{Fence, LedgerError};

pub const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS documents (
        service TEXT NOT NULL,
        id BLOB NOT NULL,
        fence INTEGER NOT NULL,
        value BLOB NOT NULL,
        removable_at INTEGER NOT NULL,
        PRIMARY KEY (service, id)
    ) STRICT;
    CREATE INDEX IF NOT EXISTS documents_by_age ON documents (removable_at);";

/// The documents of a service in a local ledger.
pub struct LocalDocuments {
    operations: Arc<Operations>,
    /// Gives out fences.
    core: Arc<Core>,
    service: Arc<str>,
    /// Keeps the ledger open.
    _ledger: Arc<dyn Any + Send + Sync>,
}

impl LocalDocuments {
    /// `ledger` stays open as long as its documents are there.
    pub fn new(
        operations: Arc<Operations>,
        core: Arc<Core>,
        service: &str,
        ledger: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        Self { operations, core, service: service.into(), _ledger: ledger }
    }
}

#[async_trait]
impl Documents for LocalDocuments {
    async fn get(&self, id: &str) -> Result<Option<Document>, LedgerError> {
        let (service, id) = (self.service.clone(), id.to_owned());
        self.operations.ask(move |batch| get(batch, &service, &id)).await
    }

    async fn put(&self, put: Put) -> Result<Fence, LedgerError> {
        put.fits()?;
        let (service, core) = (self.service.clone(), self.core.clone());
        self.operations
            .ask(move |batch| {
                if get(batch, &service, &put.id)?.map(|document| document.fence) != put.expects {
                    return Err(LedgerError::Stale);
                }
                let (fence, removable_at) = (core.next_fence(), after(clock::unix_ms(), put.kept));
                batch.run(
                    "INSERT OR REPLACE INTO documents VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![service, put.id.as_bytes(), to_column(fence.0), &*put.value, to_column(removable_at.0)],
                )?;
                Ok(fence)
            })
            .await
    }

    async fn list(&self, prefix: &str, limit: usize, after: Option<&str>) -> Result<Vec<Listed>, LedgerError> {
        let (service, prefix, after) = (self.service.clone(), prefix.to_owned(), after.map(str::to_owned));
        self.operations.ask(move |batch| list(batch, &service, &prefix, limit.min(LIST_MAX), after.as_deref())).await
    }
}

fn get(batch: &Batch<'_>, service: &str, id: &str) -> Result<Option<Document>, LedgerError> {
    let mut select =
        batch.prepare("SELECT fence, value FROM documents WHERE service = ?1 AND id = ?2 AND removable_at > ?3")?;
    let parameters = params![service, id.as_bytes(), to_column(clock::unix_ms().0)];
    let found = select.query_row(parameters, |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)));
    let found = found.optional().map_err(failed)?;
    Ok(found.map(|(fence, value)| Document { fence: Fence(fence as u64), value: value.into() }))
}

fn list(
    batch: &Batch<'_>,
    service: &str,
    prefix: &str,
    limit: usize,
    after: Option<&str>,
) -> Result<Vec<Listed>, LedgerError> {
    let mut select = batch.prepare(
        "SELECT id, value FROM documents
         WHERE service = ?1 AND id >= ?2 AND id > ?3 AND (?4 IS NULL OR id < ?4) AND removable_at > ?5
         ORDER BY id LIMIT ?6",
    )?;
    let parameters = params![
        service,
        prefix.as_bytes(),
        after.unwrap_or_default().as_bytes(),
        behind_all_with(prefix),
        to_column(clock::unix_ms().0),
        limit as i64
    ];
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?));
    let rows = select.query_map(parameters, row).map_err(failed)?;
    let listed = |(id, value): (Vec<u8>, Vec<u8>)| {
        let id = String::from_utf8(id).map_err(|_| LedgerError::Damaged("a document's id is no text".into()))?;
        Ok(Listed { id, value: Bytes::from(value) })
    };
    rows.map(|row| row.map_err(failed).and_then(listed)).collect()
}
