//! Groups with their members, for scripts and for `wasq groups`. Bodies and results are not shown:
//! only whether a member has a result.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use wasq_core::message::UnixMs;
use wasq_ledgers::LedgerError;

use super::app::App;
use super::extractors::ApiLooker;
use crate::groups::{EndState, GroupStore, GroupView, LIST_MAX, Member, OnFailure, Record, State};

/// Groups that are listed where the client does not say how many.
const LIMIT: usize = 100;

/// A part of all groups, in the order of their ids.
#[derive(Debug, Serialize, Deserialize)]
pub struct GroupList {
    pub groups: Vec<GroupStatus>,
    /// What `after` takes for the next part; none at the end.
    pub next: Option<String>,
}

/// A group as its record has it. That counts ten members at once, when the last of them has ended
/// or one was dead-lettered.
#[derive(Debug, Serialize, Deserialize)]
pub struct GroupStatus {
    /// Plugin and name.
    pub id: String,
    pub state: State,
    pub members: u32,
    pub open: u32,
    pub done: u32,
    pub discarded: u32,
    pub dead_lettered: u32,
    /// What becomes of the group if a member is dead-lettered; none while nothing follows.
    pub on_failure: Option<OnFailure>,
    pub then: Option<Then>,
    /// Whether what follows was handed to its queue, or to the timers.
    pub is_sent: bool,
    pub opened_at: UnixMs,
    pub changed_at: UnixMs,
}

/// What follows a group.
#[derive(Debug, Serialize, Deserialize)]
pub struct Then {
    /// The queue's name in the config.
    pub queue: String,
    #[serde(rename = "type")]
    pub kind: String,
}

/// A group with a part of its members, in the order in which they were sent.
#[derive(Debug, Serialize, Deserialize)]
pub struct GroupMembers {
    pub group: GroupStatus,
    pub members: Vec<MemberStatus>,
    /// What `first` takes for the next part; none at the end.
    pub next: Option<usize>,
}

/// A member as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberStatus {
    pub state: MemberState,
    /// The queue's name in the config.
    pub queue: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// The beginning of its idempotency key. A member that is about to be sent has none yet.
    pub key: String,
    /// When it ended.
    pub at: Option<UnixMs>,
    /// Why it was not done, or why there is no result.
    pub reason: String,
    pub has_result: bool,
}

/// How a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum MemberState {
    /// It has not ended.
    Open,
    Done,
    Discarded,
    DeadLettered,
}

/// Members that are missing: first those that have not ended, then those that were dead-lettered.
#[derive(Debug)]
pub struct MissingMembers {
    pub members: Vec<MemberStatus>,
    /// Whether there may be more.
    pub is_cut: bool,
}

/// Which part of all groups is asked for.
#[derive(Debug, Deserialize)]
pub struct Part {
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    after: Option<String>,
}

/// Which part of a group's members is asked for.
#[derive(Debug, Deserialize)]
pub struct MembersPart {
    #[serde(default)]
    first: u32,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum GroupsError {
    #[error("there is no group `{0}`; `wasq groups ls` lists those that there are")]
    Unknown(String),
    #[error("the ledger keeps no groups")]
    NoGroups,
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
}

impl GroupsError {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::NoGroups | Self::Ledger(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for GroupsError {
    fn into_response(self) -> Response {
        (self.status(), Json(serde_json::json!({ "error": self.to_string() }))).into_response()
    }
}

/// Names of groups may be parts of bodies. So it is for those who may see letters.
pub async fn list(
    Shared(app): Shared<Arc<App>>,
    _looker: ApiLooker,
    Query(part): Query<Part>,
) -> Result<Json<GroupList>, GroupsError> {
    let limit = part.limit.unwrap_or(LIMIT).clamp(1, LIST_MAX);
    app.groups(limit, part.after.as_deref()).await.map(Json)
}

pub async fn show(
    Shared(app): Shared<Arc<App>>,
    _looker: ApiLooker,
    Path(id): Path<String>,
    Query(MembersPart { first }): Query<MembersPart>,
) -> Result<Json<GroupMembers>, GroupsError> {
    app.group(&id, first as usize).await.map(Json)
}

impl App {
    pub async fn groups(&self, limit: usize, after: Option<&str>) -> Result<GroupList, GroupsError> {
        let page = self.group_store()?.list(limit, after).await?;
        let groups = page.groups.into_iter().map(|GroupView { id, record }| GroupStatus::of(id, &record));
        Ok(GroupList { groups: groups.collect(), next: page.next })
    }

    /// A group with its members from the place `first` on.
    pub async fn group(&self, id: &str, first: usize) -> Result<GroupMembers, GroupsError> {
        let (store, record) = self.record(id).await?;
        let page = store.members(id, &record, first).await?;
        Ok(GroupMembers {
            group: GroupStatus::of(id.to_owned(), &record),
            members: page.members.into_iter().map(MemberStatus::of).collect(),
            next: page.next,
        })
    }

    pub async fn missing_members(&self, id: &str) -> Result<MissingMembers, GroupsError> {
        let (store, record) = self.record(id).await?;
        let missing = store.missing(id, &record).await?;
        let members = missing.members.into_iter().map(MemberStatus::of).collect();
        Ok(MissingMembers { members, is_cut: missing.is_cut })
    }

    fn group_store(&self) -> Result<&GroupStore, GroupsError> {
        self.source.services.groups.as_deref().ok_or(GroupsError::NoGroups)
    }

    async fn record(&self, id: &str) -> Result<(&GroupStore, Record), GroupsError> {
        let store = self.group_store()?;
        let record = store.record(id).await?.ok_or_else(|| GroupsError::Unknown(id.to_owned()))?;
        Ok((store, record))
    }
}

impl GroupStatus {
    fn of(id: String, record: &Record) -> Self {
        let counts = record.counts();
        Self {
            id,
            state: record.state,
            members: record.members(),
            open: record.sums().map(|sum| sum.open).sum(),
            done: counts.done,
            discarded: counts.discarded,
            dead_lettered: counts.dead_lettered,
            on_failure: record.then.as_ref().map(|then| then.on_failure),
            then: record.then.as_ref().map(|then| Then { queue: then.queue.clone(), kind: then.kind.clone() }),
            is_sent: record.is_sent,
            opened_at: record.opened_at,
            changed_at: record.changed_at,
        }
    }

    /// What follows, in words.
    pub fn then_in_words(&self) -> String {
        let Some(Then { queue, kind }) = &self.then else { return "nothing so far".into() };
        let stands = match (self.state, self.is_sent) {
            (State::Cancelled, _) => "not sent: the group was cancelled",
            (State::Open | State::Ended, true) => "sent",
            (State::Open | State::Ended, false) => "not sent yet",
        };
        format!("{kind} to {queue}, {stands}")
    }
}

impl MemberStatus {
    fn of(member: Member) -> Self {
        let Member { key, queue, kind, end } = member;
        let state = match end.as_ref().map(|end| end.state) {
            None => MemberState::Open,
            Some(EndState::Done) => MemberState::Done,
            Some(EndState::Discarded) => MemberState::Discarded,
            Some(EndState::DeadLettered) => MemberState::DeadLettered,
        };
        let has_result = end.as_ref().is_some_and(|end| end.result.is_some() || end.result_id.is_some());
        let at = end.as_ref().map(|end| end.at);
        Self { state, queue, kind, key, at, reason: end.map(|end| end.reason).unwrap_or_default(), has_result }
    }
}

impl MemberState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => EndState::Done.name(),
            Self::Discarded => EndState::Discarded.name(),
            Self::DeadLettered => EndState::DeadLettered.name(),
        }
    }
}
