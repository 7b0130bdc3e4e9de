//! Tags and permissions: kept with the queue, and otherwise without effect. Permissions are
//! statements of the attribute `Policy`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    super::{
        error::{Code, SqsError, SqsResult},
        policy::{self, Grant, policy_of, set_policy},
        service::Service,
    },
    Caller, Empty, QueueOnly, or_default,
};

/// Tags of a queue at most (SQS developer guide, "Amazon SQS queue tags").
const MAX_TAGS: usize = 50;
/// Characters of a tag's key and value at most (likewise).
const MAX_TAG_KEY_CHARS: usize = 128;
const MAX_TAG_VALUE_CHARS: usize = 256;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagQueue {
    #[serde(default, deserialize_with = "or_default")]
    queue_url: String,
    #[serde(default, deserialize_with = "or_default")]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UntagQueue {
    #[serde(default, deserialize_with = "or_default")]
    queue_url: String,
    #[serde(default, deserialize_with = "or_default")]
    tag_keys: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tags {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AddPermission {
    #[serde(default, deserialize_with = "or_default")]
    queue_url: String,
    #[serde(default, deserialize_with = "or_default")]
    label: String,
    #[serde(default, rename = "AWSAccountIds", deserialize_with = "or_default")]
    accounts: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    actions: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RemovePermission {
    #[serde(default, deserialize_with = "or_default")]
    queue_url: String,
    #[serde(default, deserialize_with = "or_default")]
    label: String,
}

impl Service {
    pub async fn tag_queue(&self, request: TagQueue, caller: &Caller) -> SqsResult<Empty> {
        let queue = self.at(&request.queue_url, caller)?;
        if request.tags.is_empty() {
            return Err(SqsError::missing("Tags"));
        }
        self.redefine(&queue, |definition| {
            let mut tags = definition.tags.clone();
            tags.extend(request.tags);
            check_tags(&tags, &definition.name)?;
            definition.tags = tags;
            Ok(())
        })
        .await
    }

    pub async fn untag_queue(&self, request: UntagQueue, caller: &Caller) -> SqsResult<Empty> {
        let queue = self.at(&request.queue_url, caller)?;
        if request.tag_keys.is_empty() {
            return Err(bad_tag_key());
        }
        request.tag_keys.iter().try_for_each(|key| check_tag_key(key))?;
        self.redefine(&queue, |definition| {
            definition.tags.retain(|key, _| !request.tag_keys.contains(key));
            Ok(())
        })
        .await
    }

    pub async fn list_queue_tags(&self, request: QueueOnly, caller: &Caller) -> SqsResult<Tags> {
        let queue = self.at(&request.queue_url, caller)?;
        let tags = queue.living_state()?.definition.tags.clone();
        Ok(Tags { tags })
    }

    pub async fn add_permission(&self, request: AddPermission, caller: &Caller) -> SqsResult<Empty> {
        let queue = self.at(&request.queue_url, caller)?;
        let grant = Grant { label: &request.label, accounts: &request.accounts, actions: &request.actions };
        grant.check()?;
        let arn = queue.arn(&caller.region);
        self.redefine(&queue, |definition| {
            let policy = policy::add(policy_of(definition), &arn, &grant)?;
            set_policy(definition, policy);
            Ok(())
        })
        .await
    }

    pub async fn remove_permission(&self, request: RemovePermission, caller: &Caller) -> SqsResult<Empty> {
        let queue = self.at(&request.queue_url, caller)?;
        self.redefine(&queue, |definition| {
            if definition.permissions.remove(&request.label).is_some() {
                return Ok(());
            }
            let policy = policy::remove(policy_of(definition), &request.label)?;
            set_policy(definition, policy);
            Ok(())
        })
        .await
    }
}

/// Checks all tags that a queue is to have.
pub(super) fn check_tags(tags: &BTreeMap<String, String>, queue: &str) -> SqsResult<()> {
    if tags.len() > MAX_TAGS {
        return Err(SqsError::new(Code::InvalidParameterValue, format!("Too many tags added for queue {queue}.")));
    }
    for (key, value) in tags {
        check_tag_key(key)?;
        if value.chars().count() > MAX_TAG_VALUE_CHARS {
            let message = format!("Tag values must be between 0 and {MAX_TAG_VALUE_CHARS} characters in length.");
            return Err(SqsError::new(Code::InvalidParameterValue, message));
        }
    }
    Ok(())
}

fn check_tag_key(key: &str) -> SqsResult<()> {
    if (1..=MAX_TAG_KEY_CHARS).contains(&key.chars().count()) { Ok(()) } else { Err(bad_tag_key()) }
}

fn bad_tag_key() -> SqsError {
    let message = format!("Tag keys must be between 1 and {MAX_TAG_KEY_CHARS} characters in length.");
    SqsError::new(Code::InvalidParameterValue, message)
}
