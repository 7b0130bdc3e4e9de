//! What a key's item holds, and how it is read back.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use wasq_core::message::{BodyDigest, Key, MessageId, UnixMs};

use super::time::Bounds;
use crate::config::DYNAMODB_VALUE_MAX_BYTES;
use crate::entry::{self, DeadIds, Entry, State};
use crate::ledger::{Fence, Fresh, LedgerError};

/// An item's attributes by their names.
pub type Item = HashMap<String, AttributeValue>;

/// The partition key, binary: a ledger key.
pub const KEY: &str = "key";
/// The sort key, a string: which of a key's items it is.
pub const ITEM: &str = "item";
/// The sort key of a key's record.
pub const ENTRY: &str = "entry";

/// When DynamoDB may remove the item, in seconds since 1970: the table's TTL attribute.
pub const EXPIRES_AT: &str = "expires_at";
/// What an item other than an entry is for.
pub const VALUE: &str = "value";
pub const REMOVABLE_AT: &str = "removable_at";
pub const STATE: &str = "state";
pub const FENCE: &str = "fence";
pub const ATTEMPTS: &str = "attempts";
pub const CRASHES: &str = "crashes";
pub const MESSAGE_ID: &str = "message_id";
pub const DEAD: &str = "dead";
pub const FIRST_FAILED_AT: &str = "first_failed_at";
pub const RESULT: &str = "result";
pub const DISCARDED: &str = "discarded";
pub const LEASE_UNTIL: &str = "lease_until";
pub const LEASE_MS: &str = "lease_ms";
pub const STEPS: &str = "steps";
const REPLAYS: &str = "replays";
pub const BODY: &str = "body";
pub const CLAIM_ID: &str = "claim_id";

/// The values of [`STATE`].
pub const CLAIMED: &str = "claimed";
pub const RELEASED: &str = "released";
pub const DONE: &str = "done";
pub const DEAD_LETTERED: &str = "dead-lettered";

/// A state as [`STATE`] has it.
pub fn word(state: &State) -> &'static str {
    match state {
        State::Claimed => CLAIMED,
        State::Released => RELEASED,
        State::Done { .. } => DONE,
        State::DeadLettered => DEAD_LETTERED,
    }
}

/// How long after its time DynamoDB may remove an item. Fences come from the time where there is no
/// entry, so an entry must outlast by far what the hosts' bounds on the time are apart.
const TTL_GRACE_S: u64 = 60 * 60;

/// Tells a claim, or a completion without one, from all others, so that one whose answer got lost
/// is recognised.
pub type ClaimId = [u8; 16];

/// An item's two keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemKey {
    pub key: Key,
    pub item: String,
}

impl ItemKey {
    pub fn entry(key: Key) -> Self {
        Self { key, item: ENTRY.into() }
    }

    pub fn to_item(&self) -> Item {
        Item::from([(KEY.into(), bytes(&self.key.0)), (ITEM.into(), text(&self.item))])
    }
}

/// How long a claim holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseEnd {
    /// By the server's clock.
    pub until: UnixMs,
    pub length: Duration,
}

impl LeaseEnd {
    /// A lease that begins now, and has ended for others when it has surely ended by the server's
    /// clock. One of no length has ended for them at once.
    pub fn of(lease: Duration, now: Bounds) -> Self {
        let until = if lease.is_zero() { UnixMs(0) } else { entry::after(now.latest(), lease) };
        Self { until, length: lease }
    }

    /// How much longer it may hold: not longer than it was when it began, though the bounds on the
    /// time may say so.
    fn remaining(self, now: Bounds) -> Option<Duration> {
        let left_ms = self.until.0.checked_sub(now.earliest().0).filter(|left_ms| *left_ms > 0)?;
        Some(Duration::from_millis(left_ms).min(self.length))
    }
}

/// A key's record as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadItem {
    pub entry: Entry,
    pub lease: LeaseEnd,
    pub claim_id: Vec<u8>,
}

impl ReadItem {
    /// # Errors
    /// [`LedgerError::Damaged`] names the key and the attribute that makes no sense.
    pub fn read(key: Key, item: &Item) -> Result<Self, LedgerError> {
        let read = Reader { key, item };
        let state = match read.text(STATE)? {
            CLAIMED => State::Claimed,
            RELEASED => State::Released,
            DONE => State::Done { result: read.if_there(RESULT, Reader::bytes)?, discarded: read.bool(DISCARDED)? },
            DEAD_LETTERED => State::DeadLettered,
            unknown => return Err(read.unknown_state(unknown)),
        };
        let entry = Entry {
            state,
            fence: Fence(read.number(FENCE)?),
            attempts: read.count(ATTEMPTS)?,
            crashes: read.count(CRASHES)?,
            replays: read.count(REPLAYS)?,
            body: BodyDigest(
                <[u8; 32]>::try_from(read.bytes(BODY)?).map_err(|_| read.damaged(BODY, "has not 32 bytes"))?,
            ),
            message_id: MessageId(read.text(MESSAGE_ID)?.to_owned()),
            dead: read.if_there(DEAD, Reader::dead_ids)?.unwrap_or_default(),
            first_failed_at: read.if_there(FIRST_FAILED_AT, Reader::number)?.map(UnixMs),
            removable_at: UnixMs(read.number(REMOVABLE_AT)?),
        };
        let length = Duration::from_millis(read.number(LEASE_MS)?);
        let lease = LeaseEnd { until: UnixMs(read.number(LEASE_UNTIL)?), length };
        Ok(Self { entry, lease, claim_id: read.bytes(CLAIM_ID)? })
    }

    /// What the claim that it is under has given out, where there was an entry before.
    pub fn fresh(&self) -> Fresh {
        let Entry { attempts, crashes, replays, fence, first_failed_at, .. } = self.entry;
        Fresh { attempt: attempts, crashes, replays, fence, first_failed_at, is_new: false }
    }

    /// How long a live claim on it still lasts.
    pub fn held_for(&self, now: Bounds) -> Option<Duration> {
        match self.entry.state {
            State::Claimed => self.lease.remaining(now),
            State::Released | State::Done { .. } | State::DeadLettered => None,
        }
    }
}

/// All attributes of an entry but its steps. The ones without a value must not be there.
pub fn attributes(entry: &Entry, lease: LeaseEnd, id: &ClaimId) -> Vec<(&'static str, Option<AttributeValue>)> {
    let Entry { state, fence, attempts, crashes, replays, body, message_id, dead, first_failed_at, removable_at } =
        entry;
    let marks: Vec<_> = dead.as_bytes().chunks(DeadIds::BYTES).map(bytes).collect();
    let (result, discarded) = match state {
        State::Done { result, discarded } => (result.as_deref().map(bytes), Some(AttributeValue::Bool(*discarded))),
        State::Claimed | State::Released | State::DeadLettered => (None, None),
    };
    let mut attributes = vec![
        (STATE, Some(text(word(state)))),
        (FENCE, Some(number(fence.0))),
        (ATTEMPTS, Some(number((*attempts).into()))),
        (CRASHES, Some(number((*crashes).into()))),
        (REPLAYS, Some(number((*replays).into()))),
        (BODY, Some(bytes(&body.0))),
        (MESSAGE_ID, Some(text(&message_id.0))),
        (DEAD, (!marks.is_empty()).then_some(AttributeValue::L(marks))),
        (FIRST_FAILED_AT, first_failed_at.map(|at| number(at.0))),
        (RESULT, result),
        (DISCARDED, discarded),
        (CLAIM_ID, Some(bytes(id))),
    ];
    attributes.extend(leased(lease).map(|(name, value)| (name, Some(value))));
    attributes.extend(kept_until(*removable_at).map(|(name, value)| (name, Some(value))));
    attributes
}

/// What says how long a claim holds.
pub fn leased(lease: LeaseEnd) -> [(&'static str, AttributeValue); 2] {
    let length_ms = u64::try_from(lease.length.as_millis()).unwrap_or(u64::MAX);
    [(LEASE_UNTIL, number(lease.until.0)), (LEASE_MS, number(length_ms))]
}

/// What says how long an item is kept.
pub fn kept_until(removable_at: UnixMs) -> [(&'static str, AttributeValue); 2] {
    [(REMOVABLE_AT, number(removable_at.0)), (EXPIRES_AT, number(expires_at_s(removable_at)))]
}

pub fn expires_at_s(removable_at: UnixMs) -> u64 {
    removable_at.0.div_ceil(1000) + TTL_GRACE_S
}

pub fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub fn bytes(value: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(value))
}

/// Reads attributes, and names the one that makes no sense.
pub struct Reader<'a> {
    pub key: Key,
    pub item: &'a Item,
}

impl<'a> Reader<'a> {
    fn if_there<T>(
        &self,
        name: &str,
        read: impl Fn(&Self, &str) -> Result<T, LedgerError>,
    ) -> Result<Option<T>, LedgerError> {
        self.item.contains_key(name).then(|| read(self, name)).transpose()
    }

    pub fn number(&self, name: &str) -> Result<u64, LedgerError> {
        let value = self.value(name)?.as_n().ok().and_then(|digits| digits.parse().ok());
        value.ok_or_else(|| self.damaged(name, "is no whole number"))
    }

    fn count(&self, name: &str) -> Result<u32, LedgerError> {
        u32::try_from(self.number(name)?).map_err(|_| self.damaged(name, "is too large"))
    }

    pub fn text(&self, name: &str) -> Result<&'a str, LedgerError> {
        self.value(name)?.as_s().map(String::as_str).map_err(|_| self.damaged(name, "is no string"))
    }

    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, LedgerError> {
        let value = self.value(name)?.as_b().map_err(|_| self.damaged(name, "is not binary"))?;
        Ok(value.as_ref().to_vec())
    }

    /// The latest of them: a list grows by the end of a claim, and is cut at the next claim.
    fn dead_ids(&self, name: &str) -> Result<DeadIds, LedgerError> {
        let marks = self.value(name)?.as_l().map_err(|_| self.damaged(name, "is no list"))?;
        let latest = &marks[marks.len().saturating_sub(DeadIds::MAX)..];
        let mut all = Vec::with_capacity(latest.len() * DeadIds::BYTES);
        for mark in latest {
            all.extend(mark.as_b().map_err(|_| self.damaged(name, "holds what is not binary"))?.as_ref());
        }
        DeadIds::from_bytes(all).ok_or_else(|| self.damaged(name, "holds marks of a wrong length"))
    }

    pub fn bool(&self, name: &str) -> Result<bool, LedgerError> {
        self.value(name)?.as_bool().copied().map_err(|_| self.damaged(name, "is no boolean"))
    }

    fn value(&self, name: &str) -> Result<&'a AttributeValue, LedgerError> {
        self.item.get(name).ok_or_else(|| self.damaged(name, "is missing"))
    }

    /// Whether the claim that `fence` was given for stands.
    pub fn is_claimed_by(&self, fence: Fence) -> Result<bool, LedgerError> {
        let is_theirs = self.number(FENCE)? == fence.0;
        match self.text(STATE)? {
            CLAIMED => Ok(is_theirs),
            RELEASED | DONE | DEAD_LETTERED => Ok(false),
            unknown => Err(self.unknown_state(unknown)),
        }
    }

    fn unknown_state(&self, state: &str) -> LedgerError {
        LedgerError::Damaged(format!("{}: {}", self.key.to_hex(), entry::unknown_state(state.escape_debug())))
    }

    pub fn damaged(&self, name: &str, what: &str) -> LedgerError {
        LedgerError::Damaged(format!("{}: its attribute `{name}` {what}", self.key.to_hex()))
    }
}

/// Whether a value goes into an item of its own.
pub fn fits(what: &str, value: &[u8]) -> Result<(), LedgerError> {
    if value.len() <= DYNAMODB_VALUE_MAX_BYTES {
        return Ok(());
    }
    let len = value.len();
    Err(LedgerError::TooLarge(format!(
        "{what} has {len} bytes, an item in DynamoDB at most {DYNAMODB_VALUE_MAX_BYTES}"
    )))
}

#[cfg(test)]
mod tests;
