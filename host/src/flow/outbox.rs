//! The outbox: what a handler wants sent is recorded in the ledger when the handler has succeeded,
//! then sent, then the completion is recorded. A host that dies in between leaves the record
//! ([`super::pending`]), and the next attempt sends it again without a run: a twin has the same key
//! and the same body, so it is a duplicate at its consumer.

use std::time::Duration;

use wasq_core::backoff::Backoff;
use wasq_core::message::{AttributeValue, Attributes, Message};
use wasq_queues::{Outgoing, Queue, QueueError, QueueRules, send_in_order, size_limit_error};

use super::plugin_attempt::PluginAttempt;
use crate::sandbox::{Destinations, OutboxMessage};

const TRACE_ATTRIBUTE: &str = "traceparent";
/// How often what a queue has not accepted is sent within one attempt, and the waits in between.
const TRIES: u32 = 4;
const TRY_AGAIN: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));

/// A handler's success whose outbox is not yet known to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    pub result: Option<Vec<u8>>,
    pub messages: Vec<OutboxMessage>,
}

impl PluginAttempt<'_> {
    /// What the message's outbox may send to.
    pub fn destinations(&self) -> Destinations {
        let own = QueueRules::of(&*self.runtime.queue, &self.runtime.max_bytes);
        Destinations { own, outlets: Some(self.services.outlets.clone()) }
    }
}

/// Why an outbox was not sent.
pub enum SendError {
    /// The host has not been able to open the queue yet. It goes on trying.
    NotOpen { queue: String, reason: String },
    /// To which queue it could not be sent, and why.
    Failed(String),
}

/// Sends it.
pub async fn send(plugin_attempt: &PluginAttempt<'_>, messages: Vec<OutboxMessage>) -> Result<(), SendError> {
    let depth = plugin_attempt.message.map_or(0, Message::depth).saturating_add(1);
    let trace = plugin_attempt.span.traceparent().or_else(|| plugin_attempt.message?.traceparent.clone());
    // What follows one another to one queue goes in as few calls as SQS allows, in its order.
    for run in messages.chunk_by(|a, b| a.queue == b.queue) {
        let queue = match run[0].queue.as_str() {
            "" => &plugin_attempt.runtime.queue,
            name => match plugin_attempt.services.outlets.get(name) {
                Some(outlet) => &outlet.queue,
                None => {
                    return Err(SendError::Failed(format!(
                        "the outbox names the queue `{name}`, which is not in the config; add [queues.{name}] or \
                         [outlets.{name}]"
                    )));
                }
            },
        };
        let outgoing = |message: &OutboxMessage| {
            let mut outgoing = message.outgoing(queue.is_fifo(), depth);
            if let Some(trace) = &trace {
                carry_on(trace, &outgoing.body, &mut outgoing.attributes);
            }
            outgoing
        };
        let run = run.iter().map(outgoing).collect();
        send_to(plugin_attempt, queue.as_ref(), run).await.map_err(|error| match error.says_not_open() {
            true => SendError::NotOpen { queue: queue.name().to_owned(), reason: error.to_string() },
            false => SendError::Failed(format!("cannot send to {}: {error}", queue.name())),
        })?;
    }
    Ok(())
}

/// Sends to one queue, and what was not accepted again, while that may help. What was accepted is
/// not sent twice.
async fn send_to(
    plugin_attempt: &PluginAttempt<'_>,
    queue: &dyn Queue,
    mut messages: Vec<Outgoing>,
) -> Result<(), QueueError> {
    for tries in 1.. {
        if queue.claim_check_over().is_some() {
            prepare(queue, &mut messages).await;
        }
        let answers = send_in_order(queue, &messages).await;
        let (mut left, mut failed) = (Vec::new(), None);
        for (message, answer) in messages.into_iter().zip(answers) {
            if let Err(error) = answer {
                failed.get_or_insert(error);
                left.push(message);
            }
        }
        let Some(error) = failed else { break };
        let may_pass = matches!(error, QueueError::Transient { .. }) && !error.says_not_open();
        if !may_pass || tries == TRIES || plugin_attempt.lease.is_over() {
            return Err(error);
        }
        messages = left;
        tokio::select! {
            biased;
            () = plugin_attempt.lease.lost().cancelled() => return Err(error),
            () = plugin_attempt.services.interrupt.cancelled() => return Err(error),
            () = tokio::time::sleep(TRY_AGAIN.jittered(tries)) => {}
        }
    }
    Ok(())
}

/// What was prepared once is sent so in every try. What could not be is prepared by the send, which
/// says why it fails.
async fn prepare(queue: &dyn Queue, messages: &mut [Outgoing]) {
    for message in messages {
        if let Ok(prepared) = queue.prepare(message.clone()).await {
            *message = prepared;
        }
    }
}

/// Names the span that sends it, unless the handler did, and where there is room: a message is
/// worth more than its trace.
fn carry_on(trace: &str, body: &[u8], attributes: &mut Attributes) {
    if attributes.contains_key(TRACE_ATTRIBUTE) || size_limit_error(body, attributes, 1).is_some() {
        return;
    }
    attributes.insert(TRACE_ATTRIBUTE.into(), AttributeValue::string(trace));
    if size_limit_error(body, attributes, 0).is_some() {
        attributes.remove(TRACE_ATTRIBUTE);
    }
}
