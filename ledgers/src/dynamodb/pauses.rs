//! A service's pauses, in one item that does not expire: an attribute each, so that two that are
//! made at once both stand, and one read brings all.

use aws_sdk_dynamodb::types::ReturnValue;
use wasq_core::message::Key;
use wasq_core::pause::{Pause, Target};

use super::item::{ITEM, ItemKey, KEY, Reader, text};
use super::table::Table;
use super::update::Update;
use crate::ledger::LedgerError;
use crate::pauses;

/// The sort key of the item.
const PAUSES: &str = "pauses";

pub async fn put(table: &Table, service: &str, pause: &Pause) -> Result<(), LedgerError> {
    let update = Update::default().set(&attribute(&pause.target), text(&pauses::to_json(pause)));
    table.update(&item_key(service), update, ReturnValue::None).await.map(drop)
}

pub async fn remove(table: &Table, service: &str, target: &Target) -> Result<(), LedgerError> {
    let update = Update::default().remove(&attribute(target));
    table.update(&item_key(service), update, ReturnValue::None).await.map(drop)
}

pub async fn all(table: &Table, service: &str) -> Result<Vec<Pause>, LedgerError> {
    let item_key = item_key(service);
    let Some(item) = table.get(&item_key, None).await? else { return Ok(Vec::new()) };
    let read = Reader { key: item_key.key, item: &item };
    let names = item.keys().filter(|name| *name != KEY && *name != ITEM);
    // One that is no text cannot be read, and is logged as such.
    let records = names.map(|name| read.text(name).unwrap_or_default());
    Ok(records.filter_map(|json| pauses::from_json(None, json.as_bytes())).collect())
}

fn item_key(service: &str) -> ItemKey {
    ItemKey { key: Key::derive(&[PAUSES.as_bytes(), service.as_bytes()]), item: PAUSES.into() }
}

/// A name that fits an expression whatever the target's is.
fn attribute(target: &Target) -> String {
    format!("pause_{}", Key::derive(&[target.to_string().as_bytes()]).to_hex())
}
