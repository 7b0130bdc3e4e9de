//! Creating, finding, purging and deleting queues.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use wasq_sqs_rules::{MAX_NAME_CHARS, is_plain_name};

use super::{
    super::{
        address::{self, Account, Home},
        attributes::{self, QueueAttributes, merge, wants_fifo},
        clock::{Ms, wall_ms},
        error::{Code, SqsError, SqsResult},
        log::Durability,
        queue::{Queue, QueueState},
        record::{Definition, Record, is_fifo},
        service::{Service, must_exist},
    },
    Caller, Empty, QueueOnly, in_range, or_default,
    tags::check_tags,
};

/// Queues in one page of a listing at most (ListQueues in the API reference).
const MAX_PAGE: u64 = 1_000;
/// How long a queue waits between purges, and its name after its deletion (PurgeQueue and
/// DeleteQueue in the API reference).
const WAIT_MS: Ms = 60_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateQueue {
    #[serde(default, deserialize_with = "or_default")]
    queue_name: String,
    #[serde(default, deserialize_with = "or_default")]
    attributes: QueueAttributes,
    #[serde(default, rename = "tags", deserialize_with = "or_default")]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetQueueUrl {
    #[serde(default, deserialize_with = "or_default")]
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
    #[serde(default, deserialize_with = "or_default")]
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
    #[serde(default, deserialize_with = "or_default")]
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
        let home = Home { region: caller.region.clone(), account: caller.account };
        let queue = self.make_queue(request, Some(home)).await?;
        Ok(QueueUrl { queue_url: caller.queue_url(&queue) })
    }

    /// Makes a queue that every region of the default account has, with nothing said, if there is
    /// none. One that a single region has becomes every region's.
    ///
    /// # Errors
    /// `QueueNameExists` if two regions have one, and those of CreateQueue.
    pub async fn create_everywhere(&self, name: &str) -> SqsResult<()> {
        if let Some(queue) = self.of_default_account(name)? {
            if queue.home().is_none() {
                return Ok(());
            }
            self.redefine(&queue, |definition| {
                definition.home = None;
                Ok(())
            })
            .await?;
            queue.set_everywhere();
            return Ok(());
        }
        let attributes = match is_fifo(name) {
            true => QueueAttributes::from([("FifoQueue".to_owned(), "true".to_owned())]),
            false => QueueAttributes::new(),
        };
        let request = CreateQueue { queue_name: name.to_owned(), attributes, tags: BTreeMap::new() };
        self.make_queue(request, None).await.map(drop)
    }

    /// The only queue of this name that the default account has.
    fn of_default_account(&self, name: &str) -> SqsResult<Option<Arc<Queue>>> {
        let queues = self.queues();
        let all = || queues.of_name(name).iter().filter(|queue| queue.account() == Account::DEFAULT);
        if let Some(everywhere) = all().find(|queue| queue.home().is_none()) {
            return Ok(Some(everywhere.clone()));
        }
        let regions: BTreeSet<&str> = all().filter_map(|queue| Some(queue.home()?.region.as_str())).collect();
        if regions.len() > 1 {
            let regions = regions.into_iter().collect::<Vec<_>>().join(", ");
            let message = format!("each of the regions {regions} has a queue of this name: delete all of them but one");
            return Err(SqsError::new(Code::QueueNameExists, message));
        }
        Ok(all().next().cloned())
    }

    /// Makes a queue, or gives the one that is there with the same attributes.
    async fn make_queue(&self, request: CreateQueue, home: Option<Home>) -> SqsResult<Arc<Queue>> {
        let name = request.queue_name;
        check_name(&name, wants_fifo(&request.attributes))?;
        let wanted = attributes::checked(request.attributes, is_fifo(&name))?;
        check_tags(&request.tags, &name)?;
        self.check_redrive(&name, home.as_ref(), &wanted)?;
        let slot = self.log.slot().await?;
        let (queue, stored) = {
            let mut queues = self.queues_mut();
            let there = match &home {
                Some(home) => queues.named(&home.region, home.account, &name),
                None => queues.referred(&name),
            };
            if let Some(queue) = there {
                same_attributes(&queue.state(), &wanted)?;
                return Ok(queue.clone());
            }
            self.check_not_deleted_lately(home.as_ref(), &name)?;
            let mut attributes = attributes::defaults(is_fifo(&name));
            merge(&mut attributes, wanted);
            let now_s = wall_ms() / 1_000;
            let definition = Definition {
                number: self.new_number(),
                name,
                home,
                attributes,
                tags: request.tags,
                permissions: BTreeMap::new(),
                created_s: now_s,
                modified_s: now_s,
                next_seq: 1,
            };
            let queue = Arc::new(Queue::new(definition.clone()));
            queues.insert(queue.clone());
            (queue, slot.commit_and_tell(vec![Record::Queue(definition)], Vec::new(), Durability::Disk))
        };
        if let Err(error) = stored.await {
            self.queues_mut().remove(&queue);
            return Err(error.into());
        }
        Ok(queue)
    }

    fn check_not_deleted_lately(&self, home: Option<&Home>, name: &str) -> SqsResult<()> {
        let Some(home) = home.filter(|_| self.waits) else { return Ok(()) };
        let now = self.clock.now();
        let mut deleted = self.deleted();
        deleted.retain(|_, at| *at + WAIT_MS > now);
        let was_everywhere = home.account == Account::DEFAULT && deleted.contains_key(name);
        if was_everywhere || deleted.contains_key(&address::arn(&home.region, home.account, name)) {
            let message =
                "You must wait 60 seconds after deleting a queue before you can create another with the same name.";
            return Err(SqsError::new(Code::QueueDeletedRecently, message));
        }
        Ok(())
    }

    pub async fn get_queue_url(&self, request: GetQueueUrl, caller: &Caller) -> SqsResult<QueueUrl> {
        if request.queue_name.is_empty() {
            return Err(SqsError::missing("QueueName"));
        }
        let account = match &request.owner {
            Some(owner) => Account::parse(owner).ok_or_else(SqsError::no_queue)?,
            None => caller.account,
        };
        let queue = must_exist(self.queues().named(&caller.region, account, &request.queue_name))?;
        Ok(QueueUrl { queue_url: caller.queue_url(&queue) })
    }

    pub async fn list_queues(&self, request: ListQueues, caller: &Caller) -> SqsResult<QueueUrls> {
        let names: BTreeSet<String> = {
            let queues = self.queues();
            let is_callers = |queue: &&Arc<Queue>| match queue.home() {
                Some(home) => home.is(&caller.region, caller.account),
                None => caller.account == Account::DEFAULT,
            };
            let names = queues.iter().filter(is_callers).map(|queue| queue.name.as_str());
            names.filter(|name| name.starts_with(&request.queue_name_prefix)).map(str::to_owned).collect()
        };
        let (names, next_token) = page(names, request.max_results, request.next_token)?;
        let urls = names.iter().map(|name| caller.url_of(caller.account, name));
        Ok(QueueUrls { queue_urls: urls.collect(), next_token })
    }

    pub async fn list_dead_letter_source_queues(
        &self,
        request: ListDeadLetterSourceQueues,
        caller: &Caller,
    ) -> SqsResult<SourceQueueUrls> {
        let queue = self.at(&request.queue_url, caller)?;
        let urls = self.sources_of(&queue).iter().map(|source| caller.queue_url(source)).collect();
        let (queue_urls, next_token) = page(urls, request.max_results, request.next_token)?;
        Ok(SourceQueueUrls { queue_urls, next_token })
    }

    pub async fn delete_queue(&self, request: QueueOnly, caller: &Caller) -> SqsResult<Empty> {
        let slot = self.log.slot().await?;
        let stored = {
            let queue = self.at(&request.queue_url, caller)?;
            let mut queues = self.queues_mut();
            let mut state = queue.living_state()?;
            queues.remove(&queue);
            state.deleted = true;
            state.backlog.clear();
            queue.arrived.notify_waiters();
            if self.waits {
                self.deleted().insert(queue.reference(), self.clock.now());
            }
            slot.commit_and_tell(vec![Record::DropQueue(queue.number)], Vec::new(), Durability::Disk)
        };
        stored.await?;
        Ok(Empty {})
    }

    /// Purges at once. SQS takes up to a minute for it, in which it refuses another purge; here
    /// that is so only if the embedding program wants it.
    pub async fn purge_queue(&self, request: QueueOnly, caller: &Caller) -> SqsResult<Empty> {
        let queue = self.at(&request.queue_url, caller)?;
        let slot = self.log.slot().await?;
        let stored = {
            let mut state = queue.living_state()?;
            let now = self.clock.now();
            if self.waits && state.purged_at.is_some_and(|at| now < at + WAIT_MS) {
                let message = format!("Only one PurgeQueue operation on {} is allowed every 60 seconds.", queue.name);
                return Err(SqsError::new(Code::PurgeQueueInProgress, message));
            }
            state.purged_at = Some(now);
            state.backlog.clear();
            state.dedup.clear();
            let record = Record::Purge(queue.number, state.definition.next_seq);
            slot.commit_and_tell(vec![record], Vec::new(), Durability::Disk)
        };
        stored.await?;
        Ok(Empty {})
    }

    /// The queues whose dead letters go to a queue.
    pub(super) fn sources_of(&self, target: &Queue) -> Vec<Arc<Queue>> {
        let queues = self.queues();
        let is_source = |queue: &&Arc<Queue>| {
            let redrive = queue.state().settings.redrive.clone();
            redrive
                .and_then(|redrive| queues.dead_letter_queue(queue, &redrive.target))
                .is_some_and(|other| other.number == target.number)
        };
        queues.iter().filter(is_source).cloned().collect()
    }
}

/// Names have 1 to 80 letters, digits, hyphens and underscores, with `.fifo` at the end of FIFO
/// queues' (CreateQueue in the API reference).
fn check_name(name: &str, fifo: bool) -> SqsResult<()> {
    let plain = if fifo { name.strip_suffix(".fifo").unwrap_or_default() } else { name };
    if is_plain_name(plain) && name.len() <= MAX_NAME_CHARS {
        return Ok(());
    }
    let message = match fifo {
        true => {
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with \
             .fifo suffix and be 1 to 80 in length."
        }
        false => "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
    };
    Err(SqsError::new(Code::InvalidParameterValue, message))
}

fn same_attributes(state: &QueueState, wanted: &QueueAttributes) -> SqsResult<()> {
    let Some(name) = attributes::difference(&state.definition.attributes, wanted) else { return Ok(()) };
    let message = format!("A queue already exists with the same name and a different value for attribute {name}");
    Err(SqsError::new(Code::QueueNameExists, message))
}

/// One page of names, and the token for the next. Without a page size there is no token.
fn page(
    names: BTreeSet<String>,
    max_results: Option<i64>,
    token: Option<String>,
) -> SqsResult<(Vec<String>, Option<String>)> {
    let size = in_range("MaxResults", max_results, 1, MAX_PAGE)?;
    let mut names: Vec<String> = names.into_iter().collect();
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
