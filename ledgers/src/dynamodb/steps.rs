//! A key's recorded steps. Small values stand in the entry itself. A longer one is an item of its
//! own, named by what it holds, and the entry points to it: so every step is recorded by one write
//! of the entry, which asks for the fence.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use futures::StreamExt;
use wasq_core::message::{Key, UnixMs};

use super::item::{
    EXPIRES_AT, FENCE, Item, ItemKey, KEY, Reader, STATE, STEPS, VALUE, bytes, expires_at_s, fits, number, text,
};
use super::table::{Projection, Table, Written};
use super::update::Update;
use crate::entry::after;
use crate::ledger::CALLS_AT_ONCE;
use crate::ledger::{Fence, LedgerError};

/// The longest value that stands in the entry: every write of the entry costs by the entry's size.
const WITHIN_MAX_BYTES: usize = 1024;
/// The longest name that stands there; of a longer one it is the digest.
const NAME_MAX_BYTES: usize = 64;
/// How long a long value outlasts its writing. The message may stay in its queue for 14 days (SQS
/// allows no more), and after its last attempt the entry stays for as long again.
const KEPT: Duration = Duration::from_secs(28 * 24 * 60 * 60);

/// Records a step of the claim that `fence` was given for.
pub async fn put(table: &Table, key: Key, fence: Fence, name: &str, value: &[u8]) -> Result<(), LedgerError> {
    let name = stored_name(name);
    let recorded = if value.len() <= WITHIN_MAX_BYTES {
        bytes(value)
    } else {
        fits("a step", value)?;
        let digest = blake3::hash(value).to_hex();
        let mut item = item_key(key, &name, &digest).to_item();
        item.insert(VALUE.into(), bytes(value));
        item.insert(EXPIRES_AT.into(), number(expires_at_s(after(table.now()?.latest(), KEPT))));
        table.put(item).await?;
        text(&digest)
    };
    let update = Update::of_claim(fence).set_within(STEPS, &name, recorded);
    match table.update(&ItemKey::entry(key), update, ReturnValue::None).await? {
        Written::Done(_) => Ok(()),
        Written::Refused(_) => Err(LedgerError::Stale),
    }
}

/// What the step recorded, if the claim that `fence` was given for has not ended.
pub async fn get(table: &Table, key: Key, fence: Fence, name: &str) -> Result<Option<Vec<u8>>, LedgerError> {
    let name = stored_name(name);
    let names = [("#fence", FENCE), ("#state", STATE), ("#steps", STEPS), ("#name", &name)];
    let projection = Projection {
        expression: "#fence, #state, #steps.#name",
        names: names.map(|(placeholder, name)| (placeholder, name.to_owned())).into(),
    };
    let entry = table.get(&ItemKey::entry(key), Some(projection)).await?.ok_or(LedgerError::Stale)?;
    let read = Reader { key, item: &entry };
    if !read.is_claimed_by(fence)? {
        return Err(LedgerError::Stale);
    }
    match entry.get(STEPS).and_then(|steps| steps.as_m().ok()?.get(&name)) {
        None => Ok(None),
        Some(AttributeValue::B(value)) => Ok(Some(value.as_ref().to_vec())),
        Some(AttributeValue::S(digest)) => long_value(table, key, &name, digest).await.map(Some),
        Some(_) => Err(read.damaged(STEPS, "has a step that is no value")),
    }
}

/// Has the long values of an entry outlast `removable_at`: a dead letter may be kept for longer
/// than any message.
pub async fn keep_until(table: &Table, key: Key, entry: &Item, removable_at: UnixMs) -> Result<(), LedgerError> {
    let steps = entry.get(STEPS).and_then(|steps| steps.as_m().ok());
    let until_s = expires_at_s(after(removable_at, KEPT));
    let updates = steps.into_iter().flatten().filter_map(|(name, recorded)| {
        let item_key = item_key(key, name, recorded.as_s().ok()?);
        let update = Update::default().only_if_there(KEY).set(EXPIRES_AT, number(until_s));
        Some(async move { table.update(&item_key, update, ReturnValue::None).await })
    });
    let updates: Vec<_> = updates.collect();
    let mut answers = futures::stream::iter(updates).buffer_unordered(CALLS_AT_ONCE);
    while let Some(answer) = answers.next().await {
        answer?;
    }
    Ok(())
}

async fn long_value(table: &Table, key: Key, name: &str, digest: &str) -> Result<Vec<u8>, LedgerError> {
    let item = table.get(&item_key(key, name, digest), None).await?;
    let item = item.ok_or_else(|| LedgerError::Damaged(format!("{}: the value of a step is gone", key.to_hex())))?;
    let read = Reader { key, item: &item };
    let value = read.bytes(VALUE)?;
    if blake3::hash(&value).to_hex().as_str() != digest {
        return Err(read.damaged(VALUE, "is not what the step recorded"));
    }
    Ok(value)
}

/// Where a long value is. What it holds is part of its sort key: whoever lost the claim writes
/// beside what the owner has recorded, never over it.
fn item_key(key: Key, stored_name: &str, digest: &str) -> ItemKey {
    ItemKey { key, item: format!("step {digest} {stored_name}") }
}

/// A step's name as the entry has it. DynamoDB takes no empty name, and counts names as it does
/// values.
fn stored_name(name: &str) -> String {
    match name.len() {
        0..=NAME_MAX_BYTES => format!("n{name}"),
        _ => format!("d{}", blake3::hash(name.as_bytes()).to_hex()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_names_are_short_and_different() {
        let digest = blake3::hash(b"x").to_hex();
        let long = "n".repeat(1000);
        let names = ["", "n", "d", "nn", &digest, &format!("d{digest}"), &long, &long[1..]];
        let stored: std::collections::BTreeSet<_> = names.iter().map(|name| stored_name(name)).collect();
        assert_eq!(stored.len(), names.len(), "{stored:?}");
        assert!(stored.iter().all(|name| (1..=NAME_MAX_BYTES + 1).contains(&name.len())), "{stored:?}");
    }
}
