//! A queue's attributes: asking for them, and setting them.

use serde::{Deserialize, Serialize};

use super::{
    super::{
        address::{self, Home},
        attributes::{self, QueueAttributes, READ_ONLY, RedriveAllow, Settings, merge},
        clock::{Ms, wall_ms},
        error::{Code, SqsError, SqsResult},
        log::Durability,
        queue::{Queue, QueueState},
        record::{Definition, Record, is_fifo},
        service::Service,
    },
    Caller, Empty, or_default,
};

/// How long a changed deduplication scope takes to count (SetQueueAttributes in the API reference:
/// most attributes take up to 60 seconds). The other attributes count at once here.
const SCOPE_CHANGE_MS: Ms = 60_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetQueueAttributes {
    #[serde(default, deserialize_with = "or_default")]
    queue_url: String,
    #[serde(default, deserialize_with = "or_default")]
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
    #[serde(default, deserialize_with = "or_default")]
    queue_url: String,
    #[serde(default, deserialize_with = "or_default")]
    attributes: QueueAttributes,
}

impl Service {
    pub async fn get_queue_attributes(
        &self,
        request: GetQueueAttributes,
        caller: &Caller,
    ) -> SqsResult<AttributesAnswer> {
        let queue = self.at(&request.queue_url, caller)?;
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
            queue.arn(&caller.region),
        ];
        attributes.extend(READ_ONLY.map(str::to_owned).into_iter().zip(read_only));
        if !names.iter().any(|name| name == "All") {
            attributes.retain(|name, _| names.contains(name));
        }
        Ok(AttributesAnswer { attributes })
    }

    pub async fn set_queue_attributes(&self, request: SetQueueAttributes, caller: &Caller) -> SqsResult<Empty> {
        let queue = self.at(&request.queue_url, caller)?;
        if request.attributes.is_empty() {
            return Err(SqsError::missing("Attributes"));
        }
        let attributes = attributes::checked(request.attributes, queue.fifo)?;
        self.check_redrive(&queue.name, queue.home(), &attributes)?;
        self.redefine(&queue, |definition| {
            merge(&mut definition.attributes, attributes);
            Ok(())
        })
        .await
    }

    /// Changes a queue's definition, durably. If it cannot be stored the queue has its former one,
    /// unless somebody else has changed it since.
    pub(super) async fn redefine(
        &self,
        queue: &Queue,
        change: impl FnOnce(&mut Definition) -> SqsResult<()>,
    ) -> SqsResult<Empty> {
        let slot = self.log.slot().await?;
        let (before, after, stored) = {
            let mut state = queue.living_state()?;
            let mut after = state.definition.clone();
            change(&mut after)?;
            after.modified_s = wall_ms() / 1_000;
            let before = self.define(&mut state, after.clone());
            let record = Record::Queue(after.clone());
            (before, after, slot.commit_and_tell(vec![record], Vec::new(), Durability::Disk))
        };
        if let Err(error) = stored.await {
            let mut state = queue.state();
            let next_seq = state.definition.next_seq;
            if state.definition == (Definition { next_seq, ..after }) {
                self.define(&mut state, Definition { next_seq, ..before });
            }
            return Err(error.into());
        }
        Ok(Empty {})
    }

    /// Gives a queue a definition, and gives back its former one.
    fn define(&self, state: &mut QueueState, definition: Definition) -> Definition {
        let settings = Settings::of(&definition.attributes);
        if settings.dedup_per_group != state.settings.dedup_per_group {
            let now = self.clock.now();
            state.former_scope = Some((state.dedups_per_group(now), now + SCOPE_CHANGE_MS));
        }
        state.settings = settings;
        std::mem::replace(&mut state.definition, definition)
    }

    /// The dead-letter queue must exist, be of the same region, account and type, and allow it.
    pub(super) fn check_redrive(
        &self,
        source: &str,
        home: Option<&Home>,
        attributes: &QueueAttributes,
    ) -> SqsResult<()> {
        let Some(redrive) = Settings::of(attributes).redrive else { return Ok(()) };
        let invalid = |reason: &str| SqsError::invalid_value("RedrivePolicy", &attributes["RedrivePolicy"], reason);
        let Some(target) = self.queues().at_arn(&redrive.target).cloned() else {
            return Err(invalid("Dead letter target does not exist."));
        };
        if home.is_some_and(|home| target.home().is_some_and(|other| other != home)) {
            return Err(invalid("Dead-letter queue must be in the same region and account as the source."));
        }
        if target.fifo != is_fifo(source) {
            return Err(invalid("Dead-letter queue must be same type of queue as the source."));
        }
        let allow = target.state().definition.attributes.get("RedriveAllowPolicy").cloned().unwrap_or_default();
        let is_source = |arn: &str| {
            let same_home = |arn: &address::ArnParts<'_>| match home {
                None => true,
                Some(home) => arn.region == home.region && arn.account == home.account.to_string(),
            };
            address::parse_arn(arn).is_some_and(|arn| arn.name == source && same_home(&arn))
        };
        if !RedriveAllow::parse(&allow)?.allows(is_source) {
            return Err(invalid("Dead-letter queue does not allow this queue as a source."));
        }
        Ok(())
    }
}
