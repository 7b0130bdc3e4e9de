//! A ledger that remembers nothing: what is left of the host's cost is not durability's.

use std::time::Duration;

use async_trait::async_trait;
use wasq_core::message::Key;
use wasq_core::pause::{Pause, Target};
use wasq_ledgers::{Claim, ClaimRequest, Fence, Finish, Fresh, Ledger, LedgerError};

/// Answers every claim with a first attempt.
pub struct NoLedger;

fn fresh() -> Claim {
    let fence = Fence(1);
    Claim::Fresh(Fresh { attempt: 1, crashes: 0, replays: 0, fence, first_failed_at: None, is_new: true })
}

#[async_trait]
impl Ledger for NoLedger {
    async fn claim(&self, _: Key, _: &ClaimRequest) -> Result<Claim, LedgerError> {
        Ok(fresh())
    }

    async fn claim_batch(&self, claims: &[(Key, ClaimRequest)]) -> Vec<Result<Claim, LedgerError>> {
        claims.iter().map(|_| Ok(fresh())).collect()
    }

    async fn extend(&self, claims: &[(Key, Fence)], _: Duration) -> Vec<Result<bool, LedgerError>> {
        vec![Ok(true); claims.len()]
    }

    async fn finish(&self, _: Key, _: Fence, _: Finish) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn finish_batch(&self, ends: Vec<(Key, Fence, Finish)>) -> Vec<Result<(), LedgerError>> {
        vec![Ok(()); ends.len()]
    }

    async fn get_step(&self, _: Key, _: Fence, _: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(None)
    }

    async fn put_step(&self, _: Key, _: Fence, _: &str, _: &[u8]) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn put_envelope(&self, _: &str, _: &[u8], _: Duration) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn get_envelope(&self, _: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(None)
    }

    async fn put_pause(&self, _: &str, _: &Pause) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn remove_pause(&self, _: &str, _: &Target) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn pauses(&self, _: &str) -> Result<Vec<Pause>, LedgerError> {
        Ok(Vec::new())
    }

    async fn ping(&self) -> Result<(), LedgerError> {
        Ok(())
    }
}
