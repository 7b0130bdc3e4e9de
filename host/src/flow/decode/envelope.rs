//! Opens a body layer by layer: envelopes around a message (SNS, EventBridge, CloudEvents), and the
//! shapes of what AWS's services say themselves (S3, SES, alarms, …), which keep their body.
//!
//! docs/use/aws-events.md has the table of both: the type, the key and the attributes of each. The
//! body is always a slice of the text as it was sent; only SNS's `Message`, a JSON string, is
//! unescaped.

mod cloudevents;
mod eventbridge;
mod records;
mod services;
mod ses;
mod sns;

use bytes::Bytes;
use wasq_core::message::{AttributeValue, Attributes};

use super::layer::{Inner, Layer, Notice, Shape, Slot, joined};
use crate::config::Envelope;
use crate::json::{Misfit, Object};

/// How many envelopes may stand in one another.
pub const NESTING_MAX: usize = 4;

/// The fields one of which every envelope and shape has: a body without any is the message itself.
pub const MARKERS: [&str; 17] = [
    "AlarmName",
    "Event",
    "LifecycleTransition",
    "Records",
    "TaskToken",
    "Type",
    "approval",
    "detail-type",
    "detailType",
    "eventSource",
    "eventType",
    "messageType",
    "notificationType",
    "requestContext",
    "specversion",
    "taskToken",
    "task_token",
];

/// A body, opened.
#[derive(Default)]
pub struct Opened {
    /// The text around the message, the outermost first, with the field in which the next one is.
    outer: Vec<(Bytes, Slot)>,
    pub body: Bytes,
    /// The type that the innermost envelope names.
    pub kind: Option<String>,
    /// The type of a message that names none itself.
    pub fallback_kind: Option<String>,
    /// The id that the innermost envelope gives it.
    pub key: Option<String>,
    /// The media type of the body, where the envelope says it.
    pub content_type: Option<String>,
    pub notice: Option<Notice>,
    /// Where it is a batch of several.
    pub records: Vec<Record>,
}

/// One record of a batch.
pub struct Record {
    pub body: Bytes,
    /// Whether it has an id of its own.
    pub has_key: bool,
}

/// Opens what `envelope` names; with `auto` whatever is recognised, layer by layer.
///
/// # Errors
/// Where an envelope breaks, in words fit for a dead letter.
pub fn open(envelope: Envelope, body: Bytes, attributes: &mut Attributes) -> Result<Opened, String> {
    let mut opened = Opened::plain(body);
    loop {
        let layer = opened.body.clone();
        let text = std::str::from_utf8(&layer).ok();
        let found = match envelope {
            Envelope::Plain => None,
            // The attributes are the envelope, and the body its data.
            Envelope::Auto if cloudevents::is_binary_mode(attributes) => None,
            Envelope::Auto => text.map_or(Ok(None), |text| recognise(text, &layer, opened.kind.is_some()))?,
            Envelope::Sns | Envelope::Eventbridge | Envelope::Cloudevents if !opened.outer.is_empty() => None,
            Envelope::Sns | Envelope::Eventbridge | Envelope::Cloudevents => {
                named(envelope, text.unwrap_or_default(), &layer, attributes)?
            }
        };
        let Some(found) = found else { return Ok(opened) };
        let (shape, inner) = match found {
            Layer::Envelope(Inner { slot, body, shape, attributes: carried }) => {
                for (name, value) in carried {
                    attributes.entry(name).or_insert(value);
                }
                (shape, Some((slot, body)))
            }
            Layer::Shape(shape) => (shape, None),
            Layer::Notice(notice, shape) => {
                opened.notice = Some(notice);
                (shape, None)
            }
            Layer::Batch(records) => {
                let shape = of_all(&records);
                let record = |(body, shape): (Bytes, Shape)| Record { body, has_key: shape.key.is_some() };
                opened.records = records.into_iter().map(record).collect();
                (shape, None)
            }
        };
        opened.learn(shape, attributes);
        let Some((slot, body)) = inner else { return Ok(opened) };
        if opened.outer.len() == NESTING_MAX {
            return Err(format!(
                "more than {NESTING_MAX} envelopes are in one another; its producers must wrap it less often"
            ));
        }
        opened.outer.push((layer, slot));
        opened.body = without_bom(body);
    }
}

impl Opened {
    /// A body without an envelope.
    pub fn plain(body: Bytes) -> Self {
        Self { body, ..Self::default() }
    }

    fn learn(&mut self, shape: Shape, attributes: &mut Attributes) {
        let Shape { kind, key, content_type, fallback_kind, attributes: own } = shape;
        self.kind = kind.or_else(|| self.kind.take());
        self.key = key.or_else(|| self.key.take());
        self.fallback_kind = fallback_kind;
        self.content_type = content_type;
        attributes.extend(own.into_iter().map(|(name, value)| (name, AttributeValue::string(value))));
    }

    /// The bodies around the message and its own, the innermost first.
    pub fn layers(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.body).chain(self.outer.iter().rev().map(|(layer, _)| layer))
    }

    /// The whole body once more, with `inner` in the innermost envelope. None if that is for text,
    /// and `inner` is none.
    pub fn wrapped(&self, inner: Bytes) -> Option<Bytes> {
        self.outer.iter().rev().try_fold(inner, |inner, (layer, slot)| {
            let text = std::str::from_utf8(layer).expect("it was opened as text");
            let object = Object::read(text).expect("it was opened as an object");
            Some(object.with(slot.field, &slot.encoding.write(&inner)?).into())
        })
    }
}

/// Type and key of an event in binary mode, where the queue's config looks for such.
pub fn binary_mode(envelope: Envelope, attributes: &Attributes) -> (Option<String>, Option<String>) {
    match envelope {
        Envelope::Auto | Envelope::Cloudevents => cloudevents::of_attributes(attributes),
        Envelope::Plain | Envelope::Sns | Envelope::Eventbridge => (None, None),
    }
}

/// UTF-8 with a byte order mark before its JSON is read as without.
pub fn without_bom(body: Bytes) -> Bytes {
    const BOM: &[u8] = b"\xef\xbb\xbf";
    let is_json = |rest: &[u8]| matches!(rest.trim_ascii_start().first(), Some(b'{' | b'['));
    if body.strip_prefix(BOM).is_some_and(is_json) { body.slice(BOM.len()..) } else { body }
}

/// The envelope that the queue's config names.
fn named(envelope: Envelope, text: &str, layer: &Bytes, attributes: &Attributes) -> Result<Option<Layer>, String> {
    // In binary mode the attributes are the envelope.
    if envelope == Envelope::Cloudevents && cloudevents::is_binary_mode(attributes) {
        return Ok(None);
    }
    let name = match envelope {
        Envelope::Sns => "SNS",
        Envelope::Eventbridge => "EventBridge",
        Envelope::Cloudevents => "CloudEvents",
        Envelope::Plain | Envelope::Auto => return Ok(None),
    };
    let found = match (Object::read(text), envelope) {
        (Some(object), Envelope::Sns) => sns::open(&object).map(Some),
        (Some(object), Envelope::Eventbridge) => eventbridge::open(&object, layer).map(Some),
        (Some(object), _) => cloudevents::open(&object, layer).map(Some),
        (None, Envelope::Cloudevents) => cloudevents::batch(text, layer),
        (None, _) => Ok(None),
    };
    match found {
        Ok(None) => Err(not_an_object(text, name)),
        found => found.map_err(|misfit| broken(name, &misfit)),
    }
}

fn not_an_object(text: &str, name: &str) -> String {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => format!("the body is no JSON object, so no {name} envelope"),
        Err(error) => format!("the body is no JSON, so no {name} envelope: {error}"),
    }
}

fn broken(name: &str, misfit: &Misfit) -> String {
    format!("the {name} envelope is broken: {misfit}")
}

/// What a body is by its fields. Once an envelope has named a type, only envelopes are looked for:
/// an event about a mail is the event.
fn recognise(text: &str, layer: &Bytes, has_kind: bool) -> Result<Option<Layer>, String> {
    if text.trim_ascii_start().starts_with('[') {
        return cloudevents::batch(text, layer).map_err(|misfit| broken("CloudEvents", &misfit));
    }
    let Some(object) = Object::read(text) else { return Ok(None) };
    let in_words = |name| move |misfit: Misfit| broken(name, &misfit);
    if sns::is_one(&object) {
        return sns::open(&object).map(Some).map_err(in_words("SNS"));
    }
    if eventbridge::is_one(&object) {
        return eventbridge::open(&object, layer).map(Some).map_err(in_words("EventBridge"));
    }
    if cloudevents::is_one(&object) {
        return cloudevents::open(&object, layer).map(Some).map_err(in_words("CloudEvents"));
    }
    if let Some(inner) = services::masstransit(&object, layer) {
        return Ok(Some(Layer::Envelope(inner)));
    }
    if has_kind {
        return Ok(None);
    }
    if let Some(records) = records::open(&object, layer).map_err(in_words("record"))? {
        return Ok(Some(records));
    }
    Ok(ses::open(&object).or_else(|| services::open(&object)))
}

/// What can be said of a batch as one message: what holds for all of its records.
fn of_all(records: &[(Bytes, Shape)]) -> Shape {
    let mut kinds = records.iter().map(|(_, shape)| &shape.kind);
    let first = kinds.next().cloned().flatten();
    let kind = first.filter(|first| kinds.all(|kind| kind.as_ref() == Some(first)));
    let keys: Option<String> = records.iter().map(|(_, shape)| joined([shape.key.clone()])).collect();
    let key = keys.map(|keys| blake3::hash(keys.as_bytes()).to_hex().to_string());
    Shape { kind, key, ..Shape::default() }
}
