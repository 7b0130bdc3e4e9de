//! The quotas of a service in its ledger, as one host reaches them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wasq_core::clock::SharedClock;
use wasq_core::message::UnixMs;
use wasq_ledgers::documents::{Change, Documents, LIST_MAX, Put, change, parse};
use wasq_ledgers::{Ledger, LedgerError};

use super::breaker_document::{BREAKERS, BreakerDocument, BreakerEvent};
use super::host_report::{self, HOST_PREFIX, HostReport};
use super::limit_document::{LIMITS, LimitDocument, LimitName, SetLimit, TooMany};
use super::pool_document::{KEPT, Need, Observed, Part, PoolDocument};
use super::rate_document::{Pace, Taken, Wanted, take};

/// What the documents' ids begin with: a rate's, one of its keys', a pool's.
pub const RATE_PREFIX: &str = "rate/";
pub const POOL_PREFIX: &str = "pool/";
/// A call that takes longer has failed. What it took is lost.
const CALL_MAX: Duration = Duration::from_secs(2);
/// How often a pool's document is read anew because others have changed it in between.
const TRIES: u32 = 8;

/// The quotas of one service.
pub struct QuotaStore {
    documents: Arc<dyn Documents>,
    clock: SharedClock,
    /// This host's name among the others.
    host: String,
}

impl QuotaStore {
    /// None where the ledger keeps no documents. `host` must be no other host's name.
    pub fn of(ledger: &dyn Ledger, scope: &str, clock: SharedClock, host: String) -> Option<Self> {
        Some(Self::on(ledger.documents(scope)?, clock, host))
    }

    /// On a service's documents.
    pub fn on(documents: Arc<dyn Documents>, clock: SharedClock, host: String) -> Self {
        Self { documents, clock, host }
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// Takes slots of a rate. They count from the answer's instant.
    ///
    /// # Errors
    /// The ledger does not answer, or not in time. What was taken then is lost.
    pub async fn take_slots(&self, rate: &str, pace: Pace, slots: u32) -> Result<(Taken, Instant), LedgerError> {
        let id = format!("{RATE_PREFIX}{rate}");
        let decide = |document| {
            let (now, now_ms) = (self.clock.now(), self.clock.unix_ms().0);
            let (taken, change) = take(document, pace, Wanted { host: &self.host, slots, now_ms });
            ((taken, now), change)
        };
        in_time(change(&*self.documents, &id, decide)).await
    }

    /// Says what has become of breakers, and hears of those that are open, at which time of the
    /// wall clock.
    ///
    /// # Errors
    /// The ledger does not answer, or not in time.
    pub async fn breakers(&self, events: &[BreakerEvent]) -> Result<(BreakerDocument, u64), LedgerError> {
        let decide = |found| {
            let now_ms = self.clock.unix_ms().0;
            let (document, change) = BreakerDocument::apply(found, events, &self.host, now_ms);
            let change = if events.is_empty() { Change::Leave } else { change };
            ((document, now_ms), change)
        };
        in_time(change(&*self.documents, BREAKERS, decide)).await
    }

    /// Says what this host does, and hears what all of them do.
    ///
    /// # Errors
    /// The ledger does not answer, or not in time.
    pub async fn report(&self, own: &HostReport) -> Result<Vec<HostReport>, LedgerError> {
        let id = format!("{HOST_PREFIX}{}", self.host);
        let decide = |_: Option<HostReport>| ((), Change::Write(own.clone(), host_report::KEPT));
        in_time(async {
            change(&*self.documents, &id, decide).await?;
            let all = self.documents.list(HOST_PREFIX, LIST_MAX, None).await?;
            all.iter().map(|listed| parse(&listed.id, &listed.value)).collect()
        })
        .await
    }

    /// The limits that operators have set.
    ///
    /// # Errors
    /// The ledger does not answer, or not in time.
    pub async fn limits(&self) -> Result<LimitDocument, LedgerError> {
        in_time(async {
            let found = self.documents.get(LIMITS).await?;
            Ok(found.map(|document| parse(LIMITS, &document.value)).transpose()?.unwrap_or_default())
        })
        .await
    }

    /// Sets a limit, or resets it. The answer is what was set before.
    ///
    /// # Errors
    /// The ledger does not answer, or not in time. There is no room for one more.
    pub async fn set_limit(
        &self,
        name: &LimitName,
        limit: Option<&SetLimit>,
        now: UnixMs,
    ) -> Result<Result<Option<SetLimit>, TooMany>, LedgerError> {
        let decide = |found| LimitDocument::change(found, name, limit.cloned(), now);
        in_time(change(&*self.documents, LIMITS, decide)).await
    }

    /// Who has what of a pool, as the ledger has it.
    ///
    /// # Errors
    /// The ledger does not answer, or not in time.
    pub async fn holders(&self, pool: &str) -> Result<PoolDocument, LedgerError> {
        let id = format!("{POOL_PREFIX}{pool}");
        in_time(async {
            let found = self.documents.get(&id).await?;
            Ok(found.map(|document| parse(&id, &document.value)).transpose()?.unwrap_or_default())
        })
        .await
    }

    /// Leases a part of a pool, or gives it back. `shrink` gives up what the host has beyond the
    /// part, as far as no run has it, and says what is left: it does so before others may have it.
    /// Where nothing changes, the lease is renewed only if it must be. The answer is the part, and
    /// whether the lease was renewed.
    ///
    /// # Errors
    /// The ledger does not answer, or not in time. Others may take the host for one that has as
    /// much as it asked for.
    pub async fn lease(
        &self,
        pool: &str,
        size: usize,
        observed: &mut Observed,
        must_renew: bool,
        need: impl Fn() -> Need,
        shrink: impl Fn(usize) -> usize,
    ) -> Result<(Part, bool), LedgerError> {
        let id = format!("{POOL_PREFIX}{pool}");
        in_time(async {
            for _ in 0..TRIES {
                let found = self.documents.get(&id).await?;
                let expects = found.as_ref().map(|document| document.fence);
                let found = found.map(|document| parse::<PoolDocument>(&id, &document.value)).transpose()?;
                let document = found.unwrap_or_default();
                let dead = observed.note(&document, &self.host, self.clock.now());
                let need = need();
                let part = document.without(&dead).part(&self.host, size, need);
                let permits = if part.permits < need.leased { shrink(part.permits) } else { part.permits };
                if !must_renew && permits == need.leased && document.says(&self.host, permits, need.wants) {
                    return Ok((part, false));
                }
                let renewed = document.renewed(&self.host, permits, need.wants, &dead, self.clock.unix_ms());
                let value = serde_json::to_vec(&renewed).expect("it is text and numbers");
                match self.documents.put(Put { id: id.clone(), expects, value: value.into(), kept: KEPT }).await {
                    Ok(_) => return Ok((part, true)),
                    Err(LedgerError::Stale) => {}
                    Err(error) => return Err(error),
                }
            }
            Err(LedgerError::Unavailable(format!("others changed `{id}` {TRIES} times in between")))
        })
        .await
    }
}

async fn in_time<T>(call: impl Future<Output = Result<T, LedgerError>>) -> Result<T, LedgerError> {
    let answer = tokio::time::timeout(CALL_MAX, call).await;
    answer.unwrap_or_else(|_| Err(LedgerError::Unavailable(format!("no answer within {CALL_MAX:?}"))))
}
