//! SQS's operations: one file a story, each with its requests and responses.

mod messages;
mod move_tasks;
mod queue_attributes;
mod queues;
mod receive;
mod send;
mod settle;
mod tags;

use std::{collections::HashSet, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize};
use wasq_sqs_rules::is_plain_name;

pub use self::receive::ReceiveMessage;
use super::{
    address::Account,
    error::{Code, SqsError, SqsResult},
    queue::Queue,
    service::{Service, must_exist},
};

/// All operations, by their names on the wire.
const OPERATIONS: [&str; 23] = [
    "AddPermission",
    "CancelMessageMoveTask",
    "ChangeMessageVisibility",
    "ChangeMessageVisibilityBatch",
    "CreateQueue",
    "DeleteMessage",
    "DeleteMessageBatch",
    "DeleteQueue",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "ListMessageMoveTasks",
    "ListQueueTags",
    "ListQueues",
    "PurgeQueue",
    "ReceiveMessage",
    "RemovePermission",
    "SendMessage",
    "SendMessageBatch",
    "SetQueueAttributes",
    "StartMessageMoveTask",
    "TagQueue",
    "UntagQueue",
];

/// Entries of a batch at most (SQS quotas, "Batched message").
const MAX_ENTRIES: usize = 10;

/// Who asks: what it calls a queue by its name means, and what queue URLs and ARNs in the answer
/// depend on.
pub struct Caller {
    /// `http://HOST`, as the client reached us.
    pub base_url: String,
    pub region: String,
    pub account: Account,
    /// The X-Ray trace that the request belongs to.
    pub trace: Option<String>,
}

impl Caller {
    fn queue_url(&self, queue: &Queue) -> String {
        self.url_of(queue.account(), &queue.name)
    }

    fn url_of(&self, account: Account, name: &str) -> String {
        format!("{}/{account}/{name}", self.base_url)
    }
}

/// The operation of this name, if there is one.
pub fn find(name: &str) -> Option<&'static str> {
    OPERATIONS.into_iter().find(|operation| *operation == name)
}

impl Service {
    /// The queue that a URL points to.
    ///
    /// # Errors
    /// `MissingParameter`, `QueueDoesNotExist`.
    fn at(&self, url: &str, caller: &Caller) -> SqsResult<Arc<Queue>> {
        if url.is_empty() {
            return Err(SqsError::missing("QueueUrl"));
        }
        must_exist(self.queues().at_url(url, &caller.region, caller.account))
    }
}

/// Reads a field that may be null, which is as if it were not there.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// An answer without content.
#[derive(Serialize)]
pub struct Empty {}

/// A request that names a queue and nothing else.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct QueueOnly {
    #[serde(default, deserialize_with = "or_default")]
    pub queue_url: String,
}

/// The answer to a batch.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct BatchAnswer<T> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    successful: Vec<T>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<FailedEntry>,
}

impl<T> BatchAnswer<T> {
    fn add(&mut self, id: &str, result: SqsResult<T>) {
        match result {
            Ok(successful) => self.successful.push(successful),
            Err(error) => self.failed.push(FailedEntry::new(id, error)),
        }
    }
}

impl<T> Default for BatchAnswer<T> {
    fn default() -> Self {
        Self { successful: Vec::new(), failed: Vec::new() }
    }
}

/// An entry of a batch that failed.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct FailedEntry {
    id: String,
    sender_fault: bool,
    code: &'static str,
    message: String,
}

impl FailedEntry {
    fn new(id: &str, error: SqsError) -> Self {
        Self {
            id: id.to_owned(),
            sender_fault: error.code.is_sender_fault(),
            code: error.code.query_name(),
            message: error.message,
        }
    }
}

/// Checks the ids of a batch's entries, of this type.
fn check_entries<'a>(entry_type: &str, ids: impl ExactSizeIterator<Item = &'a str>) -> SqsResult<()> {
    if ids.len() == 0 {
        let message = format!("There should be at least one {entry_type} in the request.");
        return Err(SqsError::new(Code::EmptyBatchRequest, message));
    }
    if ids.len() > MAX_ENTRIES {
        let message = format!("Maximum number of entries per request are {MAX_ENTRIES}. You have sent {}.", ids.len());
        return Err(SqsError::new(Code::TooManyEntriesInBatchRequest, message));
    }
    let mut seen = HashSet::new();
    for id in ids {
        if !is_plain_name(id) {
            let message = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can \
                           be at most 80 letters long.";
            return Err(SqsError::new(Code::InvalidBatchEntryId, message));
        }
        if !seen.insert(id) {
            return Err(SqsError::new(Code::BatchEntryIdsNotDistinct, format!("Id {id} repeated.")));
        }
    }
    Ok(())
}

/// A number that must lie in a range, if it is there.
fn in_range(parameter: &str, value: Option<i64>, min: u64, max: u64) -> SqsResult<Option<u64>> {
    in_range_or(parameter, value, min, max, || format!("Must be between {min} and {max}, if provided."))
}

/// As [`in_range`], with another reason for what lies outside.
fn in_range_or(
    parameter: &str,
    value: Option<i64>,
    min: u64,
    max: u64,
    reason: impl FnOnce() -> String,
) -> SqsResult<Option<u64>> {
    let Some(value) = value else { return Ok(None) };
    match u64::try_from(value) {
        Ok(number) if (min..=max).contains(&number) => Ok(Some(number)),
        _ => Err(SqsError::invalid_value(parameter, value, &reason())),
    }
}

#[cfg(test)]
mod tests;
