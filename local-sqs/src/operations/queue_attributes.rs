//! A queue's attributes: asking for them, and setting them.

use serde::{Deserialize, Serialize};

use super::{
    super::{
        attributes::{self, QueueAttributes, READ_ONLY, RedriveAllow, Settings},
        clock::wall_ms,
        error::{Code, SqsError, SqsResult},
        log::Durability,
        record::{Definition, Record, is_fifo},
        service::{Queue, Service, arn},
    },
    Caller, Empty,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetQueueAttributes {
    #[serde(default)]
    queue_url: String,
    #[serde(default)]
    attribute_names: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AttributesAnswer {
    #[serde(skip_serializing_if = "QueueAttributes::is_empty")]
    attributes: QueueAttributes,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SetQueueAttributes {
    #[serde(default)]
    queue_url: String,
    #[serde(default)]
    attributes: QueueAttributes,
}

impl Service {
    pub async fn get_queue_attributes(
        &self,
        request: GetQueueAttributes,
        caller: &Caller,
    ) -> SqsResult<AttributesAnswer> {
        let queue = self.at(&request.queue_url)?;
        let names = &request.attribute_names;
        if let Some(unknown) = names.iter().find(|name| *name != "All" && !attributes::is_known(name)) {
            return Err(SqsError::new(Code::InvalidAttributeName, format!("Unknown Attribute {unknown}.")));
        }
        let mut state = queue.living_state()?;
        let counts = state.backlog.counts(self.clock.now());
        let mut attributes = state.definition.attributes.clone();
        let read_only = [
            counts.visible.to_string(),
            counts.in_flight.to_string(),
            counts.delayed.to_string(),
            state.definition.created_s.to_string(),
            state.definition.modified_s.to_string(),
            arn(&caller.region, &queue.name),
        ];
        attributes.extend(READ_ONLY.map(str::to_owned).into_iter().zip(read_only));
        if !names.iter().any(|name| name == "All") {
            attributes.retain(|name, _| names.contains(name));
        }
        Ok(AttributesAnswer { attributes })
    }

    pub async fn set_queue_attributes(&self, request: SetQueueAttributes) -> SqsResult<Empty> {
        let queue = self.at(&request.queue_url)?;
        if request.attributes.is_empty() {
            return Err(SqsError::missing("Attributes"));
        }
        attributes::check(&request.attributes, queue.fifo)?;
        self.check_redrive(&queue.name, &request.attributes)?;
        self.redefine(&queue, |definition| {
            merge(&mut definition.attributes, request.attributes);
            Ok(())
        })
        .await
    }

    /// Changes a queue's definition, durably.
    pub(super) async fn redefine(
        &self,
        queue: &Queue,
        change: impl FnOnce(&mut Definition) -> SqsResult<()>,
    ) -> SqsResult<Empty> {
        let slot = self.log.slot().await?;
        let stored = {
            let mut state = queue.living_state()?;
            change(&mut state.definition)?;
            state.definition.modified_s = wall_ms() / 1_000;
            state.settings = Settings::of(&state.definition.attributes);
            slot.commit_and_tell(vec![Record::Queue(state.definition.clone())], Vec::new(), Durability::Disk)
        };
        stored.await?;
        Ok(Empty {})
    }

    /// The dead-letter queue must exist, be of the same type, and allow it.
    pub(super) fn check_redrive(&self, source: &str, attributes: &QueueAttributes) -> SqsResult<()> {
        let Some(redrive) = Settings::of(attributes).redrive else { return Ok(()) };
        let invalid = |reason: &str| SqsError::invalid_value("RedrivePolicy", &attributes["RedrivePolicy"], reason);
        let Some(target) = self.named(&redrive.target) else {
            return Err(invalid("Dead letter target does not exist."));
        };
        if target.fifo != is_fifo(source) {
            return Err(invalid("Dead-letter queue must be same type of queue as the source."));
        }
        let allow = target.state().definition.attributes.get("RedriveAllowPolicy").cloned().unwrap_or_default();
        if !RedriveAllow::parse(&allow)?.allows(source) {
            return Err(invalid("Dead-letter queue does not allow this queue as a source."));
        }
        Ok(())
    }
}

/// Sets attributes; an empty value removes one.
pub(super) fn merge(attributes: &mut QueueAttributes, new: QueueAttributes) {
    attributes.extend(new);
    attributes.retain(|_, value| !value.is_empty());
}
