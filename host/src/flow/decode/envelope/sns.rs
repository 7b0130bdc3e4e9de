//! Amazon SNS: notifications without raw delivery, and what SNS says about subscriptions.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use wasq_core::message::{AttributeData, AttributeValue};

use super::super::layer::{Encoding, Inner, Layer, Notice, Shape, Slot};
use crate::json::{Misfit, Object};

const NOTIFICATION: &str = "Notification";
const SUBSCRIPTION: &str = "SubscriptionConfirmation";
const UNSUBSCRIPTION: &str = "UnsubscribeConfirmation";

/// What else has a field `Type` is no notification.
pub fn is_one(object: &Object<'_>) -> bool {
    match object.text("Type").as_deref() {
        Some(NOTIFICATION) => object.raw("TopicArn").is_some() || object.text("Message").is_some(),
        Some(SUBSCRIPTION | UNSUBSCRIPTION) => object.raw("TopicArn").is_some() && object.raw("Token").is_some(),
        Some(_) | None => false,
    }
}

/// The notification's own attributes join the message's; each with its type.
pub fn open(object: &Object<'_>) -> Result<Layer, Misfit> {
    let kind = object.text("Type");
    if let Some(kind @ (SUBSCRIPTION | UNSUBSCRIPTION)) = kind.as_deref() {
        let (topic_arn, token) = (object.need_text("TopicArn")?, object.need_text("Token")?);
        let notice = match kind {
            SUBSCRIPTION => Notice::Subscription { topic_arn, token },
            _ => Notice::Unsubscribed { topic_arn },
        };
        return Ok(Layer::Notice(notice, said(object, Shape::of(format!("sns:{kind}"), object.text("MessageId")))));
    }
    // An empty message is one.
    let message: String = object
        .raw("Message")
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .ok_or_else(|| object.misfit("Message", "is no string"))?;
    let shape = said(object, Shape { key: object.text("MessageId"), ..Shape::default() });
    let slot = Slot { field: "Message", encoding: Encoding::Text };
    let mut carried = Vec::new();
    if object.raw("MessageAttributes").is_some_and(|raw| raw.get() != "null") {
        let all = object.need_object("MessageAttributes")?;
        for (name, _) in all.fields() {
            let one = all.need_object(name)?;
            carried.push((name.to_owned(), attribute(&one)?));
        }
    }
    Ok(Layer::Envelope(Inner { slot, body: Bytes::from(message), shape, attributes: carried }))
}

fn said(object: &Object<'_>, shape: Shape) -> Shape {
    shape
        .with("sns-message-id", object.text("MessageId"))
        .with("sns-topic-arn", object.text("TopicArn"))
        .with("sns-subject", object.text("Subject"))
        .with("sns-timestamp", object.text("Timestamp"))
        .with("sns-sequence-number", object.text("SequenceNumber"))
}

fn attribute(one: &Object<'_>) -> Result<AttributeValue, Misfit> {
    let data_type = one.text("Type").unwrap_or_else(|| "String".to_owned());
    let text: String = one
        .raw("Value")
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .ok_or_else(|| one.misfit("Value", "is no string"))?;
    let value = if data_type == "Binary" || data_type.starts_with("Binary.") {
        let bytes = BASE64_STANDARD.decode(text).map_err(|_| one.misfit("Value", "is no base64"))?;
        AttributeData::Binary(bytes.into())
    } else {
        AttributeData::Text(text)
    };
    Ok(AttributeValue { data_type, value })
}
