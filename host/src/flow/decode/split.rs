//! A batch as several deliveries, one a record: `split = true`.
//!
//! Each record is wrapped once more as the batch was, so that all that reads a delivery reads it as
//! a message of its own: its decoding, its dead letter and that letter's replay.

use wasq_core::message::{AttributeValue, Delivery, KEY_ATTRIBUTE, KeySource};

use super::decoded::{Decoded, Part};
use super::envelope::Opened;
use crate::config::QueueConfig;
use crate::dlq::OWN_KEY_ATTRIBUTE;
use crate::groups::MEMBER_ATTRIBUTE;

/// # Errors
/// There are too many records, or one of them cannot be read: then none is run.
pub fn split(
    delivery: &Delivery,
    queue: &QueueConfig,
    opened: &Opened,
    decode: impl Fn(&Delivery, &QueueConfig) -> Result<Decoded, String>,
) -> Result<Vec<Part>, String> {
    let (count, most) = (opened.records.len(), queue.split_max);
    if count > most {
        return Err(format!(
            "it has {count} records, and the queue's `split_max` is {most}; raise it, and replay the message"
        ));
    }
    let mut parts = Vec::with_capacity(count);
    for (index, record) in opened.records.iter().enumerate() {
        let body = opened.wrapped(record.body.clone()).ok_or_else(|| format!("record {index} is not UTF-8"))?;
        let mut delivery = Delivery { body, ..delivery.clone() };
        // The whole is a member of its group, and no record is one by itself.
        delivery.attributes.remove(MEMBER_ATTRIBUTE);
        match decode(&delivery, queue).map_err(|error| format!("record {index}: {error}"))? {
            Decoded::Message(typed) => parts.push(Part { delivery, typed }.with_own_key(index, record.has_key)),
            Decoded::Batch(inner) => parts.extend(inner.into_iter().map(|part| part.with_own_key(index, true))),
            Decoded::Notice(_, typed) => return Err(format!("record {index} is a notice, {}", typed.message.kind)),
        }
    }
    Ok(parts)
}

impl Part {
    /// What was said of the whole batch, by its producer or the envelopes around it, is no record's
    /// own key.
    fn with_own_key(mut self, index: usize, has_key: bool) -> Self {
        let message = &mut self.typed.message;
        match message.key_source {
            KeySource::Envelope if has_key => {}
            KeySource::BodyField | KeySource::Template => {}
            KeySource::Envelope
            | KeySource::Attribute
            | KeySource::OwnKey
            | KeySource::DeduplicationId
            | KeySource::MessageId => {
                message.key = format!("{}#{index}", message.key);
                message.key_source = KeySource::OwnKey;
                let own = AttributeValue::string(&message.key);
                self.delivery.attributes.remove(KEY_ATTRIBUTE);
                self.delivery.attributes.insert(OWN_KEY_ATTRIBUTE.into(), own);
            }
        }
        self
    }
}
