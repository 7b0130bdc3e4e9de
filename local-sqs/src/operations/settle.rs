//! DeleteMessage and ChangeMessageVisibility, one by one and in batches.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    super::{
        attributes::MAX_VISIBILITY_S,
        backlog::NotHidden,
        error::{Code, SqsError, SqsResult},
        log::Durability,
        queue::Queue,
        receipt::Receipt,
        record::Record,
        service::Service,
    },
    BatchAnswer, Caller, Empty, check_entries, in_range, or_default,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Settle {
    #[serde(default, deserialize_with = "or_default")]
    queue_url: String,
    #[serde(flatten)]
    entry: ChangeEntry,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SettleBatch {
    #[serde(default, deserialize_with = "or_default")]
    queue_url: String,
    #[serde(default, deserialize_with = "or_default")]
    entries: Vec<BatchEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchEntry {
    #[serde(default, deserialize_with = "or_default")]
    id: String,
    #[serde(flatten)]
    entry: ChangeEntry,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ChangeEntry {
    #[serde(default, deserialize_with = "or_default")]
    receipt_handle: String,
    visibility_timeout: Option<i64>,
}

/// An entry of a batch that succeeded.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Settled {
    id: String,
}

impl Service {
    pub async fn delete_message(&self, request: Settle, caller: &Caller) -> SqsResult<Empty> {
        let queue = self.at(&request.queue_url, caller)?;
        let result = self.delete(&queue, &[request.entry]).await?.remove(0);
        result.map(|()| Empty {})
    }

    pub async fn delete_message_batch(&self, request: SettleBatch, caller: &Caller) -> SqsResult<BatchAnswer<Settled>> {
        let queue = self.at(&request.queue_url, caller)?;
        let (ids, entries) = split("DeleteMessageBatchRequestEntry", request.entries)?;
        let results = self.delete(&queue, &entries).await?;
        Ok(batch_answer(ids, results))
    }

    pub async fn change_message_visibility(&self, request: Settle, caller: &Caller) -> SqsResult<Empty> {
        let queue = self.at(&request.queue_url, caller)?;
        let result = self.change_visibility(&queue, &[request.entry]).await?.remove(0);
        result.map(|()| Empty {})
    }

    pub async fn change_message_visibility_batch(
        &self,
        request: SettleBatch,
        caller: &Caller,
    ) -> SqsResult<BatchAnswer<Settled>> {
        let queue = self.at(&request.queue_url, caller)?;
        let (ids, entries) = split("ChangeMessageVisibilityBatchRequestEntry", request.entries)?;
        let results = self.change_visibility(&queue, &entries).await?;
        Ok(batch_answer(ids, results))
    }

    /// Deletes messages by their receipt handles. As in SQS, a stale handle succeeds and deletes
    /// nothing; only a FIFO queue refuses a handle whose visibility timeout is over.
    async fn delete(&self, queue: &Arc<Queue>, entries: &[ChangeEntry]) -> SqsResult<Vec<SqsResult<()>>> {
        let slot = self.log.slot().await?;
        let (stored, results) = {
            let mut state = queue.living_state()?;
            let now = self.clock.now();
            let mut deleted = Vec::new();
            let mut delete = |entry: &ChangeEntry| {
                let Receipt { seq, count, .. } = receipt(entry, queue, Unreadable::Quoted)?;
                let Some(message) = state.backlog.get(seq) else { return Ok(()) };
                let is_last = message.state.count == count;
                if queue.fifo && !state.backlog.is_in_flight(seq, count, now) {
                    let reason = "The receipt handle has expired.";
                    return Err(SqsError::invalid_value("ReceiptHandle", &entry.receipt_handle, reason));
                }
                if is_last && state.backlog.remove(seq) {
                    deleted.push(seq);
                }
                Ok(())
            };
            let results: Vec<SqsResult<()>> = entries.iter().map(&mut delete).collect();
            queue.wake(&state);
            let records = vec![Record::Delete(queue.number, deleted)];
            (slot.commit_and_tell(records, Vec::new(), Durability::System), results)
        };
        stored.await?;
        Ok(results)
    }

    async fn change_visibility(&self, queue: &Arc<Queue>, entries: &[ChangeEntry]) -> SqsResult<Vec<SqsResult<()>>> {
        let slot = self.log.slot().await?;
        let (stored, results) = {
            let mut state = queue.living_state()?;
            let now = self.clock.now();
            let mut changed = Vec::new();
            let mut change = |entry: &ChangeEntry| {
                let Receipt { seq, count, .. } = receipt(entry, queue, Unreadable::Unquoted)?;
                let visibility_s = in_range("VisibilityTimeout", entry.visibility_timeout, 0, MAX_VISIBILITY_S)?
                    .ok_or_else(|| SqsError::missing("VisibilityTimeout"))?;
                let max_ms = MAX_VISIBILITY_S * 1_000;
                let new = state.backlog.change_visibility(seq, count, visibility_s * 1_000, max_ms, now);
                changed.push((seq, new.map_err(|why| not_hidden(why, entry, visibility_s))?));
                Ok(())
            };
            let results: Vec<SqsResult<()>> = entries.iter().map(&mut change).collect();
            queue.wake(&state);
            let records = vec![Record::State(queue.number, changed)];
            (slot.commit_and_tell(records, Vec::new(), Durability::System), results)
        };
        stored.await?;
        Ok(results)
    }
}

fn split(entry_type: &str, entries: Vec<BatchEntry>) -> SqsResult<(Vec<String>, Vec<ChangeEntry>)> {
    check_entries(entry_type, entries.iter().map(|entry| entry.id.as_str()))?;
    Ok(entries.into_iter().map(|entry| (entry.id, entry.entry)).unzip())
}

fn batch_answer(ids: Vec<String>, results: Vec<SqsResult<()>>) -> BatchAnswer<Settled> {
    let mut answer = BatchAnswer::default();
    for (id, result) in ids.into_iter().zip(results) {
        answer.add(&id, result.map(|()| Settled { id: id.clone() }));
    }
    answer
}

/// How SQS speaks of a handle that is none: one way when a message is to be deleted, and another
/// when its visibility is to change.
enum Unreadable {
    Quoted,
    Unquoted,
}

fn receipt(entry: &ChangeEntry, queue: &Queue, unreadable: Unreadable) -> SqsResult<Receipt> {
    let handle = &entry.receipt_handle;
    if handle.is_empty() {
        return Err(SqsError::missing("ReceiptHandle"));
    }
    let receipt = Receipt::decode(handle);
    receipt.filter(|receipt| receipt.queue == queue.number).ok_or_else(|| {
        let message = match unreadable {
            Unreadable::Quoted if receipt.is_none() => {
                format!("The input receipt handle \"{handle}\" is not a valid receipt handle.")
            }
            Unreadable::Quoted | Unreadable::Unquoted => "The input receipt handle is invalid.".to_owned(),
        };
        SqsError::new(Code::ReceiptHandleIsInvalid, message)
    })
}

fn not_hidden(why: NotHidden, entry: &ChangeEntry, visibility_s: u64) -> SqsError {
    match why {
        NotHidden::Gone => {
            let reason = "Message does not exist or is not available for visibility timeout change.";
            SqsError::invalid_value("ReceiptHandle", &entry.receipt_handle, reason)
        }
        NotHidden::TooLong => {
            let reason = "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]";
            SqsError::invalid_value("VisibilityTimeout", visibility_s, reason)
        }
    }
}
