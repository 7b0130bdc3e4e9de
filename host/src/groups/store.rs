//! The host's hold of its scope's groups in the ledger, and how a document of them is changed.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wasq_core::clock::SharedClock;
use wasq_core::message::{Key, UnixMs};
use wasq_ledgers::documents::{self, Change, Documents, parse};
use wasq_ledgers::{Ledger, LedgerError};

use super::attributes::Membership;
use super::chunk::Chunk;
use super::combine::Combiner;
use super::meters::GroupMeters;
use super::record::Record;
use super::{KEPT, PARTS_KEPT};
use crate::config::Limits;
use crate::timers::TimerStore;

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
        let kept = if id.starts_with(PREFIX) { KEPT } else { PARTS_KEPT };
        let decide = move |found| {
            let (answer, changed) = decide(found);
            (answer, changed.map_or(Change::Leave, |changed| Change::Write(changed, kept)))
        };
        documents::change(&*self.documents, id, decide).await
    }
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
