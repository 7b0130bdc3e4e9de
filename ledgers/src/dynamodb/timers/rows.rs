//! What stands in the table for a timer: the timer itself, in a partition of its own, and a *hint*
//! in one of the service's shards, which says when to look at it.
//!
//! The timer is the truth, and changes under its fence. A hint belongs to one fence of its timer,
//! and is put before the timer gets that fence. So a timer has its hint, whoever dies when; and a
//! hint whose fence the timer has left behind is of no use.

use bytes::Bytes;
use wasq_core::message::{Key, UnixMs};

use crate::dynamodb::item::{FENCE, ITEM, Item, ItemKey, Reader, VALUE, bytes, number, text};
use crate::ledger::{Fence, LedgerError};
use crate::timers::{Place, TimerId};
use aws_sdk_dynamodb::types::AttributeValue;

/// Parts of a service's timers, by their ids. With four writes of a shard for each timer, and 1,000
/// a second that a partition takes, that is room for 16,000 timers a second.
pub const SHARDS: u8 = 64;
/// What a timer's item may have with its message: a write of it costs by the KB. A longer message
/// has items of its own, which are written once.
const WITHIN_MAX_BYTES: usize = 1024;
/// A part of a longer message: what an item has room for (400 KB), also where its bytes are counted
/// as base64, as by moto.
const PART_MAX_BYTES: usize = 256 * 1024;
/// What an item without its id, queue and message has.
const FIXED_BYTES: usize = 160;

/// Stands where an error would name an item's key: it names the timer.
const NO_KEY: Key = Key([0; 32]);

/// The sort key of a timer's item.
const TIMER: &str = "timer";

const ID: &str = "id";
const QUEUE: &str = "queue";
const DUE: &str = "due";
pub const LOOK: &str = "look";
const TAKEN: &str = "taken";
const BYTES: &str = "bytes";
const PARTS: &str = "parts";
const WRITTEN: &str = "written";
const PUT_AT: &str = "put_at";

/// Where a service's timers are.
#[derive(Clone, Debug)]
pub struct Scope {
    pub service: String,
}

impl Scope {
    fn key(&self, of: &str, which: &[u8]) -> Key {
        Key::derive(&[of.as_bytes(), self.service.as_bytes(), which])
    }

    pub fn timer(&self, id: &TimerId) -> ItemKey {
        ItemKey { key: self.key("timer", id.0.as_bytes()), item: TIMER.into() }
    }

    pub fn part_keys(&self, id: &TimerId, parts: Parts) -> Vec<ItemKey> {
        let key = self.timer(id).key;
        let part = |n| ItemKey { key, item: format!("message {} {n}", parts.written.0) };
        (0..parts.count).map(part).collect()
    }

    pub fn shard_of(&self, id: &TimerId) -> u8 {
        self.timer(id).key.0[0] % SHARDS
    }

    pub fn shard(&self, shard: u8) -> Key {
        self.key("timers", &[shard])
    }

    /// The partition that says when to look at which shard.
    pub fn directory(&self) -> Key {
        self.key("timer shards", &[])
    }
}

/// Items that a message is in: how many, and the fence under which they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    pub count: u32,
    pub written: Fence,
}

/// Where a timer's message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Within(Bytes),
    Apart(Parts),
}

impl Body {
    /// Where a message of a timer goes, and the items that have to be written for it.
    pub fn of(scope: &Scope, id: &TimerId, queue: &str, message: Bytes, written: Fence) -> (Self, Vec<Item>) {
        if FIXED_BYTES + id.0.len() + queue.len() + message.len() <= WITHIN_MAX_BYTES {
            return (Self::Within(message), Vec::new());
        }
        let chunks: Vec<_> = message.chunks(PART_MAX_BYTES).collect();
        let parts = Parts { count: chunks.len() as u32, written };
        let item = |(part, chunk): (ItemKey, &[u8])| {
            let mut item = part.to_item();
            item.insert(VALUE.into(), bytes(chunk));
            item
        };
        (Self::Apart(parts), scope.part_keys(id, parts).into_iter().zip(chunks).map(item).collect())
    }

    pub fn message_parts(&self) -> Option<Parts> {
        match self {
            Self::Within(_) => None,
            Self::Apart(parts) => Some(*parts),
        }
    }
}

/// A timer as its item has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub id: TimerId,
    pub queue: String,
    pub due: UnixMs,
    /// When its hint says to look.
    pub look: UnixMs,
    pub is_taken: bool,
    pub fence: Fence,
    pub bytes: usize,
    pub body: Body,
}

impl Stored {
    pub fn read(id: &TimerId, item: &Item) -> Result<Self, LedgerError> {
        let read = reader(item);
        let stored = || {
            let body = match item.contains_key(PARTS) {
                true => Body::Apart(read_message_parts(&read)?),
                false => Body::Within(read.bytes(VALUE)?.into()),
            };
            Ok(Self {
                id: TimerId(read.text(ID)?.to_owned()),
                queue: read.text(QUEUE)?.to_owned(),
                due: UnixMs(read.number(DUE)?),
                look: UnixMs(read.number(LOOK)?),
                is_taken: read.bool(TAKEN)?,
                fence: Fence(read.number(FENCE)?),
                bytes: usize::try_from(read.number(BYTES)?).unwrap_or(usize::MAX),
                body,
            })
        };
        stored().map_err(|error| damaged(id, &error))
    }

    /// All attributes but the keys. Those without a value must not be there.
    pub fn attributes(&self) -> Vec<(&'static str, Option<AttributeValue>)> {
        let within = match &self.body {
            Body::Within(message) => Some(bytes(message)),
            Body::Apart(_) => None,
        };
        let parts = self.body.message_parts();
        vec![
            (ID, Some(text(&self.id.0))),
            (QUEUE, Some(text(&self.queue))),
            (DUE, Some(number(self.due.0))),
            (LOOK, Some(number(self.look.0))),
            (TAKEN, Some(AttributeValue::Bool(self.is_taken))),
            (FENCE, Some(number(self.fence.0))),
            (BYTES, Some(number(self.bytes as u64))),
            (VALUE, within),
            (PARTS, parts.map(|parts| number(parts.count.into()))),
            (WRITTEN, parts.map(|parts| number(parts.written.0))),
        ]
    }

    /// What changes when a host takes it, under another fence.
    pub fn taken(look: UnixMs, fence: Fence) -> [(&'static str, AttributeValue); 3] {
        [(LOOK, number(look.0)), (TAKEN, AttributeValue::Bool(true)), (FENCE, number(fence.0))]
    }

    pub fn to_item(&self, scope: &Scope) -> Item {
        let mut item = scope.timer(&self.id).to_item();
        item.extend(self.attributes().into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        item
    }

    pub fn hint(&self, put_at: UnixMs) -> Hint {
        Hint {
            look: self.look,
            fence: self.fence,
            id: self.id.clone(),
            queue: self.queue.clone(),
            due: self.due,
            is_taken: self.is_taken,
            bytes: self.bytes,
            parts: self.body.message_parts(),
            put_at,
        }
    }
}

/// When to look at a timer that has this fence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    pub look: UnixMs,
    pub fence: Fence,
    pub id: TimerId,
    pub queue: String,
    pub due: UnixMs,
    pub is_taken: bool,
    pub bytes: usize,
    pub parts: Option<Parts>,
    /// When it was put there, at the earliest.
    pub put_at: UnixMs,
}

impl Hint {
    pub fn read(item: &Item) -> Result<Self, LedgerError> {
        let read = reader(item);
        let (look, _) = read_sort_key(read.text(ITEM)?).ok_or_else(|| read.damaged(ITEM, "is no place"))?;
        Ok(Self {
            look,
            fence: Fence(read.number(FENCE)?),
            id: TimerId(read.text(ID)?.to_owned()),
            queue: read.text(QUEUE)?.to_owned(),
            due: UnixMs(read.number(DUE)?),
            is_taken: read.bool(TAKEN)?,
            bytes: usize::try_from(read.number(BYTES)?).unwrap_or(usize::MAX),
            parts: if item.contains_key(PARTS) { Some(read_message_parts(&read)?) } else { None },
            put_at: UnixMs(read.number(PUT_AT)?),
        })
    }

    pub fn item_key(&self, scope: &Scope) -> ItemKey {
        hint_key(scope, &self.id, self.look, self.fence)
    }

    pub fn to_item(&self, scope: &Scope) -> Item {
        let mut item = self.item_key(scope).to_item();
        item.insert(FENCE.into(), number(self.fence.0));
        item.insert(ID.into(), text(&self.id.0));
        item.insert(QUEUE.into(), text(&self.queue));
        item.insert(DUE.into(), number(self.due.0));
        item.insert(TAKEN.into(), AttributeValue::Bool(self.is_taken));
        item.insert(BYTES.into(), number(self.bytes as u64));
        item.insert(PUT_AT.into(), number(self.put_at.0));
        if let Some(parts) = self.parts {
            item.insert(PARTS.into(), number(parts.count.into()));
            item.insert(WRITTEN.into(), number(parts.written.0));
        }
        item
    }
}

/// The hint of a timer that has this fence: shards are in the order of when to look.
pub fn hint_key(scope: &Scope, id: &TimerId, look: UnixMs, fence: Fence) -> ItemKey {
    let digest = scope.timer(id).key.to_hex();
    let item = format!("{} {:020} {}", from(look), fence.0, &digest[..16]);
    ItemKey { key: scope.shard(scope.shard_of(id)), item }
}

/// The least sort key of a moment.
pub fn from(look: UnixMs) -> String {
    format!("{:016}", look.0)
}

/// A sort key's moment, and what tells it from those of the same.
pub fn read_sort_key(item: &str) -> Option<(UnixMs, &str)> {
    let (look, tie) = item.split_once(' ')?;
    Some((UnixMs(look.parse().ok()?), tie))
}

/// The least sort key behind a place.
pub fn behind(after: &Place) -> String {
    format!("{} {}\u{1}", from(after.look), after.tie)
}

fn read_message_parts(read: &Reader<'_>) -> Result<Parts, LedgerError> {
    let count = u32::try_from(read.number(PARTS)?).map_err(|_| read.damaged(PARTS, "is too large"))?;
    Ok(Parts { count, written: Fence(read.number(WRITTEN)?) })
}

/// Errors name the timer, and not the item's key.
fn reader(item: &Item) -> Reader<'_> {
    Reader { key: NO_KEY, item }
}

pub fn damaged(id: &TimerId, error: &LedgerError) -> LedgerError {
    match error {
        LedgerError::Damaged(what) => {
            let what = what.strip_prefix(&format!("{}: ", NO_KEY.to_hex())).unwrap_or(what);
            LedgerError::Damaged(format!("timer {:?}: {what}", id.0))
        }
        error => error.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(message: usize) -> (Scope, Stored, Vec<Item>) {
        let (scope, id) = (Scope { service: "shop".into() }, TimerId("a\u{1f9fe}".into()));
        let (body, items) = Body::of(&scope, &id, "mail", vec![7; message].into(), Fence(5));
        let stored = Stored {
            id,
            queue: "mail".into(),
            due: UnixMs(1_000),
            look: UnixMs(2_000),
            is_taken: true,
            fence: Fence(6),
            bytes: message,
            body,
        };
        (scope, stored, items)
    }

    #[test]
    fn a_timer_and_its_hint_are_read_back() {
        for (message, items) in [(0, 0), (700, 0), (1_024, 1), (1024 * 1024, 4)] {
            let (scope, stored, parts) = stored(message);
            assert_eq!(parts.len(), items, "{message}");
            assert_eq!(Stored::read(&stored.id, &stored.to_item(&scope)).unwrap(), stored);
            let hint = stored.hint(UnixMs(900));
            assert_eq!(Hint::read(&hint.to_item(&scope)).unwrap(), hint);
        }
    }

    #[test]
    fn hints_stand_in_the_order_of_their_times() {
        let (scope, stored, _) = stored(0);
        let key = |look, fence| hint_key(&scope, &stored.id, UnixMs(look), Fence(fence)).item;
        let keys = [key(9, 10), key(10, 9), key(10, 10), key(1_000, 1), key(crate::timers::END_OF_TIME.0, 1)];
        assert!(keys.is_sorted(), "{keys:?}");
        let (look, tie) = read_sort_key(&keys[1]).unwrap();
        let behind = behind(&Place { look, tie: tie.to_owned() });
        assert!(keys[1] < behind && behind < keys[2], "{behind}");
    }

    #[test]
    fn what_cannot_be_read_names_the_timer_and_the_attribute() {
        let (scope, stored, _) = stored(0);
        let mut item = stored.to_item(&scope);
        item.remove(QUEUE);
        let error = Stored::read(&stored.id, &item).unwrap_err().to_string();
        assert!(error.contains("timer \"a\u{1f9fe}\"") && error.contains("`queue` is missing"), "{error}");
    }
}
