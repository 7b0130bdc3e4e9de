//! CloudEvents 1.0: structured mode, batches, and binary mode, in which message attributes are the
//! envelope.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;
use wasq_core::message::{AttributeValue, Attributes};

use super::super::layer::{Encoding, Inner, Layer, Shape, Slot, joined};
use crate::json::{Misfit, Object};

/// The fields of the data: JSON or text, and bytes.
const DATA: &str = "data";
const BYTES: &str = "data_base64";
const JSON: &str = "application/json";
const OCTETS: &str = "application/octet-stream";

/// What else has a field `specversion` is no event.
pub fn is_one(object: &Object<'_>) -> bool {
    let has = |name| object.raw(name).is_some();
    object.text("specversion").is_some() && (has("type") || (has("id") && has("source")))
}

/// Whether message attributes are the event's, and the body its data.
pub fn is_binary_mode(attributes: &Attributes) -> bool {
    attributes.contains_key("ce-specversion")
}

/// In binary mode: the type and the key.
pub fn of_attributes(attributes: &Attributes) -> (Option<String>, Option<String>) {
    if !is_binary_mode(attributes) {
        return (None, None);
    }
    let text = |name: &str| {
        let text = attributes.get(name).and_then(AttributeValue::text);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    (text("ce-type"), joined([text("ce-source"), text("ce-id")]))
}

/// Every attribute of the event, extensions included, reaches the handler as `ce-NAME`, as in
/// binary mode.
pub fn open(object: &Object<'_>, layer: &Bytes) -> Result<Layer, Misfit> {
    object.need_text("specversion")?;
    let (slot, body) = data(object, layer)?;
    let mut shape = shape(object)?;
    let media_type = object.text("datacontenttype");
    shape.content_type = Some(media_type.unwrap_or_else(|| {
        let default = if slot.field == BYTES { OCTETS } else { JSON };
        default.to_owned()
    }));
    Ok(Layer::Envelope(Inner { slot, body, shape, attributes: Vec::new() }))
}

fn shape(object: &Object<'_>) -> Result<Shape, Misfit> {
    // An empty type is none.
    let kind = object
        .raw("type")
        .and_then(|raw| serde_json::from_str::<String>(raw.get()).ok())
        .ok_or_else(|| object.misfit("type", "is no string"))?;
    let key = joined([object.text("source"), object.text("id")]);
    let mut shape = Shape { kind: Some(kind).filter(|kind| !kind.is_empty()), key, ..Shape::default() };
    for (name, _) in object.fields().filter(|(name, _)| !matches!(*name, DATA | BYTES)) {
        shape = shape.with(&format!("ce-{name}"), object.scalar(name));
    }
    Ok(shape)
}

/// The data and where it is. JSON stays as it is written; of another media type, a string is its
/// text.
fn data(object: &Object<'_>, layer: &Bytes) -> Result<(Slot, Bytes), Misfit> {
    let present = |field| object.raw(field).filter(|raw| raw.get() != "null");
    if let Some(raw) = present(BYTES) {
        return Ok((Slot { field: BYTES, encoding: Encoding::Base64 }, decoded(object, BYTES, raw)?));
    }
    let slot = |encoding| Slot { field: DATA, encoding };
    let Some(raw) = present(DATA) else { return Ok((slot(Encoding::Json), Bytes::new())) };
    // Version 0.3 has no `data_base64`.
    if object.text("datacontentencoding").as_deref() == Some("base64") {
        return Ok((slot(Encoding::Base64), decoded(object, DATA, raw)?));
    }
    // Without a media type a string may be either: it was always read as its text.
    let is_json = object.text("datacontenttype").is_some_and(|media_type| is_json(&media_type));
    let text = if is_json { None } else { text_of(raw) };
    Ok(match text {
        Some(text) => (slot(Encoding::Text), Bytes::from(text)),
        None => (slot(Encoding::Json), layer.slice_ref(raw.get().as_bytes())),
    })
}

fn decoded(object: &Object<'_>, field: &str, raw: &RawValue) -> Result<Bytes, Misfit> {
    let text = text_of(raw).ok_or_else(|| object.misfit(field, "is no string"))?;
    let bytes = BASE64_STANDARD.decode(text).map_err(|_| object.misfit(field, "is no base64"))?;
    Ok(bytes.into())
}

fn text_of(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "text/json" || essence.ends_with("/json") || essence.ends_with("+json")
}

/// An array of events. Any other array is none.
pub fn batch(text: &str, layer: &Bytes) -> Result<Option<Layer>, Misfit> {
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(text) else { return Ok(None) };
    let mut events = Vec::new();
    for (index, raw) in elements.into_iter().enumerate() {
        match Object::element(raw, format!("/{index}")) {
            Some(event) if is_one(&event) => events.push((layer.slice_ref(raw.get().as_bytes()), shape(&event)?)),
            // A batch is one from its first event on.
            Some(_) | None if events.is_empty() => return Ok(None),
            Some(_) | None => return Err(Misfit { path: format!("/{index}"), why: "is no CloudEvent" }),
        }
    }
    Ok((!events.is_empty()).then_some(Layer::Batch(events)))
}
