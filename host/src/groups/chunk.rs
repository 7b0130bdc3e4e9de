//! A chunk: some members of a group that one message's handler sent, and how they have ended. Pure.

use serde::{Deserialize, Serialize};
use wasq_core::message::UnixMs;

use super::record::{Counts, Sum};

/// Members of one chunk.
pub const CHUNK_MEMBERS: usize = 10;

/// A chunk, as its document has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    pub members: Vec<Member>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The beginning of its idempotency key, by which logs and dead letters know it.
    pub key: String,
    pub queue: String,
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub end: Option<End>,
}

/// How a member has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub state: EndState,
    pub at: UnixMs,
    /// What its handler gave as its result, in base64; a longer one is in an envelope of the ledger
    /// with this id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result_id: Option<String>,
    /// Why it was not done, or why there is no result.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndState {
    Done,
    Discarded,
    DeadLettered,
}

impl EndState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Discarded => "discarded",
            Self::DeadLettered => "dead-lettered",
        }
    }
}

impl Chunk {
    /// Takes a member's end. The first word on it stands, but for a dead letter that was replayed
    /// and has ended otherwise. The answer is whether that changes anything.
    pub fn end(&mut self, place: usize, end: &End) -> bool {
        let Some(member) = self.members.get_mut(place) else { return false };
        let counts = match &member.end {
            None => true,
            Some(before) => before.state == EndState::DeadLettered && end.state != EndState::DeadLettered,
        };
        if counts {
            member.end = Some(end.clone());
        }
        counts
    }

    pub fn sum(&self) -> Sum {
        let of = |state| self.members.iter().flat_map(|member| &member.end).filter(|end| end.state == state).count();
        Sum {
            members: self.members.len() as u32,
            open: self.members.iter().filter(|member| member.end.is_none()).count() as u32,
            counts: Counts {
                done: of(EndState::Done) as u32,
                discarded: of(EndState::Discarded) as u32,
                dead_lettered: of(EndState::DeadLettered) as u32,
            },
        }
    }
}
