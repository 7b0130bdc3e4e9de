//! The outbox: what a handler wants sent is recorded in the ledger when the handler has succeeded, then sent, then the
//! completion is recorded. A host that dies in between leaves the record ([`super::pending`]), and the next attempt sends it
//! again without a run: a twin has the same key and the same body, so it is a duplicate at its consumer.

use super::Share;
use super::decode::TYPE_ATTRIBUTE;
use crate::dlq::OWN_KEY_ATTRIBUTE;
use crate::message::{AttributeValue, Attributes};
use crate::queue::{Outgoing, batches, size_limit_error};
use crate::sandbox::OutboxMessage;

const TRACE_ATTRIBUTE: &str = "traceparent";

/// A handler's success whose outbox is not yet known to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    pub result: Option<Vec<u8>>,
    pub messages: Vec<OutboxMessage>,
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
