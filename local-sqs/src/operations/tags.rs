//! Tags and permissions: kept with the queue, and otherwise without effect.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    super::{
        error::{Code, SqsError, SqsResult},
        record::Permission,
        service::Service,
    },
    Empty, QueueOnly,
};

/// Tags of a queue at most (SQS developer guide, "Amazon SQS queue tags").
const MAX_TAGS: usize = 50;
/// Permissions of a queue at most (AddPermission in the API reference).
const MAX_PERMISSIONS: usize = 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagQueue {
    #[serde(default)]
    queue_url: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UntagQueue {
    #[serde(default)]
    queue_url: String,
    #[serde(default)]
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
    #[serde(default)]
    queue_url: String,
    #[serde(default)]
    label: String,
    #[serde(default, rename = "AWSAccountIds")]
    accounts: Vec<String>,
    #[serde(default)]
    actions: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RemovePermission {
    #[serde(default)]
    queue_url: String,
    #[serde(default)]
    label: String,
}

impl Service {
    pub async fn tag_queue(&self, request: TagQueue) -> SqsResult<Empty> {
        let queue = self.at(&request.queue_url)?;
        self.redefine(&queue, |definition| {
            let mut tags = definition.tags.clone();
            tags.extend(request.tags);
            if tags.len() > MAX_TAGS {
                let message = format!("Too many tags added for queue {}.", definition.name);
                return Err(SqsError::new(Code::InvalidParameterValue, message));
            }
            definition.tags = tags;
            Ok(())
        })
        .await
    }

    pub async fn untag_queue(&self, request: UntagQueue) -> SqsResult<Empty> {
        let queue = self.at(&request.queue_url)?;
        self.redefine(&queue, |definition| {
            definition.tags.retain(|key, _| !request.tag_keys.contains(key));
            Ok(())
        })
        .await
    }

    pub async fn list_queue_tags(&self, request: QueueOnly) -> SqsResult<Tags> {
        let queue = self.at(&request.queue_url)?;
        let tags = queue.living_state()?.definition.tags.clone();
        Ok(Tags { tags })
    }

    pub async fn add_permission(&self, request: AddPermission) -> SqsResult<Empty> {
        let queue = self.at(&request.queue_url)?;
        for (parameter, is_empty) in [
            ("Label", request.label.is_empty()),
            ("AWSAccountIds", request.accounts.is_empty()),
            ("Actions", request.actions.is_empty()),
        ] {
            if is_empty {
                return Err(SqsError::missing(parameter));
            }
        }
        self.redefine(&queue, |definition| {
            if definition.permissions.contains_key(&request.label) {
                return Err(SqsError::invalid_value("Label", &request.label, "Already exists."));
            }
            if definition.permissions.len() >= MAX_PERMISSIONS {
                let message = format!("{MAX_PERMISSIONS} permissions are the limit of a queue.");
                return Err(SqsError::new(Code::OverLimit, message));
            }
            let permission = Permission { accounts: request.accounts, actions: request.actions };
            definition.permissions.insert(request.label, permission);
            Ok(())
        })
        .await
    }

    pub async fn remove_permission(&self, request: RemovePermission) -> SqsResult<Empty> {
        let queue = self.at(&request.queue_url)?;
        self.redefine(&queue, |definition| match definition.permissions.remove(&request.label) {
            Some(_) => Ok(()),
            None => Err(SqsError::invalid_value("Label", &request.label, "can't find label.")),
        })
        .await
    }
}
