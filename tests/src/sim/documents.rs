//! A service's documents in the world's ledger, as one host reaches them: the pure functions that
//! the real stores are compared with, behind calls that fail.

use async_trait::async_trait;
use wasq_core::message::UnixMs;
use wasq_ledgers::documents::{Document, DocumentMap, Documents, Listed, Put};
use wasq_ledgers::{Fence, LedgerError};

use super::ledger::SimLedger;
use super::world::EPOCH_MS;

/// A service's documents, from one host's side.
pub struct SimDocuments {
    ledger: SimLedger,
    service: String,
}

impl SimDocuments {
    pub fn new(ledger: SimLedger, service: &str) -> Self {
        Self { ledger, service: service.to_owned() }
    }

    async fn call<T>(
        &self,
        effect: impl FnOnce(&mut DocumentMap, Fence, UnixMs) -> Result<T, LedgerError> + Send,
    ) -> Result<T, LedgerError> {
        self.ledger
            .call(|state, now_ms| {
                let (documents, fence) = state.books.documents(&self.service);
                effect(documents, fence, UnixMs(EPOCH_MS + now_ms))
            })
            .await
    }
}

#[async_trait]
impl Documents for SimDocuments {
    async fn get(&self, id: &str) -> Result<Option<Document>, LedgerError> {
        self.call(|documents, _, now| Ok(documents.get(id, now))).await
    }

    async fn put(&self, put: Put) -> Result<Fence, LedgerError> {
        self.call(|documents, fence, now| documents.put(put, fence, now)).await
    }

    async fn list(&self, prefix: &str, limit: usize, after: Option<&str>) -> Result<Vec<Listed>, LedgerError> {
        self.call(|documents, _, now| Ok(documents.list(prefix, limit, after, now))).await
    }
}
