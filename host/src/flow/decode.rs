//! The first step: from a delivery to a message, unwrapped from its envelopes, with its type and
//! key; or to several, where the queue splits batches.

mod decoded;
mod envelope;
mod fields;
mod layer;
mod split;

use wasq_core::aws::s3::ObjectRef;
use wasq_core::message::{AttributeValue, Attributes, Delivery, KeySource, Message, MessageType};
use wasq_queues::payload_pointer;

pub use decoded::{Decoded, Part, TypeOrigin, Typed};
pub use envelope::Opened;
pub use layer::Notice;
pub use wasq_core::message::{KEY_ATTRIBUTE, TYPE_ATTRIBUTE};

use fields::Fields;

use crate::config::{Envelope, KeyFrom, QueueConfig, TypeSource};
use crate::dlq::{LETTER_ATTRIBUTE, OWN_KEY_ATTRIBUTE};
use crate::json;

/// Reads a delivery as its queue's config says. An error says what cannot be read, in words fit for
/// a dead letter.
pub fn decode(delivery: &Delivery, queue: &QueueConfig) -> Result<Decoded, String> {
    let mut attributes = delivery.attributes.clone();
    attributes.remove(LETTER_ATTRIBUTE);
    let plain = Opened::plain(envelope::without_bom(delivery.body.clone()));
    let outer = Fields::read(&plain.body, queue.envelope == Envelope::Auto);
    let may_be_wrapped = match (queue.envelope, &outer) {
        (Envelope::Plain, _) | (Envelope::Auto, Err(_)) => false,
        (Envelope::Auto, Ok(fields)) => fields.has_marker || fields.is_array,
        (Envelope::Sns | Envelope::Eventbridge | Envelope::Cloudevents, _) => true,
    };
    if !may_be_wrapped {
        return typed(delivery, queue, &plain, &outer, attributes).map(Decoded::Message);
    }
    let mut opened = envelope::open(queue.envelope, plain.body.clone(), &mut attributes)?;
    if queue.split && !opened.records.is_empty() {
        return split::split(delivery, queue, &opened, decode).map(Decoded::Batch);
    }
    let notice = opened.notice.take();
    let typed = typed(delivery, queue, &opened, &Fields::read(&opened.body, false), attributes)?;
    Ok(match notice {
        Some(notice) => Decoded::Notice(notice, typed),
        None => Decoded::Message(typed),
    })
}

/// What a delivery is a pointer to, where it is one, and how what is there takes the pointer's
/// place: in the envelopes that the pointer is in. What cannot be opened is none: its decoding says
/// why.
///
/// # Errors
/// The pointer is broken.
pub fn pointer(delivery: &Delivery, queue: &QueueConfig) -> Result<Option<(ObjectRef, Opened)>, String> {
    let opened = envelope::open(queue.envelope, delivery.body.clone(), &mut delivery.attributes.clone());
    let opened = opened.unwrap_or_else(|_| Opened::plain(delivery.body.clone()));
    let text = std::str::from_utf8(&opened.body).unwrap_or_default();
    Ok(payload_pointer::read(text)?.map(|object| (object, opened)))
}

/// Finds type and key of what was opened.
fn typed(
    delivery: &Delivery,
    queue: &QueueConfig,
    opened: &Opened,
    fields: &Result<Fields<'_>, String>,
    attributes: Attributes,
) -> Result<Typed, String> {
    let found = Found { queue, opened, fields, attributes: &attributes };
    let (kind, type_origin) = found.kind()?;
    let (key, key_source) = found.key(delivery);
    let content_type = opened.content_type.clone().or_else(|| found.attribute("content-type"));
    let message = Message {
        kind: MessageType(kind),
        body: opened.body.clone(),
        content_type: content_type.unwrap_or_else(|| "application/json".to_owned()),
        key,
        key_source,
        traceparent: found.attribute("traceparent"),
        attributes,
    };
    Ok(Typed { message, type_origin })
}

/// All that type and key may come from.
struct Found<'a> {
    queue: &'a QueueConfig,
    opened: &'a Opened,
    fields: &'a Result<Fields<'a>, String>,
    attributes: &'a Attributes,
}

impl Found<'_> {
    fn attribute(&self, name: &str) -> Option<String> {
        self.attributes.get(name).and_then(AttributeValue::text).map(str::to_owned)
    }

    fn kind(&self) -> Result<(String, TypeOrigin), String> {
        for (index, source) in self.queue.type_from.0.iter().enumerate() {
            // An empty type is none, and does not stand before another.
            if let Some(kind) = self.kind_from(source).filter(|kind| !kind.is_empty()) {
                return Ok((self.queue.renamed(kind), TypeOrigin::Source(index)));
            }
        }
        let looks_at_shapes = self.queue.type_from.0.contains(&TypeSource::Envelope);
        if let Some(kind) = self.opened.fallback_kind.as_ref().filter(|_| looks_at_shapes) {
            return Ok((self.queue.renamed(kind.clone()), TypeOrigin::Shape));
        }
        match &self.queue.default_type {
            Some(kind) => Ok((kind.clone(), TypeOrigin::Default)),
            None => Err(self.no_type()),
        }
    }

    fn kind_from(&self, source: &TypeSource) -> Option<String> {
        match source {
            TypeSource::Attribute(name) => self.attribute(name),
            TypeSource::Envelope => {
                self.opened.kind.clone().or_else(|| envelope::binary_mode(self.queue.envelope, self.attributes).0)
            }
            TypeSource::Field => self.fields.as_ref().ok()?.kind(),
            TypeSource::Pointer(pointer) => self.opened.layers().find_map(|layer| {
                let found = json::find(serde_json::from_slice(layer).ok()?, pointer)?;
                serde_json::from_str(found.get()).ok()
            }),
        }
    }

    fn no_type(&self) -> String {
        let body = match self.fields {
            Ok(_) => String::new(),
            Err(error) => format!("; its body is no JSON ({error})"),
        };
        let text = std::str::from_utf8(&self.opened.body).unwrap_or_default();
        let is_pointer = !matches!(payload_pointer::read(text), Ok(None));
        let hint = match (self.queue.envelope, self.fields) {
            _ if !self.opened.records.is_empty() => {
                "; its records are of several types: with `split = true` on the queue, each is a message"
            }
            (Envelope::Plain, Ok(_)) if Fields::read(&self.opened.body, true).is_ok_and(|fields| fields.has_marker) => {
                "; its body looks like an envelope: does the queue need `envelope = \"auto\"`?"
            }
            _ if is_pointer => {
                "; its body is a pointer of the SQS Extended Client Library: does the queue need `claim_check_bucket`?"
            }
            _ => "",
        };
        format!(
            "the message has no type: none in {} (type_from), and the queue has no default_type{body}{hint}",
            self.queue.type_from
        )
    }

    fn key(&self, delivery: &Delivery) -> (String, KeySource) {
        let named = |key: Option<String>, source| key.filter(|key| !key.is_empty()).map(|key| (key, source));
        let field = || self.fields.as_ref().ok().and_then(Fields::key);
        let envelope = || {
            let own = self.opened.key.clone();
            own.or_else(|| envelope::binary_mode(self.queue.envelope, self.attributes).1)
        };
        named(self.attribute(KEY_ATTRIBUTE), KeySource::Attribute)
            .or_else(|| named(field(), KeySource::BodyField))
            .or_else(|| named(self.attribute(OWN_KEY_ATTRIBUTE), KeySource::OwnKey))
            .or_else(|| named(envelope(), KeySource::Envelope))
            .or_else(|| Some((key_of_queue(delivery, self.queue)?, KeySource::DeduplicationId)))
            .unwrap_or_else(|| (delivery.message_id.0.clone(), KeySource::MessageId))
    }
}

/// The key of a message that names none, where its queue asks for another than SQS's id of it: the
/// deduplication id, and in which window of the clock the message was sent. SQS itself drops a
/// second one within its five minutes; what it takes after that is a new message, unless the
/// queue's window is longer.
fn key_of_queue(delivery: &Delivery, queue: &QueueConfig) -> Option<String> {
    let id = delivery.deduplication_id.as_ref().filter(|_| queue.key_from == KeyFrom::DeduplicationId)?;
    let window = delivery.sent_at.0 / 1_000 / queue.deduplication_window.as_secs().max(1);
    Some(format!("{id}@{window}"))
}

#[cfg(test)]
mod tests;
