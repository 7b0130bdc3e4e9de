//! Records: what S3 notifies of, what EventBridge Pipes take from a DynamoDB or Kinesis stream, and
//! what else names its service as `eventSource: "aws:…"`.

use bytes::Bytes;
use url::form_urlencoded;

use super::super::layer::{Layer, Notice, Shape, joined};
use crate::json::{Misfit, Object};

/// One record, or several in `Records`; none if it is neither.
pub fn open(object: &Object<'_>, layer: &Bytes) -> Result<Option<Layer>, Misfit> {
    if is_test(object) {
        let event = object.text("Event").unwrap_or_default();
        let shape = Shape::of(event, joined([object.text("RequestId"), object.text("Time")]));
        let shape = shape.with("s3-bucket", object.text("Bucket")).with("s3-event-time", object.text("Time"));
        return Ok(Some(Layer::Notice(Notice::Test, shape)));
    }
    if source(object).is_some() {
        return record(object).map(Layer::Shape).map(Some);
    }
    let Some(elements) = object.array("Records") else { return Ok(None) };
    let mut records = Vec::new();
    for (raw, path) in elements {
        let Some(one) = Object::element(raw, path.clone()).filter(|one| source(one).is_some()) else {
            // What else has a field `Records` is none of these.
            return if records.is_empty() {
                Ok(None)
            } else {
                Err(Misfit { path, why: "is no record with an `eventSource`" })
            };
        };
        let body = [b"{\"Records\":[", layer.slice_ref(raw.get().as_bytes()).as_ref(), b"]}"].concat();
        records.push((Bytes::from(body), record(&one)?));
    }
    match records.len() {
        0 => Ok(None),
        1 => Ok(records.pop().map(|(_, shape)| Layer::Shape(shape))),
        _ => Ok(Some(Layer::Batch(records))),
    }
}

/// What S3 says once when a notification is set up.
fn is_test(object: &Object<'_>) -> bool {
    object.text("Event").as_deref() == Some("s3:TestEvent") && object.text("Bucket").is_some()
}

/// The service that a record is of: of `aws:s3` it is `s3`. S3-compatible stores have a word of
/// their own before the colon.
fn source(object: &Object<'_>) -> Option<String> {
    let source = object.text("eventSource")?;
    let (vendor, service) = source.split_once(':')?;
    (vendor == "aws" || service == "s3").then(|| service.to_owned()).filter(|service| !service.is_empty())
}

fn record(object: &Object<'_>) -> Result<Shape, Misfit> {
    let service = source(object).unwrap_or_default();
    match service.as_str() {
        "s3" => s3(object),
        "dynamodb" => Ok(stream(object, "dynamodb", &object.need_text("eventName")?)),
        "kinesis" => {
            let said = object.text("partitionKey").map(|key| ("kinesis-partition-key", key));
            let shape = stream(object, "kinesis", "record");
            Ok(said.into_iter().fold(shape, |shape, (name, value)| shape.with(name, Some(value))))
        }
        _ => Ok(stream(object, &service, &object.text("eventName").unwrap_or_else(|| "record".to_owned()))),
    }
}

/// `s3:ObjectCreated:Put`. The key is the object's, with what tells its events apart; S3 writes the
/// object's name as in a form, and the attribute has it as it is.
fn s3(object: &Object<'_>) -> Result<Shape, Misfit> {
    let name = object.need_text("eventName")?;
    let name = name.strip_prefix("s3:").unwrap_or(&name).to_owned();
    let s3 = object.need_object("s3")?;
    let (bucket, item) = (s3.need_object("bucket")?, s3.need_object("object")?);
    let (bucket, key) = (bucket.need_text("name")?, item.need_text("key")?);
    let sequencer = item.text("sequencer");
    let version = item.text("versionId");
    let identity = joined([
        Some(name.clone()),
        Some(bucket.clone()),
        Some(key.clone()),
        Some(version.clone().unwrap_or_default()),
        sequencer.clone(),
    ]);
    Ok(Shape::of(format!("s3:{name}"), identity)
        .with("s3-event-name", Some(name))
        .with("s3-event-time", object.text("eventTime"))
        .with("s3-region", object.text("awsRegion"))
        .with("s3-bucket", Some(bucket))
        .with("s3-key", Some(decoded(&key)))
        .with("s3-size", item.scalar("size"))
        .with("s3-etag", item.text("eTag"))
        .with("s3-version-id", version)
        .with("s3-sequencer", sequencer))
}

fn decoded(key: &str) -> String {
    form_urlencoded::parse(format!("k={key}").as_bytes()).next().map_or_else(String::new, |(_, key)| key.into_owned())
}

/// A record of a stream, or of another source of a pipe.
fn stream(object: &Object<'_>, service: &str, event: &str) -> Shape {
    let id = object.text("eventID");
    let arn = object.text("eventSourceARN");
    let sequence = |field: &str| object.object(field).and_then(|inner| inner.text("SequenceNumber"));
    Shape::of(format!("{service}:{event}"), joined([Some(arn.clone().unwrap_or_default()), id.clone()]))
        .with(&format!("{service}-event-id"), id)
        .with(&format!("{service}-event-source-arn"), arn)
        .with(&format!("{service}-region"), object.text("awsRegion"))
        .with(&format!("{service}-sequence-number"), object.text("sequenceNumber").or_else(|| sequence(service)))
}
