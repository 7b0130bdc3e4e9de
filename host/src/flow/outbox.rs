//! The outbox: what a handler wants sent is recorded in the ledger when the handler has succeeded, then sent, then the
//! completion is recorded. A host that dies in between leaves the record, and the next attempt sends it again without a
//! run: a twin has the same key and the same body, so it is a duplicate at its consumer.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Share;
use super::claim::Claimed;
use super::decode::TYPE_ATTRIBUTE;
use super::record::insist;
use crate::dlq::OWN_KEY_ATTRIBUTE;
use crate::exit::Exit;
use crate::ledger::LedgerError;
use crate::message::{AttributeData, AttributeValue, Attributes};
use crate::queue::{Outgoing, batches, size_limit_error};
use crate::sandbox::OutboxMessage;

const TRACE_ATTRIBUTE: &str = "traceparent";

/// The step under which it is recorded. No guest's step can have this name.
const STEP: &str = "\0outbox";
/// Bytes of one recorded part. DynamoDB keeps 400 KB in an item.
const PART_BYTES: usize = 256 * 1024;

/// A handler's success whose outbox is not yet known to be sent.
pub struct Finished {
    pub result: Option<Vec<u8>>,
    pub messages: Vec<OutboxMessage>,
}

/// What an earlier attempt recorded; none if none came so far.
pub async fn left_behind(share: &Share<'_>, claim: &Claimed) -> Result<Option<Finished>, Exit> {
    let fresh = &claim.fresh;
    let is_first = fresh.attempt == 1 && fresh.crashes == 0 && fresh.replays == 0 && share.delivery.receive_count == 1;
    if is_first {
        return Ok(None);
    }
    let Some(mut head) = part(share, claim, 0).await? else { return Ok(None) };
    if head.len() < size_of::<u32>() {
        return Err(damaged("it is too short"));
    }
    let mut json = head.split_off(size_of::<u32>());
    let parts = u32::from_le_bytes(head.try_into().expect("four bytes were left"));
    for place in 1..parts {
        match part(share, claim, place).await? {
            Some(more) => json.extend(more),
            None => return Err(damaged("a part of it is missing")),
        }
    }
    let stored: Stored = serde_json::from_slice(&json).map_err(|error| damaged(&error.to_string()))?;
    stored.read().map(Some).map_err(|error| damaged(&error.to_string()))
}

/// Records the success, unless nothing is to be sent: the completion says it all then.
pub async fn keep(share: &Share<'_>, claim: &Claimed, finished: &Finished) -> Result<(), Exit> {
    let json = serde_json::to_vec(&Stored::of(finished)).map_err(|error| damaged(&error.to_string()))?;
    let parts: Vec<&[u8]> = json.chunks(PART_BYTES).collect();
    // The first part goes last: where it is, all are.
    for (place, bytes) in parts.iter().enumerate().rev() {
        let place = place as u32;
        let mut value = if place == 0 { (parts.len() as u32).to_le_bytes().to_vec() } else { Vec::new() };
        value.extend_from_slice(bytes);
        let ledger = &share.services.ledger;
        let name = part_name(place);
        let put = || ledger.put_step(claim.key, claim.fresh.fence, &name, &value);
        insist(share, put).await.map_err(|error| exit_of(share, error))?;
    }
    Ok(())
}

/// Sends it. The error says to which queue it could not be sent, and why.
pub async fn send(share: &Share<'_>, messages: Vec<OutboxMessage>) -> Result<(), String> {
    // What follows one another to one queue goes in as few calls as SQS allows, in its order.
    for run in messages.chunk_by(|a, b| a.queue == b.queue) {
        let queue = match run[0].queue.as_str() {
            "" => &share.lane.queue,
            name => share.services.outlets.get(name).ok_or_else(|| {
                format!("the outbox names the queue `{name}`, which is not in the config; add [queues.{name}]")
            })?,
        };
        let fifo = queue.name().ends_with(".fifo");
        let trace = share.span.traceparent().or_else(|| share.message?.traceparent.clone());
        let outgoing = |message: &OutboxMessage| outgoing(message.clone(), fifo, trace.as_deref());
        let run: Vec<Outgoing> = run.iter().map(outgoing).collect();
        for batch in batches(&run) {
            if let Some(error) = queue.send(batch).await.into_iter().find_map(Result::err) {
                return Err(format!("cannot send to {}: {error}", queue.name()));
            }
        }
    }
    Ok(())
}

fn outgoing(message: OutboxMessage, fifo: bool, trace: Option<&str>) -> Outgoing {
    let mut attributes = message.attributes;
    attributes.insert(TYPE_ATTRIBUTE.into(), AttributeValue::string(message.kind));
    attributes.insert(OWN_KEY_ATTRIBUTE.into(), AttributeValue::string(message.key.clone()));
    if let Some(trace) = trace {
        carry_on(trace, &message.body, &mut attributes);
    }
    Outgoing {
        body: message.body,
        attributes,
        delay_s: message.delay_s,
        group: message.group.or_else(|| fifo.then(|| "wasq".to_owned())),
        deduplication_id: fifo.then_some(message.key),
    }
}

/// Names the span that sends it, unless the handler did, and where there is room: a message is worth more than its trace.
fn carry_on(trace: &str, body: &[u8], attributes: &mut Attributes) {
    if attributes.contains_key(TRACE_ATTRIBUTE) || size_limit_error(body, attributes, 1).is_some() {
        return;
    }
    attributes.insert(TRACE_ATTRIBUTE.into(), AttributeValue::string(trace));
    if size_limit_error(body, attributes, 0).is_some() {
        attributes.remove(TRACE_ATTRIBUTE);
    }
}

async fn part(share: &Share<'_>, claim: &Claimed, place: u32) -> Result<Option<Vec<u8>>, Exit> {
    let name = part_name(place);
    let get = || share.services.ledger.get_step(claim.key, claim.fresh.fence, &name);
    insist(share, get).await.map_err(|error| exit_of(share, error))
}

fn part_name(place: u32) -> String {
    if place == 0 { STEP.to_owned() } else { format!("{STEP}/{place}") }
}

fn exit_of(share: &Share<'_>, error: LedgerError) -> Exit {
    match error {
        LedgerError::Stale => Exit::LeaseLost,
        error @ (LedgerError::Unavailable(_) | LedgerError::Damaged(_) | LedgerError::TooLarge(_)) => {
            share.services.health.ledger_failed(&error.to_string());
            Exit::LedgerDown { reason: error.to_string() }
        }
    }
}

fn damaged(why: &str) -> Exit {
    Exit::Outbox { reason: format!("the outbox that was recorded cannot be read: {why}") }
}

/// A [`Finished`] as the ledger keeps it: JSON, with base64 for bytes.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    result: Option<String>,
    messages: Vec<StoredMessage>,
}

#[derive(Serialize, Deserialize)]
struct StoredMessage {
    queue: String,
    kind: String,
    body: String,
    attributes: Vec<StoredAttribute>,
    delay_s: u32,
    group: Option<String>,
    key: String,
}

#[derive(Serialize, Deserialize)]
struct StoredAttribute {
    name: String,
    data_type: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    binary: Option<String>,
}

impl Stored {
    fn of(finished: &Finished) -> Self {
        let encode = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
        let message = |message: &OutboxMessage| StoredMessage {
            queue: message.queue.clone(),
            kind: message.kind.clone(),
            body: encode(&message.body),
            attributes: message.attributes.iter().map(|(name, value)| StoredAttribute::of(name, value)).collect(),
            delay_s: message.delay_s,
            group: message.group.clone(),
            key: message.key.clone(),
        };
        Self {
            result: finished.result.as_deref().map(encode),
            messages: finished.messages.iter().map(message).collect(),
        }
    }

    fn read(self) -> Result<Finished, base64::DecodeError> {
        let decode = |text: String| BASE64_STANDARD.decode(text);
        let message = |stored: StoredMessage| {
            let attributes =
                stored.attributes.into_iter().map(StoredAttribute::read).collect::<Result<Attributes, _>>()?;
            Ok(OutboxMessage {
                queue: stored.queue,
                kind: stored.kind,
                body: decode(stored.body)?.into(),
                attributes,
                delay_s: stored.delay_s,
                group: stored.group,
                key: stored.key,
            })
        };
        Ok(Finished {
            result: self.result.map(decode).transpose()?,
            messages: self.messages.into_iter().map(message).collect::<Result<_, base64::DecodeError>>()?,
        })
    }
}

impl StoredAttribute {
    fn of(name: &str, value: &AttributeValue) -> Self {
        let (text, binary) = match &value.value {
            AttributeData::Text(text) => (Some(text.clone()), None),
            AttributeData::Binary(bytes) => (None, Some(BASE64_STANDARD.encode(bytes))),
        };
        Self { name: name.to_owned(), data_type: value.data_type.clone(), text, binary }
    }

    fn read(self) -> Result<(String, AttributeValue), base64::DecodeError> {
        let value = match self.binary {
            Some(binary) => AttributeData::Binary(Bytes::from(BASE64_STANDARD.decode(binary)?)),
            None => AttributeData::Text(self.text.unwrap_or_default()),
        };
        Ok((self.name, AttributeValue { data_type: self.data_type, value }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_what_was_to_be_sent() {
        let binary =
            AttributeValue { data_type: "Binary.png".into(), value: AttributeData::Binary(vec![0, 255].into()) };
        let message = OutboxMessage {
            queue: "emails".into(),
            kind: "receipt".into(),
            body: Bytes::from_static(b"\xff\0body"),
            attributes: [("a".into(), AttributeValue::string("b")), ("image".into(), binary)].into(),
            delay_s: 3,
            group: Some("g".into()),
            key: "k".into(),
        };
        let finished = Finished { result: Some(vec![1, 2]), messages: vec![message] };
        let json = serde_json::to_vec(&Stored::of(&finished)).unwrap();
        let read = serde_json::from_slice::<Stored>(&json).unwrap().read().unwrap();
        assert_eq!(read.result, finished.result);
        assert_eq!(format!("{:?}", read.messages), format!("{:?}", finished.messages));
    }
}
