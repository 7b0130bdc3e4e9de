//! What handlers and people read of groups.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::future::try_join_all;
use wasq_ledgers::LedgerError;

use super::attributes::Membership;
use super::chunk::{CHUNK_MEMBERS, Chunk, Member};
use super::record::Record;
use super::store::{GroupStore, PREFIX, chunk_id};

/// Members of one page.
pub const PAGE_MAX: usize = 100;

/// A group in a list.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// The group's id: plugin and name.
    pub id: String,
    pub record: Record,
}

/// Some members of a group, in the order in which they were sent.
#[derive(Clone, Debug, Default)]
pub struct MembersPage {
    pub members: Vec<Member>,
    /// The first place behind them; none at the end.
    pub next: Option<usize>,
}

impl GroupStore {
    /// Groups in the order of their ids, behind `after`.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn list(&self, limit: usize, after: Option<&str>) -> Result<Vec<GroupView>, LedgerError> {
        let after = after.map(|after| format!("{PREFIX}{after}"));
        let listed = self.documents.list(PREFIX, limit, after.as_deref()).await?;
        let view = |listed: wasq_ledgers::documents::Listed| {
            let id = listed.id.strip_prefix(PREFIX).unwrap_or(&listed.id).to_owned();
            match serde_json::from_slice(&listed.value) {
                Ok(record) => Some(GroupView { id, record }),
                Err(error) => {
                    tracing::warn!(group = id, %error, "a group's record cannot be read");
                    None
                }
            }
        };
        Ok(listed.into_iter().filter_map(view).collect())
    }

    /// Members from the place `first` on, at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// The ledger does not answer, or what it has cannot be read.
    pub async fn members(&self, group: &str, record: &Record, first: usize) -> Result<MembersPage, LedgerError> {
        let all = record.adders.iter().flat_map(|adder| {
            adder.chunks.iter().enumerate().map(move |(chunk, sum)| {
                let member = Membership {
                    group: group.to_owned(),
                    by: adder.by.clone(),
                    of: adder.of.clone(),
                    chunk: chunk as u32,
                    place: 0,
                    may_be_cancelled: false,
                };
                (chunk_id(&member), sum.members as usize)
            })
        });
        let (mut place, mut chunks) = (0, Vec::new());
        for (id, members) in all {
            let behind = place + members;
            if behind > first && place < first + PAGE_MAX {
                chunks.push((place, members, id));
            }
            place = behind;
        }
        let found = try_join_all(chunks.iter().map(|(_, _, id)| self.chunk(id))).await?;
        let mut page = MembersPage::default();
        for ((begins, members, _), chunk) in chunks.into_iter().zip(found) {
            // A chunk that is not written yet has members all the same.
            let chunk = chunk.unwrap_or_default();
            let unknown = || Member { key: String::new(), queue: String::new(), kind: String::new(), end: None };
            let Chunk { members: mut of_chunk } = chunk;
            of_chunk.resize_with(members, unknown);
            let skipped = first.saturating_sub(begins).min(CHUNK_MEMBERS);
            page.members.extend(of_chunk.into_iter().skip(skipped));
        }
        page.members.truncate(PAGE_MAX);
        let next = first + page.members.len();
        page.next = (next < place && !page.members.is_empty()).then_some(next);
        Ok(page)
    }

    /// What a member's handler gave as its result.
    ///
    /// # Errors
    /// The ledger does not answer, or what it has cannot be read.
    pub async fn result(&self, member: &Member) -> Result<Option<Vec<u8>>, LedgerError> {
        let Some(end) = &member.end else { return Ok(None) };
        if let Some(result) = &end.result {
            let result = BASE64_STANDARD.decode(result);
            return result.map(Some).map_err(|error| LedgerError::Damaged(format!("a member's result: {error}")));
        }
        match &end.result_id {
            Some(id) => self.ledger.get_envelope(id).await,
            None => Ok(None),
        }
    }
}
