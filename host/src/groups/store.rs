//! The host's hold of its scope's groups in the ledger, and how a document of them is changed.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wasq_core::backoff::Backoff;
use wasq_core::clock::SharedClock;
use wasq_core::message::{Key, UnixMs};
use wasq_ledgers::documents::{Documents, Put};
use wasq_ledgers::{Ledger, LedgerError};

use super::attributes::Membership;
use super::chunk::Chunk;
use super::combine::Combiner;
use super::meters::GroupMeters;
use super::record::Record;
use super::{KEPT, PARTS_KEPT};
use crate::config::Limits;
use crate::timers::TimerStore;

/// How often a change is decided anew because others have changed the document in between, and the
/// waits before that. Each time somebody else has got on.
const TRIES: u32 = 40;
const AGAIN: Backoff = Backoff::new(Duration::from_millis(4), Duration::from_millis(250));
/// What the ids of groups' records begin with.
pub const PREFIX: &str = "group/";

/// The groups of this host's scope.
pub struct GroupStore {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) documents: Arc<dyn Documents>,
    pub(super) timers: Arc<TimerStore>,
    pub(super) clock: SharedClock,
    /// Members that a group has at most.
    pub(super) members_max: usize,
    pub(super) combiner: Combiner,
    pub meters: GroupMeters,
}

impl GroupStore {
    /// None where the ledger keeps no documents.
    pub fn of(
        ledger: &Arc<dyn Ledger>,
        scope: &str,
        timers: &Arc<TimerStore>,
        clock: SharedClock,
        limits: &Limits,
    ) -> Option<Self> {
        Some(Self {
            documents: ledger.documents(scope)?,
            ledger: ledger.clone(),
            timers: timers.clone(),
            clock,
            members_max: limits.group_members,
            combiner: Combiner::default(),
            meters: GroupMeters::default(),
        })
    }

    /// By the host's clock: for people.
    pub(super) fn now(&self) -> UnixMs {
        self.clock.unix_ms()
    }

    /// A group's record.
    ///
    /// # Errors
    /// The ledger does not answer, or what it has cannot be read.
    pub async fn record(&self, group: &str) -> Result<Option<Record>, LedgerError> {
        self.read(&record_id(group)).await
    }

    pub(super) async fn chunk(&self, id: &str) -> Result<Option<Chunk>, LedgerError> {
        self.read(id).await
    }

    async fn read<D: DeserializeOwned>(&self, id: &str) -> Result<Option<D>, LedgerError> {
        self.documents.get(id).await?.map(|document| parse(id, &document.value)).transpose()
    }

    /// Changes a document as `decide` has it over what stands there; None leaves it as it is. It is
    /// decided anew when another host has changed the document in between.
    pub(super) async fn change<D, T>(
        &self,
        id: &str,
        decide: impl Fn(Option<D>) -> (T, Option<D>) + Send,
    ) -> Result<T, LedgerError>
    where
        D: Serialize + DeserializeOwned + Send,
        T: Send,
    {
        for tried in 1..=TRIES {
            let found = self.documents.get(id).await?;
            let expects = found.as_ref().map(|document| document.fence);
            let found = found.map(|document| parse(id, &document.value)).transpose()?;
            let (answer, changed) = decide(found);
            let Some(changed) = changed else { return Ok(answer) };
            let value = serde_json::to_vec(&changed).expect("it is text and numbers");
            let kept = if id.starts_with(PREFIX) { KEPT } else { PARTS_KEPT };
            let put = Put { id: id.to_owned(), expects, value: value.into(), kept };
            match self.documents.put(put).await {
                Ok(_) => return Ok(answer),
                Err(LedgerError::Stale) => tokio::time::sleep(AGAIN.jittered(tried)).await,
                Err(error) => return Err(error),
            }
        }
        Err(LedgerError::Unavailable(format!("others changed `{id}` {TRIES} times in between")))
    }
}

fn parse<D: DeserializeOwned>(id: &str, value: &[u8]) -> Result<D, LedgerError> {
    serde_json::from_slice(value).map_err(|error| LedgerError::Damaged(format!("`{id}`: {error}")))
}

pub fn record_id(group: &str) -> String {
    format!("{PREFIX}{group}")
}

/// The id of a member's chunk.
pub fn chunk_id(member: &Membership) -> String {
    let Membership { group, by, of, chunk, .. } = member;
    let parts: [&[u8]; 5] = [b"group-chunk", group.as_bytes(), by.as_bytes(), of.as_bytes(), &chunk.to_le_bytes()];
    format!("group-chunk/{}", Key::derive(&parts).to_hex())
}
