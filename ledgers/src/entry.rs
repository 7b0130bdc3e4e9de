//! What a claim and a finish make of an entry: pure functions from the entry as it stands to the
//! entry as it shall stand.
//!
//! A store that can read an entry and write it back unchanged-since needs no more than these. The
//! stores that decide for themselves, in SQL or in Lua, pass the same contract suite.

use std::time::Duration;

use wasq_core::message::{BodyDigest, MessageId, UnixMs};

use super::{Claim, ClaimRequest, Completion, Ended, Fence, Finish, Fresh, LedgerError};

/// A key's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub state: State,
    /// The fence of its latest claim, kept when that claim has ended: a finish that is said twice
    /// is recognised by it.
    pub fence: Fence,
    pub attempts: u32,
    pub crashes: u32,
    /// Dead letters of this key that came back.
    pub replays: u32,
    pub body: BodyDigest,
    /// The message of the latest claim.
    pub message_id: MessageId,
    /// The key's messages that were dead-lettered.
    pub dead: DeadIds,
    pub first_failed_at: Option<UnixMs>,
    /// From then on the entry counts as unknown, and the sweep may remove it.
    pub removable_at: UnixMs,
}

#[cfg(test)]
impl Entry {
    /// One that was claimed once and let go of.
    pub fn released(fence: Fence, removable_at: UnixMs) -> Self {
        Self {
            state: State::Released,
            fence,
            attempts: 1,
            crashes: 0,
            replays: 0,
            body: BodyDigest([0; 32]),
            message_id: MessageId("message".into()),
            dead: DeadIds::default(),
            first_failed_at: None,
            removable_at,
        }
    }
}

/// The latest message ids under a key that were dead-lettered, each by eight bytes of its blake3. A
/// message that comes again after its dead letter is known by them, whatever its key's other
/// messages have done since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadIds(Vec<u8>);

impl DeadIds {
    /// Messages of one key that are remembered. More of them at once, all dead and all still in a
    /// queue, are not to be expected.
    pub const MAX: usize = 64;
    /// Bytes of one.
    pub const BYTES: usize = 8;

    /// As [`DeadIds::as_bytes`] gave them; none if that is damaged.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        bytes.len().is_multiple_of(Self::BYTES).then_some(Self(bytes))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What stands for a message.
    pub fn mark(id: &MessageId) -> [u8; Self::BYTES] {
        let mut mark = [0; Self::BYTES];
        mark.copy_from_slice(&blake3::hash(id.0.as_bytes()).as_bytes()[..Self::BYTES]);
        mark
    }

    pub fn contains(&self, id: &MessageId) -> bool {
        self.0.chunks(Self::BYTES).any(|mark| mark == Self::mark(id))
    }

    fn with(mut self, id: &MessageId) -> Self {
        self.0.extend(Self::mark(id));
        let over = self.0.len().saturating_sub(Self::MAX * Self::BYTES);
        self.0.drain(..over);
        self
    }
}

/// Where a key stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Claimed,
    Released,
    Done { result: Option<Vec<u8>>, discarded: bool },
    DeadLettered,
}

impl State {
    /// How the work ended, if it has.
    pub fn ended(self) -> Option<Ended> {
        match self {
            Self::Claimed | Self::Released => None,
            Self::Done { result, discarded } => Some(Ended::Done { result, discarded }),
            Self::DeadLettered => Some(Ended::DeadLettered),
        }
    }
}

/// What is wrong with an entry in a state that is none of [`State`]'s.
pub fn unknown_state(state: impl std::fmt::Display) -> String {
    format!("its state is `{state}`, which this version does not know: written by a newer wasq, or damaged")
}

/// An entry that is neither done nor dead-lettered is forgotten after so long without a claim or a
/// finish: no SQS queue keeps a message longer (`MessageRetentionPeriod` is at most 14 days).
pub const IDLE_KEPT: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// A decision to be written down.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    pub entry: Entry,
    pub steps: Steps,
}

/// What becomes of a key's recorded steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    Kept,
    Forgotten,
}

/// Decides a claim over what is `found` under the key. `held_for` is how long a live lease on it
/// still lasts, `fence` the one to give out. The change is there if, and only if, the claim is
/// [`Claim::Fresh`].
pub fn claim(
    found: Option<Entry>,
    held_for: Option<Duration>,
    request: &ClaimRequest,
    fence: Fence,
    now: UnixMs,
) -> (Claim, Option<Change>) {
    let start = |before, steps| fresh(before, request, fence, now, steps);
    let Some(entry) = found else { return start(Before::nothing(), Steps::Kept) };
    // A live lease outlasts every jump of the wall clock.
    if entry.removable_at <= now && held_for.is_none() {
        return start(Before::nothing(), Steps::Forgotten);
    }
    if entry.dead.contains(&request.message_id) {
        return (Claim::DeadLettered, None);
    }
    let same_body = entry.body == request.body;
    let same_message = entry.message_id == request.message_id;
    match &entry.state {
        State::DeadLettered => {
            let replays = entry.replays.saturating_add(1);
            start(Before { replays, dead: entry.dead, ..Before::default() }, Steps::Kept)
        }
        State::Claimed | State::Released | State::Done { .. } if !same_body => (Claim::Conflict, None),
        State::Done { .. } => (Claim::Done { same_message }, None),
        State::Released => start(Before::of(&entry, 0), Steps::Kept),
        State::Claimed => match held_for {
            Some(remaining) => (Claim::Busy { remaining }, None),
            None => start(Before::of(&entry, 1), Steps::Kept),
        },
    }
}

/// What a fresh claim takes over from the ones before it.
#[derive(Default)]
struct Before {
    attempts: u32,
    crashes: u32,
    replays: u32,
    first_failed_at: Option<UnixMs>,
    dead: DeadIds,
    is_new: bool,
}

impl Before {
    fn nothing() -> Self {
        Self { is_new: true, ..Self::default() }
    }

    fn of(entry: &Entry, new_crashes: u32) -> Self {
        Self {
            attempts: entry.attempts,
            crashes: entry.crashes.saturating_add(new_crashes),
            replays: entry.replays,
            first_failed_at: entry.first_failed_at,
            dead: entry.dead.clone(),
            is_new: false,
        }
    }
}

fn fresh(before: Before, request: &ClaimRequest, fence: Fence, now: UnixMs, steps: Steps) -> (Claim, Option<Change>) {
    let Before { attempts, crashes, replays, first_failed_at, dead, is_new } = before;
    let entry = Entry {
        state: State::Claimed,
        fence,
        attempts: attempts.saturating_add(1),
        crashes,
        replays,
        body: request.body,
        message_id: request.message_id.clone(),
        dead,
        first_failed_at,
        removable_at: after(now, IDLE_KEPT),
    };
    let fresh = Fresh { attempt: entry.attempts, crashes, replays, fence, first_failed_at, is_new };
    (Claim::Fresh(fresh), Some(Change { entry, steps }))
}

/// Decides the end of the claim that `fence` was given for. A lease that has run out does not void
/// it: as long as the entry carries the fence, nobody else has run. A finish that was said before
/// changes nothing, so that a caller may repeat one whose answer got lost.
///
/// # Errors
/// [`LedgerError::Stale`] if the key was claimed anew or was finished in another way.
pub fn finish(found: Option<Entry>, fence: Fence, finish: Finish, now: UnixMs) -> Result<Option<Change>, LedgerError> {
    let entry = found.filter(|entry| entry.fence == fence).ok_or(LedgerError::Stale)?;
    match (&entry.state, &finish) {
        (State::Claimed, _) => Ok(Some(ended(entry, finish, now))),
        (State::Released, Finish::Failed { .. } | Finish::Released { .. })
        | (State::Done { .. }, Finish::Done { .. })
        | (State::DeadLettered, Finish::DeadLettered { .. }) => Ok(None),
        (State::Released | State::Done { .. } | State::DeadLettered, _) => Err(LedgerError::Stale),
    }
}

/// Decides a completion for which there was no claim, over what is `found` under the key. `fence`
/// is higher than that of any claim, so that one that another delivery holds is void. None where
/// the key is done, or was dead-lettered or claimed for another body, since the work began.
pub fn complete(found: Option<Entry>, completion: Completion, fence: Fence, now: UnixMs) -> Option<Change> {
    let Completion { body, message_id, result, discarded, ttl } = completion;
    let request = ClaimRequest { body, message_id, lease: Duration::ZERO, is_redelivery: false };
    let (_, claimed) = claim(found, None, &request, fence, now);
    Some(ended(claimed?.entry, Finish::Done { result, discarded, ttl }, now))
}

fn ended(entry: Entry, finish: Finish, now: UnixMs) -> Change {
    let idle_until = after(now, IDLE_KEPT);
    match finish {
        Finish::Done { result, discarded, ttl } => Change {
            entry: Entry { state: State::Done { result, discarded }, removable_at: after(now, ttl), ..entry },
            steps: Steps::Forgotten,
        },
        Finish::Failed { at } => Change {
            entry: Entry {
                state: State::Released,
                crashes: 0,
                first_failed_at: entry.first_failed_at.or(Some(at)),
                removable_at: idle_until,
                ..entry
            },
            steps: Steps::Kept,
        },
        Finish::Released { ran } => Change {
            entry: Entry {
                state: State::Released,
                crashes: if ran { 0 } else { entry.crashes },
                attempts: entry.attempts.saturating_sub(1),
                removable_at: idle_until,
                ..entry
            },
            steps: Steps::Kept,
        },
        Finish::DeadLettered { message_id, ttl } => Change {
            entry: Entry {
                state: State::DeadLettered,
                dead: entry.dead.with(&message_id),
                message_id,
                attempts: 0,
                crashes: 0,
                first_failed_at: None,
                removable_at: after(now, ttl),
                ..entry
            },
            steps: Steps::Kept,
        },
    }
}

/// `now` and so much more, at most the end of time.
pub fn after(now: UnixMs, wait: Duration) -> UnixMs {
    UnixMs(now.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests;
