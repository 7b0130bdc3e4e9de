//! What other services of AWS, and MassTransit, put into queues.

use bytes::Bytes;

use super::super::layer::{Encoding, Inner, Layer, Notice, Shape, Slot, joined};
use crate::json::Object;

/// What it is, by the fields that only that service writes together.
pub fn open(object: &Object<'_>) -> Option<Layer> {
    alarm(object)
        .or_else(|| approval(object))
        .or_else(|| destination(object))
        .or_else(|| iot(object))
        .map(Layer::Shape)
        .or_else(|| auto_scaling(object))
        .or_else(|| task_token(object).map(Layer::Shape))
}

/// A CloudWatch alarm's new state: `cloudwatch:ALARM`.
fn alarm(object: &Object<'_>) -> Option<Shape> {
    let (name, state) = (object.text("AlarmName")?, object.text("NewStateValue")?);
    let (arn, time) = (object.text("AlarmArn"), object.text("StateChangeTime"));
    let key = joined([arn.clone().or_else(|| Some(name.clone())), time.clone(), Some(state.clone())]);
    let shape = Shape::of(format!("cloudwatch:{state}"), key)
        .with("cloudwatch-alarm-name", Some(name))
        .with("cloudwatch-alarm-arn", arn)
        .with("cloudwatch-state", Some(state))
        .with("cloudwatch-old-state", object.text("OldStateValue"))
        .with("cloudwatch-time", time)
        .with("cloudwatch-account", object.text("AWSAccountId"))
        .with("cloudwatch-region", object.text("Region"));
    Some(shape)
}

/// CodePipeline waits for somebody's approval.
fn approval(object: &Object<'_>) -> Option<Shape> {
    let approval = object.object("approval")?;
    let (pipeline, token) = (approval.text("pipelineName")?, approval.text("token"));
    let shape = Shape::of("codepipeline:approval", joined([Some(pipeline.clone()), token.clone()]))
        .with("codepipeline-pipeline", Some(pipeline))
        .with("codepipeline-stage", approval.text("stageName"))
        .with("codepipeline-action", approval.text("actionName"))
        .with("codepipeline-token", token)
        .with("codepipeline-region", object.text("region"));
    Some(shape)
}

/// What came of an asynchronous Lambda invocation: `lambda:Success`, `lambda:RetriesExhausted`, ….
fn destination(object: &Object<'_>) -> Option<Shape> {
    let context = object.object("requestContext")?;
    let (condition, request) = (context.text("condition")?, context.text("requestId")?);
    object.raw("requestPayload")?;
    let shape = Shape::of(format!("lambda:{condition}"), joined([Some(request.clone()), Some(condition.clone())]))
        .with("lambda-condition", Some(condition))
        .with("lambda-request-id", Some(request))
        .with("lambda-function-arn", context.text("functionArn"))
        .with("lambda-approximate-invoke-count", context.scalar("approximateInvokeCount"))
        .with("lambda-time", object.text("timestamp"));
    Some(shape)
}

/// IoT Core's events about clients: `iot:connected`.
const IOT_CLIENT_EVENTS: [&str; 5] = ["connected", "connect_failed", "disconnected", "subscribed", "unsubscribed"];
/// IoT Core's events about its registry and jobs: `iot:THING_EVENT`.
const IOT_REGISTRY_EVENTS: [&str; 8] = [
    "THING_EVENT",
    "THING_TYPE_EVENT",
    "THING_GROUP_EVENT",
    "THING_TYPE_ASSOCIATION_EVENT",
    "THING_GROUP_MEMBERSHIP_EVENT",
    "THING_GROUP_HIERARCHY_EVENT",
    "JOB",
    "JOB_EXECUTION",
];

/// What else has an `eventType` is none of IoT Core's.
fn iot(object: &Object<'_>) -> Option<Shape> {
    let (event, time) = (object.text("eventType")?, object.scalar("timestamp")?);
    let (client, id) = (object.text("clientId"), object.text("eventId"));
    let key = if IOT_CLIENT_EVENTS.contains(&event.as_str()) {
        let session = object.text("sessionIdentifier").or_else(|| object.text("principalIdentifier"))?;
        joined([Some(client.clone()?), Some(session), Some(event.clone()), Some(time.clone())])
    } else if IOT_REGISTRY_EVENTS.contains(&event.as_str()) {
        Some(id.clone()?)
    } else {
        return None;
    };
    let shape = Shape::of(format!("iot:{event}"), key)
        .with("iot-event-type", Some(event))
        .with("iot-event-id", id)
        .with("iot-client-id", client)
        .with("iot-operation", object.text("operation"))
        .with("iot-time", Some(time));
    Some(shape)
}

/// Auto Scaling: notifications (`autoscaling:EC2_INSTANCE_LAUNCH`) and lifecycle hooks
/// (`autoscaling:EC2_INSTANCE_LAUNCHING`).
fn auto_scaling(object: &Object<'_>) -> Option<Layer> {
    let event = object.text("LifecycleTransition").or_else(|| object.text("Event"))?;
    if !event.starts_with("autoscaling:") {
        return None;
    }
    let shape = Shape::of(&event, joined([object.text("RequestId"), Some(event.clone())]))
        .with("autoscaling-group", object.text("AutoScalingGroupName"))
        .with("autoscaling-instance", object.text("EC2InstanceId"))
        .with("autoscaling-hook", object.text("LifecycleHookName"))
        .with("autoscaling-token", object.text("LifecycleActionToken"))
        .with("autoscaling-account", object.text("AccountId"))
        .with("autoscaling-time", object.text("Time"));
    Some(match event.as_str() {
        "autoscaling:TEST_NOTIFICATION" => Layer::Notice(Notice::Test, shape),
        _ => Layer::Shape(shape),
    })
}

/// A Step Functions task that waits for its token to come back. The body is the state machine's
/// own, so a type in it goes first.
fn task_token(object: &Object<'_>) -> Option<Shape> {
    let token = ["TaskToken", "taskToken", "task_token"].into_iter().find_map(|name| object.text(name))?;
    let key = blake3::hash(token.as_bytes()).to_hex().to_string();
    let shape = Shape { fallback_kind: Some("states:task".to_owned()), key: Some(key), ..Shape::default() };
    Some(shape.with("states-task-token", Some(token)))
}

/// A MassTransit envelope: its first message type without `urn:message:`, and its `message`.
pub fn masstransit(object: &Object<'_>, layer: &Bytes) -> Option<Inner> {
    let types = object.raw("messageType")?;
    let types: Vec<String> = serde_json::from_str(types.get()).ok()?;
    let kind = types.first()?.strip_prefix("urn:message:").filter(|kind| !kind.is_empty())?.to_owned();
    let body = layer.slice_ref(object.raw("message")?.get().as_bytes());
    let shape = Shape::of(kind, object.text("messageId"))
        .with("masstransit-message-id", object.text("messageId"))
        .with("masstransit-conversation-id", object.text("conversationId"))
        .with("masstransit-correlation-id", object.text("correlationId"))
        .with("masstransit-source-address", object.text("sourceAddress"))
        .with("masstransit-sent-time", object.text("sentTime"));
    Some(Inner { slot: Slot { field: "message", encoding: Encoding::Json }, body, shape, attributes: Vec::new() })
}
