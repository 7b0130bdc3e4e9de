//! Amazon EventBridge: events of its buses and of its Scheduler; and the notifications of AWS's
//! developer tools (CodePipeline, CodeBuild, …), which have the same parts in other letters.

use bytes::Bytes;

use super::super::layer::{Encoding, Inner, Layer, Shape, Slot};
use crate::json::{Misfit, Object};

/// What else has a field `detail-type` is no event.
pub fn is_one(object: &Object<'_>) -> bool {
    let is_event = object.raw("detail").is_some() || (object.raw("source").is_some() && object.raw("id").is_some());
    (object.is_string("detail-type") && is_event) || is_notification(object)
}

fn is_notification(object: &Object<'_>) -> bool {
    object.is_string("detailType") && object.raw("notificationRuleArn").is_some()
}

/// `detail-type` is the type, `detail` the body. The Scheduler writes `detail` as a string; then
/// its text is the body.
pub fn open(object: &Object<'_>, layer: &Bytes) -> Result<Layer, Misfit> {
    let type_field = if is_notification(object) { "detailType" } else { "detail-type" };
    // An empty type is none.
    let kind = object
        .raw(type_field)
        .and_then(|raw| serde_json::from_str::<String>(raw.get()).ok())
        .ok_or_else(|| object.misfit(type_field, "is no string"))?;
    let detail = object.raw("detail").ok_or_else(|| object.misfit("detail", "is missing"))?;
    let (encoding, body) = match serde_json::from_str::<String>(detail.get()) {
        Ok(text) => (Encoding::Text, Bytes::from(text)),
        Err(_) => (Encoding::Json, layer.slice_ref(detail.get().as_bytes())),
    };
    let shape = Shape { kind: Some(kind).filter(|kind| !kind.is_empty()), key: object.text("id"), ..Shape::default() }
        .with("eventbridge-id", object.text("id"))
        .with("eventbridge-detail-type", object.text(type_field))
        .with("eventbridge-source", object.text("source"))
        .with("eventbridge-account", object.text("account"))
        .with("eventbridge-time", object.text("time"))
        .with("eventbridge-region", object.text("region"))
        .with("eventbridge-resources", object.raw("resources").map(|raw| raw.get().to_owned()))
        .with("eventbridge-rule-arn", object.text("notificationRuleArn"));
    Ok(Layer::Envelope(Inner { slot: Slot { field: "detail", encoding }, body, shape, attributes: Vec::new() }))
}
