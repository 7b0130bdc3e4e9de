//! What handlers and people read of groups.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::future::try_join_all;
use wasq_ledgers::LedgerError;

use super::attributes::Membership;
use super::chunk::{CHUNK_MEMBERS, Chunk, EndState, Member};
use super::record::{Record, Sum};
use super::store::{GroupStore, PREFIX, chunk_id};

/// Members of one page.
pub const PAGE_MAX: usize = 100;
/// Groups that one call lists at most. One more is asked for, to know whether there are more.
pub const LIST_MAX: usize = 500;
/// Chunks that are read at once where it is looked for members that are missing.
const CHUNKS_AT_ONCE: usize = 10;

/// A group in a list.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// The group's id: plugin and name.
    pub id: String,
    pub record: Record,
}

/// Some groups, in the order of their ids.
#[derive(Clone, Debug, Default)]
pub struct GroupsPage {
    pub groups: Vec<GroupView>,
    /// The id behind which there are more; none at the end.
    pub next: Option<String>,
}

/// Some members of a group, in the order in which they were sent.
#[derive(Clone, Debug, Default)]
pub struct MembersPage {
    pub members: Vec<Member>,
    /// The first place behind them; none at the end.
    pub next: Option<usize>,
}

/// Members that have not ended, and behind them those that were dead-lettered.
#[derive(Clone, Debug, Default)]
pub struct Missing {
    /// At most [`PAGE_MAX`].
    pub members: Vec<Member>,
    /// Whether there may be more.
    pub is_cut: bool,
}

impl GroupStore {
    /// Groups in the order of their ids, behind `after`; at most [`LIST_MAX`].
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn list(&self, limit: usize, after: Option<&str>) -> Result<GroupsPage, LedgerError> {
        let limit = limit.min(LIST_MAX);
        let after = after.map(|after| format!("{PREFIX}{after}"));
        let mut listed = self.documents.list(PREFIX, limit + 1, after.as_deref()).await?;
        let has_more = listed.len() > limit;
        listed.truncate(limit);
        let id = |id: &str| id.strip_prefix(PREFIX).unwrap_or(id).to_owned();
        let next = listed.last().filter(|_| has_more).map(|last| id(&last.id));
        let view = |listed: wasq_ledgers::documents::Listed| {
            let id = id(&listed.id);
            match serde_json::from_slice(&listed.value) {
                Ok(record) => Some(GroupView { id, record }),
                Err(error) => {
                    tracing::warn!(group = id, %error, "a group's record cannot be read");
                    None
                }
            }
        };
        Ok(GroupsPage { groups: listed.into_iter().filter_map(view).collect(), next })
    }

    /// Members from the place `first` on, at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// The ledger does not answer, or what it has cannot be read.
    pub async fn members(&self, group: &str, record: &Record, first: usize) -> Result<MembersPage, LedgerError> {
        let (mut place, mut chunks) = (0, Vec::new());
        for (id, sum) in chunks_of(group, record) {
            let members = sum.members as usize;
            let behind = place + members;
            if behind > first && place < first + PAGE_MAX {
                chunks.push((place, members, id));
            }
            place = behind;
        }
        let found = try_join_all(chunks.iter().map(|(_, _, id)| self.chunk(id))).await?;
        let mut page = MembersPage::default();
        for ((begins, members, _), chunk) in chunks.into_iter().zip(found) {
            let skipped = first.saturating_sub(begins).min(CHUNK_MEMBERS);
            page.members.extend(members_of(chunk, members).into_iter().skip(skipped));
        }
        page.members.truncate(PAGE_MAX);
        let next = first + page.members.len();
        page.next = (next < place && !page.members.is_empty()).then_some(next);
        Ok(page)
    }

    /// Members that are missing. Chunks of which the record knows that all have ended well are not
    /// read.
    ///
    /// # Errors
    /// The ledger does not answer, or what it has cannot be read.
    pub async fn missing(&self, group: &str, record: &Record) -> Result<Missing, LedgerError> {
        let mut chunks = chunks_of(group, record).filter(|(_, sum)| sum.open + sum.counts.dead_lettered > 0);
        let mut missing = Missing::default();
        while missing.members.len() < PAGE_MAX {
            let some: Vec<_> = chunks.by_ref().take(CHUNKS_AT_ONCE).collect();
            if some.is_empty() {
                break;
            }
            let found = try_join_all(some.iter().map(|(id, _)| self.chunk(id))).await?;
            let members =
                found.into_iter().zip(&some).flat_map(|(chunk, (_, sum))| members_of(chunk, sum.members as usize));
            missing.members.extend(members.filter(is_missing));
        }
        missing.is_cut = missing.members.len() > PAGE_MAX || chunks.next().is_some();
        missing.members.sort_by_key(|member| member.end.is_some());
        missing.members.truncate(PAGE_MAX);
        Ok(missing)
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

/// A group's chunks, with their ids and with what the record knows of them.
fn chunks_of(group: &str, record: &Record) -> impl Iterator<Item = (String, Sum)> {
    record.adders.iter().flat_map(move |adder| {
        adder.chunks.iter().enumerate().map(move |(chunk, sum)| {
            let member = Membership {
                group: group.to_owned(),
                by: adder.by.clone(),
                of: adder.of.clone(),
                chunk: chunk as u32,
                place: 0,
                may_be_cancelled: false,
            };
            (chunk_id(&member), *sum)
        })
    })
}

/// A chunk's members. One that is not written yet has them all the same.
fn members_of(chunk: Option<Chunk>, members: usize) -> Vec<Member> {
    let unknown = || Member { key: String::new(), queue: String::new(), kind: String::new(), end: None };
    let Chunk { members: mut all } = chunk.unwrap_or_default();
    all.resize_with(members, unknown);
    all
}

fn is_missing(member: &Member) -> bool {
    member.end.as_ref().is_none_or(|end| end.state == EndState::DeadLettered)
}
