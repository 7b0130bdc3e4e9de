//! Appends an order to the audit log, where each entry is chained to the one before it by a hash.

use serde::{Deserialize, Serialize};
use wasq_sdk::{Context, Failure, tracing};

/// How often one attempt begins anew because another writer was first.
const MAX_TRIES: usize = 3;

/// What is kept of an order. The fields stand in alphabetical order: so the JSON is canonical, and
/// an auditor can compute the hash without this code.
#[derive(Debug, Deserialize, Serialize)]
pub struct Entry {
    currency: String,
    items: Vec<Item>,
    order_id: String,
    placed_at: String,
    total_cents: u64,
}

#[derive(Debug, Deserialize, Serialize)]
struct Item {
    quantity: u32,
    sku: String,
    unit_price_cents: u64,
}

/// The end of the log.
#[derive(Deserialize)]
struct Head {
    sequence: u64,
    hash: String,
}

#[derive(Serialize)]
struct Append<'a> {
    sequence: u64,
    previous: &'a str,
    entry: &'a Entry,
    hash: String,
}

/// Appends one entry. The service keeps the message's key, so an entry that is already there is not
/// written again.
#[wasq_sdk::handler]
pub fn order_completed(entry: Entry, cx: &Context) -> Result<(), Failure> {
    let api = cx.variable("audit_api")?;
    for _ in 0..MAX_TRIES {
        let head: Head = cx.http().get(format!("{api}/head")).send()?.error_for_status()?.json()?;
        let sequence = head.sequence.checked_add(1).ok_or("the audit log's sequence has come to its end")?;
        let append = Append { sequence, previous: &head.hash, entry: &entry, hash: hash(&head.hash, &entry)? };
        let response = cx.http().post(format!("{api}/entries")).idempotency_key().json(&append).send()?;
        if response.status() == 409 {
            tracing::debug!(sequence, "another writer was first");
            continue;
        }
        response.error_for_status()?;
        tracing::info!(order_id = entry.order_id, "order is in the audit log");
        return Ok(());
    }
    Err(Failure::retry(format!("another writer was first {MAX_TRIES} times in a row")))
}

/// BLAKE3 over the previous entry's hash, in its hexadecimal digits, and the entry's JSON.
fn hash(previous: &str, entry: &Entry) -> Result<String, Failure> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous.as_bytes());
    hasher.update(&serde_json::to_vec(entry)?);
    Ok(hasher.finalize().to_hex().to_string())
}
