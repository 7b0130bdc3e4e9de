//! The first step: from a delivery to a message, unwrapped from its envelope, with its type and
//! key.

mod fields;

use bytes::Bytes;
use serde_json::Value;
use wasq_core::message::{AttributeValue, Attributes, Delivery, KEY_FIELD, KeySource, Message, MessageType};

pub use wasq_core::message::{KEY_ATTRIBUTE, TYPE_ATTRIBUTE};

use fields::Fields;

use crate::config::{Envelope, KeyFrom, QueueConfig};
use crate::dlq::{LETTER_ATTRIBUTE, OWN_KEY_ATTRIBUTE};

/// Levels of nesting that an envelope may have: serde_json's own limit.
const NESTING_NOTE: &str = "; at most 128 levels of nesting are read";

/// Reads a delivery. An error says what cannot be read, in words fit for a dead letter.
pub fn decode(delivery: &Delivery, envelope: Envelope, default_type: Option<&str>) -> Result<Message, String> {
    let mut attributes = delivery.attributes.clone();
    attributes.remove(LETTER_ATTRIBUTE);
    let outer = Fields::read(&delivery.body);
    let opened = open(envelope, &delivery.body, &outer, &mut attributes)?;
    let inner = opened.as_ref().map(|opened| Fields::read(&opened.body));
    let fields = inner.as_ref().unwrap_or(&outer);

    let attribute = |name: &str| attributes.get(name).and_then(AttributeValue::text).map(str::to_owned);
    let field = |name: &str| fields.as_ref().ok().and_then(|fields| fields.text(name));
    // An empty type or key is none, and does not stand before another.
    let named = |text: Option<String>| text.filter(|text| !text.is_empty());
    let kind = named(attribute(TYPE_ATTRIBUTE))
        .or_else(|| named(opened.as_ref()?.kind.clone()))
        .or_else(|| named(field("type")))
        .or_else(|| default_type.map(str::to_owned));
    let Some(kind) = kind else {
        let why = match fields {
            Ok(_) => "its JSON body has no string field `type` with anything in it".to_owned(),
            Err(error) => format!("its body is no JSON ({error})"),
        };
        return Err(format!("the message has no type: no attribute `type`, {why}, and the queue has no default_type"));
    };
    let from = |source: KeySource| move |key: String| (key, source);
    let (key, key_source) = named(attribute(KEY_ATTRIBUTE))
        .map(from(KeySource::Attribute))
        .or_else(|| named(field(KEY_FIELD)).map(from(KeySource::BodyField)))
        .or_else(|| named(attribute(OWN_KEY_ATTRIBUTE)).map(from(KeySource::OwnKey)))
        .unwrap_or_else(|| (delivery.message_id.0.clone(), KeySource::MessageId));
    let content_type = attribute("content-type").unwrap_or_else(|| "application/json".to_owned());
    let traceparent = attribute("traceparent");
    let body = opened.map_or_else(|| delivery.body.clone(), |opened| opened.body);
    Ok(Message { kind: MessageType(kind), body, content_type, key, key_source, traceparent, attributes })
}

/// The key of a message that names none, where its queue asks for another than SQS's id of it: the
/// deduplication id, and in which window of the clock the message was sent. SQS itself drops a
/// second one within its five minutes; what it takes after that is a new message, unless the
/// queue's window is longer.
pub fn with_key_of_queue(message: Message, delivery: &Delivery, queue: &QueueConfig) -> Message {
    let asked = message.key_source == KeySource::MessageId && queue.key_from == KeyFrom::DeduplicationId;
    let Some(id) = delivery.deduplication_id.as_ref().filter(|_| asked) else { return message };
    let window = delivery.sent_at.0 / 1_000 / queue.deduplication_window.as_secs().max(1);
    Message { key: format!("{id}@{window}"), key_source: KeySource::DeduplicationId, ..message }
}

/// What was in an envelope.
struct Opened {
    body: Bytes,
    /// The type that the envelope names.
    kind: Option<String>,
}

/// None where there is no envelope.
fn open(
    envelope: Envelope,
    body: &[u8],
    fields: &Result<Fields<'_>, String>,
    attributes: &mut Attributes,
) -> Result<Option<Opened>, String> {
    let found = match (envelope, fields) {
        (Envelope::Auto, Ok(fields)) => recognise(fields),
        (Envelope::Auto, Err(_)) => Envelope::Plain,
        (named, _) => named,
    };
    let wrapped = || {
        serde_json::from_slice::<Value>(body).map_err(|error| {
            let note = if error.to_string().contains("recursion limit") { NESTING_NOTE } else { "" };
            format!("the body is no JSON, so no {found:?} envelope: {error}{note}")
        })
    };
    match found {
        Envelope::Plain | Envelope::Auto => Ok(None),
        Envelope::Sns => open_sns(&wrapped()?, attributes).map(Some),
        Envelope::Eventbridge => open_eventbridge(&wrapped()?).map(Some),
        Envelope::Cloudevents => open_cloudevent(&wrapped()?).map(Some),
    }
}

/// Which envelope a body's fields look like.
fn recognise(fields: &Fields<'_>) -> Envelope {
    if fields.text("Type").as_deref() == Some("Notification") && fields.text("Message").is_some() {
        return Envelope::Sns;
    }
    if fields.text("detail-type").is_some() && fields.has("detail") {
        return Envelope::Eventbridge;
    }
    if fields.text("specversion").is_some() && fields.text("type").is_some() {
        return Envelope::Cloudevents;
    }
    Envelope::Plain
}

/// An SNS notification, as SNS writes it to a queue without raw delivery. Its own attributes join
/// the message's.
fn open_sns(wrapped: &Value, attributes: &mut Attributes) -> Result<Opened, String> {
    let text = wrapped["Message"].as_str().ok_or("the SNS envelope has no string `Message`")?;
    for (name, attribute) in wrapped["MessageAttributes"].as_object().into_iter().flatten() {
        let data_type = attribute["Type"].as_str().unwrap_or("String");
        if let (Some(value), false) = (attribute["Value"].as_str(), data_type == "Binary") {
            let value = AttributeValue { data_type: data_type.to_owned(), ..AttributeValue::string(value) };
            attributes.entry(name.clone()).or_insert(value);
        }
    }
    let body = Bytes::copy_from_slice(text.as_bytes());
    Ok(Opened { body, kind: None })
}

/// An EventBridge event: `detail-type` is the type, `detail` the body.
fn open_eventbridge(wrapped: &Value) -> Result<Opened, String> {
    let kind = wrapped["detail-type"].as_str().ok_or("the EventBridge envelope has no string `detail-type`")?;
    let detail = wrapped.get("detail").ok_or("the EventBridge envelope has no `detail`")?;
    Ok(Opened { body: detail.to_string().into(), kind: Some(kind.to_owned()) })
}

/// A CloudEvent in structured mode: `data`, or `data_base64`.
fn open_cloudevent(wrapped: &Value) -> Result<Opened, String> {
    use base64::Engine;
    let kind = wrapped["type"].as_str().ok_or("the CloudEvents envelope has no string `type`")?.to_owned();
    if let Some(data) = wrapped["data_base64"].as_str() {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(data)
            .map_err(|error| format!("the CloudEvents envelope's `data_base64` is no base64: {error}"))?;
        return Ok(Opened { body: bytes.into(), kind: Some(kind) });
    }
    let body = match wrapped.get("data") {
        None | Some(Value::Null) => Bytes::new(),
        Some(Value::String(text)) => Bytes::copy_from_slice(text.as_bytes()),
        Some(other) => other.to_string().into(),
    };
    Ok(Opened { body, kind: Some(kind) })
}

#[cfg(test)]
mod tests;
