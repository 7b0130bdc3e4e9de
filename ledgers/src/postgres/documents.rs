//! The documents, in a table: one statement an operation, by the server's clock.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::document_sql::DocumentStatements;
use super::rows::{column, get};
use super::sql::Statements;
use super::store::Store;
use crate::documents::{Document, Documents, LIST_MAX, Listed, Put, behind_all_with};
use crate::ledger::{Fence, LedgerError};
use crate::remote::span_ms;

/// The documents of a service in a PostgreSQL database.
pub struct PostgresDocuments {
    store: Store,
    statements: Arc<Statements>,
    service: Vec<u8>,
}

impl PostgresDocuments {
    pub fn new(store: Store, statements: Arc<Statements>, service: &str) -> Self {
        Self { store, statements, service: service.as_bytes().to_vec() }
    }

    fn statements(&self) -> &DocumentStatements {
        &self.statements.documents
    }
}

#[async_trait]
impl Documents for PostgresDocuments {
    async fn get(&self, id: &str) -> Result<Option<Document>, LedgerError> {
        let row = self.store.query_opt(&self.statements().get, &[&self.service, &id.as_bytes()]).await?;
        let document =
            |row: Row| Ok(Document { fence: fence(&row)?, value: get::<Vec<u8>>(&row, "value").map(Bytes::from)? });
        row.map(document).transpose()
    }

    async fn put(&self, put: Put) -> Result<Fence, LedgerError> {
        put.fits()?;
        let (id, value, kept_ms) = (put.id.as_bytes(), &*put.value, span_ms(put.kept));
        let first: [&(dyn ToSql + Sync); 4] = [&self.service, &id, &value, &kept_ms];
        let row = match put.expects.map(column) {
            None => self.store.query_opt(&self.statements().insert, &first).await?,
            Some(expects) => {
                let parameters: [&(dyn ToSql + Sync); 5] = [&self.service, &id, &value, &kept_ms, &expects];
                self.store.query_opt(&self.statements().update, &parameters).await?
            }
        };
        fence(&row.ok_or(LedgerError::Stale)?)
    }

    async fn list(&self, prefix: &str, limit: usize, after: Option<&str>) -> Result<Vec<Listed>, LedgerError> {
        let (after, limit) = (after.unwrap_or_default(), limit.min(LIST_MAX) as i64);
        let end = behind_all_with(prefix);
        let parameters: [&(dyn ToSql + Sync); 5] = [&self.service, &prefix.as_bytes(), &after.as_bytes(), &end, &limit];
        let rows = self.store.query(&self.statements().list, &parameters).await?;
        let listed = |row: &Row| {
            let id = String::from_utf8(get(row, "id")?)
                .map_err(|_| LedgerError::Damaged("a document's id is no text".into()))?;
            Ok(Listed { id, value: get::<Vec<u8>>(row, "value")?.into() })
        };
        rows.iter().map(listed).collect()
    }
}

fn fence(row: &Row) -> Result<Fence, LedgerError> {
    Ok(Fence(get::<i64>(row, "fence")? as u64))
}
