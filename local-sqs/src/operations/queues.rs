//! Creating, finding, purging and deleting queues.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::{
    super::{
        attributes::{self, QueueAttributes},
        clock::wall_ms,
        error::{Code, SqsError, SqsResult},
        log::Durability,
        record::{Definition, Record, is_fifo},
        service::{ACCOUNT, Queue, QueueState, Service},
    },
    Caller, Empty, QueueOnly, in_range,
    queue_attributes::merge,
};

/// Queues in one page of a listing at most (ListQueues in the API reference).
const MAX_PAGE: u64 = 1_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateQueue {
    #[serde(default)]
    queue_name: String,
    #[serde(default)]
    attributes: QueueAttributes,
    #[serde(default, rename = "tags")]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetQueueUrl {
    #[serde(default)]
    queue_name: String,
    #[serde(rename = "QueueOwnerAWSAccountId")]
    owner: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct QueueUrl {
    queue_url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListQueues {
    #[serde(default)]
    queue_name_prefix: String,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct QueueUrls {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queue_urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListDeadLetterSourceQueues {
    #[serde(default)]
    queue_url: String,
    next_token: Option<String>,
    max_results: Option<i64>,
}

/// As [`QueueUrls`]; SQS spells this one differently.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SourceQueueUrls {
    #[serde(rename = "queueUrls")]
    queue_urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Service {
    pub async fn create_queue(&self, request: CreateQueue, caller: &Caller) -> SqsResult<QueueUrl> {
        let name = request.queue_name;
        check_name(&name)?;
        attributes::check(&request.attributes, is_fifo(&name))?;
        if is_fifo(&name) && !request.attributes.contains_key("FifoQueue") {
            let message = "The queue name ends with .fifo, so the attribute FifoQueue must be true.";
            return Err(SqsError::new(Code::InvalidParameterValue, message));
        }
        self.check_redrive(&name, &request.attributes)?;
        let queue_url = caller.queue_url(&name);
        let slot = self.log.slot().await?;
        let stored = {
            let mut queues = self.queues_mut();
            if let Some(queue) = queues.get(&name) {
                same_attributes(&queue.state(), &request.attributes)?;
                return Ok(QueueUrl { queue_url });
            }
            let mut attributes = attributes::defaults(is_fifo(&name));
            merge(&mut attributes, request.attributes);
            let now_s = wall_ms() / 1_000;
            let definition = Definition {
                number: self.new_number(),
                name: name.clone(),
                attributes,
                tags: request.tags,
                permissions: BTreeMap::new(),
                created_s: now_s,
                modified_s: now_s,
                next_seq: 1,
            };
            queues.insert(name.clone(), Arc::new(Queue::new(definition.clone())));
            slot.commit_and_tell(vec![Record::Queue(definition)], Vec::new(), Durability::Disk)
        };
        if let Err(error) = stored.await {
            self.queues_mut().remove(&name);
            return Err(error.into());
        }
        Ok(QueueUrl { queue_url })
    }

    pub async fn get_queue_url(&self, request: GetQueueUrl, caller: &Caller) -> SqsResult<QueueUrl> {
        let is_ours = request.owner.as_deref().is_none_or(|owner| owner == ACCOUNT);
        let queue = self.named(&request.queue_name).filter(|_| is_ours).ok_or_else(SqsError::no_queue)?;
        Ok(QueueUrl { queue_url: caller.queue_url(&queue.name) })
    }

    pub async fn list_queues(&self, request: ListQueues, caller: &Caller) -> SqsResult<QueueUrls> {
        let mut names: Vec<String> = self.queues().keys().cloned().collect();
        names.retain(|name| name.starts_with(&request.queue_name_prefix));
        let (names, next_token) = page(names, request.max_results, request.next_token)?;
        Ok(QueueUrls { queue_urls: names.iter().map(|name| caller.queue_url(name)).collect(), next_token })
    }

    pub async fn list_dead_letter_source_queues(
        &self,
        request: ListDeadLetterSourceQueues,
        caller: &Caller,
    ) -> SqsResult<SourceQueueUrls> {
        let names = self.sources_of(&self.at(&request.queue_url)?.name);
        let (names, next_token) = page(names, request.max_results, request.next_token)?;
        Ok(SourceQueueUrls { queue_urls: names.iter().map(|name| caller.queue_url(name)).collect(), next_token })
    }

    pub async fn delete_queue(&self, request: QueueOnly) -> SqsResult<Empty> {
        let slot = self.log.slot().await?;
        let stored = {
            let queue = self.at(&request.queue_url)?;
            let mut queues = self.queues_mut();
            let mut state = queue.living_state()?;
            queues.remove(&queue.name);
            state.deleted = true;
            state.backlog.clear();
            queue.arrived.notify_waiters();
            slot.commit_and_tell(vec![Record::DropQueue(queue.number)], Vec::new(), Durability::Disk)
        };
        stored.await?;
        Ok(Empty {})
    }

    /// Purges at once, so there is never a purge in progress, for which SQS has an error of its
    /// own.
    pub async fn purge_queue(&self, request: QueueOnly) -> SqsResult<Empty> {
        let queue = self.at(&request.queue_url)?;
        let slot = self.log.slot().await?;
        let stored = {
            let mut state = queue.living_state()?;
            state.backlog.clear();
            let record = Record::Purge(queue.number, state.definition.next_seq);
            slot.commit_and_tell(vec![record], Vec::new(), Durability::Disk)
        };
        stored.await?;
        Ok(Empty {})
    }

    /// The names of the queues whose dead letters go to the queue of this name.
    pub(super) fn sources_of(&self, target: &str) -> Vec<String> {
        let is_source = |queue: &Queue| queue.state().settings.redrive.as_ref().is_some_and(|to| to.target == target);
        self.queues().values().filter(|queue| is_source(queue)).map(|queue| queue.name.clone()).collect()
    }
}

/// Names have 1 to 80 letters, digits, hyphens and underscores, with `.fifo` at the end of FIFO
/// queues' (CreateQueue in the API reference).
fn check_name(name: &str) -> SqsResult<()> {
    const MAX_NAME_CHARS: usize = 80;
    let plain = name.strip_suffix(".fifo").unwrap_or(name);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !plain.is_empty() && name.len() <= MAX_NAME_CHARS && plain.bytes().all(allowed) {
        return Ok(());
    }
    let message = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length";
    Err(SqsError::new(Code::InvalidParameterValue, message))
}

fn same_attributes(state: &QueueState, wanted: &QueueAttributes) -> SqsResult<()> {
    let has = &state.definition.attributes;
    let differs = |(name, value): &(&String, &String)| has.get(*name).map_or("", String::as_str) != value.as_str();
    match wanted.iter().find(differs) {
        None => Ok(()),
        Some((name, _)) => {
            let message =
                format!("A queue already exists with the same name and a different value for attribute {name}");
            Err(SqsError::new(Code::QueueNameExists, message))
        }
    }
}

/// One page of names in their order, and the token for the next. Without a page size there is no
/// token.
fn page(
    mut names: Vec<String>,
    max_results: Option<i64>,
    token: Option<String>,
) -> SqsResult<(Vec<String>, Option<String>)> {
    let size = in_range("MaxResults", max_results, 1, MAX_PAGE)?;
    names.sort_unstable();
    if let Some(token) = token {
        let after = URL_SAFE_NO_PAD.decode(&token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let after =
            after.ok_or_else(|| SqsError::invalid_value("NextToken", &token, "It is no token of this service."))?;
        names.retain(|name| *name > after);
    }
    let limit = size.unwrap_or(MAX_PAGE) as usize;
    let more = names.len() > limit;
    names.truncate(limit);
    let next = names.last().filter(|_| more && size.is_some()).map(|last| URL_SAFE_NO_PAD.encode(last));
    Ok((names, next))
}

#[cfg(test)]
mod tests;
