//! The documents, an item each, spread over 64 partitions of the service by their ids: no index, no
//! scan. A list asks all of the partitions, for people.
//!
//! Every change is one conditional write. Time is the server's, known within bounds: what is kept
//! until the latest has surely been kept so long.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::ReturnValue;
use futures::StreamExt;
use wasq_core::message::Key;

use super::calls::Range;
use super::item::{CLAIM_ID, FENCE, ITEM, Item, ItemKey, REMOVABLE_AT, Reader, VALUE, bytes, kept_until, number};
use super::table::{Table, Written};
use super::time::Bounds;

use super::update::Update;
use crate::documents::{Document, Documents, ID_MAX_BYTES, LIST_MAX, Listed, Put};
use crate::entry::after;
use crate::ledger::{CALLS_AT_ONCE, Fence, LedgerError};

/// Partitions of a service's documents. One takes 1,000 writes a second.
const PARTITIONS: u8 = 64;
/// What stands behind all ids that begin alike, behind what they begin with.
fn last() -> String {
    char::MAX.to_string().repeat(ID_MAX_BYTES / char::MAX.len_utf8())
}

/// The documents of a service in a table.
pub struct DynamodbDocuments {
    table: Table,
    service: String,
}

impl DynamodbDocuments {
    pub fn new(table: Table, service: &str) -> Self {
        Self { table, service: service.to_owned() }
    }

    fn partition(&self, number: u8) -> Key {
        Key::derive(&[b"documents", self.service.as_bytes(), &[number]])
    }

    fn item_key(&self, id: &str) -> ItemKey {
        let spread = Key::derive(&[id.as_bytes()]).0[0] % PARTITIONS;
        ItemKey { key: self.partition(spread), item: id.to_owned() }
    }

    /// What a partition has of a list.
    async fn list_of(&self, number: u8, from: &str, to: &str, limit: usize) -> Result<Vec<Listed>, LedgerError> {
        let (key, mut from, mut listed) = (self.partition(number), from.to_owned(), Vec::new());
        let now = self.table.now()?;
        // A page of DynamoDB's may end early, and has what is over among the others.
        while listed.len() < limit && from.as_str() <= to {
            let range = Range { key, from: Some(&from), to: Some(to), limit: limit + 1, is_consistent: true };
            let items = self.table.query(range).await?;
            let Some(last) = items.last().and_then(|item| item.get(ITEM)?.as_s().ok()) else { break };
            from = format!("{last}\0");
            for item in &items {
                let id = Reader { key, item }.text(ITEM)?.to_owned();
                if let Some(document) = read(key, item, now)? {
                    listed.push(Listed { id, value: document.value });
                }
            }
        }
        Ok(listed)
    }
}

/// The document that an item is; none if its time is over.
fn read(key: Key, item: &Item, now: Bounds) -> Result<Option<Document>, LedgerError> {
    let read = Reader { key, item };
    if read.number(REMOVABLE_AT)? <= now.latest().0 {
        return Ok(None);
    }
    Ok(Some(Document { fence: Fence(read.number(FENCE)?), value: read.bytes(VALUE)?.into() }))
}

#[async_trait]
impl Documents for DynamodbDocuments {
    async fn get(&self, id: &str) -> Result<Option<Document>, LedgerError> {
        let item_key = self.item_key(id);
        match self.table.get(&item_key, None).await? {
            Some(item) => read(item_key.key, &item, self.table.now()?),
            None => Ok(None),
        }
    }

    async fn put(&self, put: Put) -> Result<Fence, LedgerError> {
        put.fits()?;
        let (item_key, now) = (self.item_key(&put.id), self.table.now()?);
        let written_by = *uuid::Uuid::new_v4().as_bytes();
        let last = put.expects.map_or(0, |fence| fence.0);
        let fence = Fence(last.saturating_add(1).max(now.latest_us()));
        let until = after(now.earliest(), put.kept);
        let attributes = |fence: Fence| {
            let own = [(FENCE, number(fence.0)), (VALUE, bytes(&put.value)), (CLAIM_ID, bytes(&written_by))];
            own.into_iter().chain(kept_until(until))
        };
        // The write was made, and its answer was lost: the SDK has tried it again.
        let is_ours = |item: &Item| {
            let written = Reader { key: item_key.key, item }.bytes(CLAIM_ID);
            written.is_ok_and(|written| written == written_by)
        };
        let expects = match put.expects {
            Some(fence) => fence,
            None => {
                let mut item = item_key.to_item();
                item.extend(attributes(fence).map(|(name, value)| (name.to_owned(), value)));
                let refusal = match self.table.put_new(item).await? {
                    Written::Done(_) => return Ok(fence),
                    Written::Refused(item) => item,
                };
                let item = match refusal {
                    Some(item) => item,
                    None => self.table.get(&item_key, None).await?.ok_or(LedgerError::Stale)?,
                };
                match read(item_key.key, &item, now)? {
                    Some(_) if is_ours(&item) => return Ok(fence),
                    Some(_) => return Err(LedgerError::Stale),
                    // It is over, and the table has not removed it yet.
                    None => Fence(Reader { key: item_key.key, item: &item }.number(FENCE)?),
                }
            }
        };
        let fence = Fence(fence.0.max(expects.0.saturating_add(1)));
        let update = Update::default().only_if(FENCE, number(expects.0));
        // What is over is nobody's to change; what is written anew over it may be.
        let update = match put.expects {
            Some(_) => update.only_if_above(REMOVABLE_AT, number(now.latest().0)),
            None => update,
        };
        let update = update.set_all(attributes(fence));
        match self.table.update(&item_key, update, ReturnValue::None).await? {
            Written::Done(_) => Ok(fence),
            Written::Refused(Some(item)) if is_ours(&item) => Ok(fence),
            Written::Refused(_) => Err(LedgerError::Stale),
        }
    }

    async fn list(&self, prefix: &str, limit: usize, after: Option<&str>) -> Result<Vec<Listed>, LedgerError> {
        let limit = limit.min(LIST_MAX);
        let from = match after {
            Some(after) if after >= prefix => format!("{after}\0"),
            // No id is empty, and DynamoDB takes no key that is.
            Some(_) | None if prefix.is_empty() => "\0".to_owned(),
            Some(_) | None => prefix.to_owned(),
        };
        let to = format!("{prefix}{}", last());
        let calls: Vec<_> = (0..PARTITIONS).map(|number| self.list_of(number, &from, &to, limit)).collect();
        let answers: Vec<_> = futures::stream::iter(calls).buffered(CALLS_AT_ONCE).collect().await;
        let mut listed = answers.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
        listed.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        listed.truncate(limit);
        Ok(listed)
    }
}
