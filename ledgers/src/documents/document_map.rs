//! What each operation makes of a service's documents, in memory. The stores decide the same, each
//! in its own way; the contract suite holds them to it. A simulated ledger is one of these.

use std::collections::BTreeMap;

use wasq_core::message::UnixMs;

use super::{Document, LIST_MAX, Listed, Put};
use crate::entry::after;
use crate::error::LedgerError;
use crate::fence::Fence;

/// A service's documents.
#[derive(Clone, Debug, Default)]
pub struct DocumentMap(BTreeMap<String, Row>);

#[derive(Clone, Debug)]
struct Row {
    document: Document,
    removable_at: UnixMs,
}

impl DocumentMap {
    pub fn get(&self, id: &str, now: UnixMs) -> Option<Document> {
        self.0.get(id).filter(|row| row.removable_at > now).map(|row| row.document.clone())
    }

    /// # Errors
    /// [`LedgerError::Stale`] and [`LedgerError::TooLarge`], as of every store.
    pub fn put(&mut self, put: Put, fence: Fence, now: UnixMs) -> Result<Fence, LedgerError> {
        put.fits()?;
        if self.get(&put.id, now).map(|document| document.fence) != put.expects {
            return Err(LedgerError::Stale);
        }
        let row = Row { document: Document { fence, value: put.value }, removable_at: after(now, put.kept) };
        self.0.insert(put.id, row);
        Ok(fence)
    }

    pub fn list(&self, prefix: &str, limit: usize, after: Option<&str>, now: UnixMs) -> Vec<Listed> {
        let begins = self.0.range(prefix.to_owned()..).take_while(|(id, _)| id.starts_with(prefix));
        let behind = begins.filter(|(id, row)| after.is_none_or(|after| id.as_str() > after) && row.removable_at > now);
        behind
            .take(limit.min(LIST_MAX))
            .map(|(id, row)| Listed { id: id.clone(), value: row.document.value.clone() })
            .collect()
    }
}
