//! Amazon SES: what became of a mail, as a notification (`notificationType`) or as an event of a
//! configuration set (`eventType`).

use super::super::layer::{Layer, Notice, Shape, joined};
use crate::json::Object;

/// What SES says once when a topic is set up.
const TEST: &str = "AmazonSnsSubscriptionSucceeded";

/// `ses:Bounce`. The key is the mail's id with what happened to it: one mail may be opened twice.
pub fn open(object: &Object<'_>) -> Option<Layer> {
    let event = object.text("notificationType").or_else(|| object.text("eventType"))?;
    if event == TEST {
        return Some(Layer::Notice(Notice::Test, Shape::of(format!("ses:{event}"), None)));
    }
    // What else has such a field is no mail's.
    let mail = object.object("mail")?;
    let id = mail.text("messageId")?;
    // `bounce` of `Bounce`, `deliveryDelay` of `DeliveryDelay`, `failure` of `Rendering Failure`;
    // `receipt` of a mail that was received.
    let field = match event.as_str() {
        "Rendering Failure" => "failure".to_owned(),
        "Received" => "receipt".to_owned(),
        other => other.chars().take(1).map(|first| first.to_ascii_lowercase()).chain(other.chars().skip(1)).collect(),
    };
    let what = object.raw(&field).map_or("", |raw| raw.get());
    let what = blake3::hash(what.as_bytes()).to_hex()[..32].to_owned();
    let shape = Shape::of(format!("ses:{event}"), joined([Some(event.clone()), Some(id.clone()), Some(what)]))
        .with("ses-event-type", Some(event))
        .with("ses-message-id", Some(id))
        .with("ses-mail-source", mail.text("source"))
        .with("ses-mail-time", mail.text("timestamp"))
        .with("ses-time", object.object(&field).and_then(|inner| inner.text("timestamp")));
    Some(Layer::Shape(shape))
}
