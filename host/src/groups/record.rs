//! A group's record: who added members, how far its chunks are, and what follows. Pure: from the
//! record as it stands to the record as it shall stand.

use serde::{Deserialize, Serialize};
use wasq_core::message::UnixMs;

use super::ADDERS_MAX;

/// A group, as its document has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub opened_at: UnixMs,
    pub changed_at: UnixMs,
    pub state: State,
    /// Who added members, in the order in which they did.
    pub adders: Vec<Adder>,
    /// What is sent when all have ended; none so far.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub then: Option<Then>,
    /// What was sent is in its queue, or among the timers.
    #[serde(default)]
    pub is_sent: bool,
}

/// Where a group stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Members may join.
    #[default]
    Open,
    /// All have ended, and what follows is sent.
    Ended,
    /// A member was dead-lettered, and nothing follows.
    Cancelled,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Ended => "ended",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a group makes of a member that was dead-lettered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It has ended, as the others.
    #[default]
    Send,
    /// The group waits until its dead letter is replayed and succeeds.
    Wait,
    /// The group ends at once, and nothing follows. Members that have not run yet are not run.
    Cancel,
}

impl OnFailure {
    pub fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Wait => "wait",
            Self::Cancel => "cancel",
        }
    }
}

/// A message whose handler added members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adder {
    /// Which message: a digest of its key.
    pub by: String,
    /// Which members: a digest of theirs.
    pub of: String,
    pub chunks: Vec<Sum>,
}

/// How far a chunk is, as it was last told: members, those that have not ended, and those that
/// have, by how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u32; 5]", into = "[u32; 5]")]
pub struct Sum {
    pub members: u32,
    pub open: u32,
    pub counts: Counts,
}

/// Members that have ended, by how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub done: u32,
    pub discarded: u32,
    pub dead_lettered: u32,
}

impl From<[u32; 5]> for Sum {
    fn from([members, open, done, discarded, dead_lettered]: [u32; 5]) -> Self {
        Self { members, open, counts: Counts { done, discarded, dead_lettered } }
    }
}

impl From<Sum> for [u32; 5] {
    fn from(Sum { members, open, counts }: Sum) -> Self {
        [members, open, counts.done, counts.discarded, counts.dead_lettered]
    }
}

impl Sum {
    pub fn new(members: u32) -> Self {
        Self { members, open: members, counts: Counts::default() }
    }

    /// Whether this was told after `other`. Members end, and dead letters succeed: neither is taken
    /// back.
    fn is_newer_than(self, other: Self) -> bool {
        (self.open, self.counts.dead_lettered) < (other.open, other.counts.dead_lettered)
    }
}

/// What is sent when all have ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Then {
    /// Its idempotency key.
    pub key: String,
    pub queue: String,
    pub kind: String,
    pub on_failure: OnFailure,
    /// Envelopes that the message is kept in.
    pub parts: u32,
}

/// What a message's outbox adds to a group.
#[derive(Clone, Debug)]
pub struct Addition {
    pub by: String,
    /// None where it adds no member.
    pub members: Option<(String, Vec<u32>)>,
    pub then: Option<Then>,
    pub members_max: usize,
}

impl Record {
    pub fn new(now: UnixMs) -> Self {
        Self { opened_at: now, changed_at: now, ..Self::default() }
    }

    pub fn counts(&self) -> Counts {
        self.sums().fold(Counts::default(), |all, Sum { counts, .. }| Counts {
            done: all.done + counts.done,
            discarded: all.discarded + counts.discarded,
            dead_lettered: all.dead_lettered + counts.dead_lettered,
        })
    }

    pub fn members(&self) -> u32 {
        self.sums().map(|sum| sum.members).sum()
    }

    pub fn sums(&self) -> impl Iterator<Item = Sum> {
        self.adders.iter().flat_map(|adder| adder.chunks.iter().copied())
    }

    pub fn on_failure(&self) -> OnFailure {
        self.then.as_ref().map(|then| then.on_failure).unwrap_or_default()
    }

    /// Adds what an outbox has for the group. The answer is whether that changes anything: what is
    /// said twice is there already.
    ///
    /// # Errors
    /// Why the group does not take it, in words that begin behind its name.
    pub fn add(&mut self, addition: &Addition, now: UnixMs) -> Result<bool, String> {
        let known = self.adders.iter().position(|adder| adder.by == addition.by);
        let new_members = addition.members.as_ref().filter(|(of, _)| known.is_none_or(|at| self.adders[at].of != *of));
        let new_then = addition.then.as_ref().filter(|then| self.then.as_ref().is_none_or(|had| had.key != then.key));
        if new_members.is_none() && new_then.is_none() {
            return Ok(false);
        }
        match self.state {
            State::Open => {}
            State::Ended => return Err("has ended: no member can join it any more, and nothing else can follow".into()),
            State::Cancelled => return Err("was cancelled: no member can join it any more".into()),
        }
        if let (Some(_), Some(had)) = (new_then, &self.then) {
            return Err(format!("has its `then` already, the `{}` to `{}`: it can have one", had.kind, had.queue));
        }
        if let Some((of, chunks)) = new_members {
            let adder = Adder {
                by: addition.by.clone(),
                of: of.clone(),
                chunks: chunks.iter().map(|members| Sum::new(*members)).collect(),
            };
            match known {
                // A handler that was corrected sends others.
                Some(at) => self.adders[at] = adder,
                None if self.adders.len() == ADDERS_MAX => {
                    return Err(format!("has members of {ADDERS_MAX} messages' handlers already, which is the most"));
                }
                None => self.adders.push(adder),
            }
            let (members, most) = (self.members() as usize, addition.members_max);
            if members > most {
                return Err(format!("would have {members} members; the limit is {most} (limits.group_members)"));
            }
        }
        if let Some(then) = new_then {
            self.then = Some(then.clone());
        }
        self.settle(now);
        Ok(true)
    }

    /// Takes what a chunk is told to be now. The answer is whether that changes anything.
    pub fn update_chunk(&mut self, by: &str, of: &str, chunk: usize, sum: Sum, now: UnixMs) -> bool {
        let adder = self.adders.iter_mut().find(|adder| adder.by == by && adder.of == of);
        // Whoever sent it has sent others in its place since.
        let Some(before) = adder.and_then(|adder| adder.chunks.get_mut(chunk)) else { return false };
        if !sum.is_newer_than(*before) {
            return false;
        }
        *before = sum;
        self.settle(now);
        true
    }

    /// Ends the group, if it is time.
    fn settle(&mut self, now: UnixMs) {
        self.changed_at = now;
        let Some(then) = self.then.as_ref().filter(|_| self.state == State::Open) else { return };
        let dead = self.counts().dead_lettered > 0;
        let all_ended = self.sums().all(|sum| sum.open == 0);
        self.state = match then.on_failure {
            OnFailure::Cancel if dead => State::Cancelled,
            OnFailure::Wait if dead => State::Open,
            OnFailure::Send | OnFailure::Wait | OnFailure::Cancel if all_ended => State::Ended,
            OnFailure::Send | OnFailure::Wait | OnFailure::Cancel => State::Open,
        };
    }
}

#[cfg(test)]
mod tests;
