//! What a claim and a finish make of an entry: pure functions from the entry as it stands to the entry as it shall stand.
//!
//! A store that can read an entry and write it back unchanged-since needs no more than these. The stores that decide for
//! themselves, in SQL or in Lua, pass the same contract suite.

use std::time::Duration;

use wasq_core::message::{BodyDigest, MessageId, UnixMs};

use super::{Claim, ClaimRequest, Fence, Finish, Fresh, LedgerError};

/// A key's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub state: State,
    /// The fence of its latest claim, kept when that claim has ended: a finish that is said twice is recognised by it.
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

/// The latest message ids under a key that were dead-lettered, each by eight bytes of its blake3. A message that comes again
/// after its dead letter is known by them, whatever its key's other messages have done since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadIds(Vec<u8>);

impl DeadIds {
    /// Messages of one key that are remembered. More of them at once, all dead and all still in a queue, are not to be expected.
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

/// What is wrong with an entry in a state that is none of [`State`]'s.
pub fn unknown_state(state: impl std::fmt::Display) -> String {
    format!("its state is `{state}`, which this version does not know: written by a newer wasq, or damaged")
}

/// An entry that is neither done nor dead-lettered is forgotten after so long without a claim or a finish: no SQS queue
/// keeps a message longer (`MessageRetentionPeriod` is at most 14 days).
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

/// Decides a claim over what is `found` under the key. `held_for` is how long a live lease on it still lasts, `fence` the
/// one to give out. The change is there if, and only if, the claim is [`Claim::Fresh`].
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

/// Decides the end of the claim that `fence` was given for. A lease that has run out does not void it: as long as the entry
/// carries the fence, nobody else has run. A finish that was said before changes nothing, so that a caller may repeat one
/// whose answer got lost.
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
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_000);
    const TTL: Duration = Duration::from_secs(9);

    fn claimed() -> Entry {
        Entry {
            state: State::Claimed,
            attempts: 3,
            crashes: 2,
            replays: 1,
            message_id: MessageId("claimed".into()),
            ..Entry::released(Fence(7), UnixMs(0))
        }
    }

    #[test]
    fn each_finish_changes_what_it_says_and_keeps_the_rest() {
        let check = |finish: Finish, expect: Entry, steps: Steps| {
            let change = super::finish(Some(claimed()), Fence(7), finish.clone(), NOW).expect("the claim is ours");
            assert_eq!(change, Some(Change { entry: expect, steps }), "{finish:?}");
        };
        let (over, idle) = (after(NOW, TTL), after(NOW, IDLE_KEPT));
        let done = State::Done { result: Some(b"r".to_vec()), discarded: true };
        check(
            Finish::Done { result: Some(b"r".to_vec()), discarded: true, ttl: TTL },
            Entry { state: done, removable_at: over, ..claimed() },
            Steps::Forgotten,
        );
        let failed = Entry {
            state: State::Released,
            crashes: 0,
            first_failed_at: Some(UnixMs(5)),
            removable_at: idle,
            ..claimed()
        };
        check(Finish::Failed { at: UnixMs(5) }, failed, Steps::Kept);
        let released = Entry { state: State::Released, attempts: 2, removable_at: idle, ..claimed() };
        check(Finish::Released { ran: false }, released.clone(), Steps::Kept);
        check(Finish::Released { ran: true }, Entry { crashes: 0, ..released }, Steps::Kept);
        let message_id = MessageId("dead".into());
        let dead = Entry {
            state: State::DeadLettered,
            dead: DeadIds::default().with(&message_id),
            message_id: message_id.clone(),
            attempts: 0,
            crashes: 0,
            removable_at: over,
            ..claimed()
        };
        check(Finish::DeadLettered { message_id, ttl: TTL }, dead, Steps::Kept);
    }

    #[test]
    fn what_failed_before_a_dead_letter_is_not_the_replays() {
        let failed_before = Entry { first_failed_at: Some(UnixMs(1)), ..claimed() };
        let dead = Finish::DeadLettered { message_id: MessageId("dead".into()), ttl: TTL };
        let change = finish(Some(failed_before), Fence(7), dead, NOW).expect("the claim is ours").expect("it changes");
        assert_eq!(change.entry.first_failed_at, None);
    }

    #[test]
    fn the_newest_dead_messages_are_remembered() {
        let id = |n: usize| MessageId(format!("m{n}"));
        let dead = (0..=DeadIds::MAX).fold(DeadIds::default(), |dead, n| dead.with(&id(n)));
        assert!(!dead.contains(&id(0)) && (1..=DeadIds::MAX).all(|n| dead.contains(&id(n))));
        assert_eq!(dead.as_bytes().len(), DeadIds::MAX * DeadIds::BYTES);
    }
}
