//! The outbox: what a handler wants sent is recorded in the ledger when the handler has succeeded,
//! then sent, then the completion is recorded. A host that dies in between leaves the record
//! ([`super::pending`]), and the next attempt sends it again without a run: a twin has the same key
//! and the same body, so it is a duplicate at its consumer.

use std::sync::Arc;
use std::time::Duration;

use wasq_core::backoff::Backoff;
use wasq_core::message::{AttributeValue, Attributes, Message};
use wasq_ledgers::LedgerError;
use wasq_queues::{Outgoing, Queue, QueueError, QueueRules, send_in_order};

use super::insist::insist;
use super::plugin_attempt::PluginAttempt;
use crate::sandbox::{Destinations, OutboxMessage};
use crate::timers::Later;

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
    /// What is to be sent later could not be stored.
    Ledger(LedgerError),
    /// To which queue it could not be sent, and why.
    Failed(String),
    /// It can never be sent: why its group does not take it.
    Refused(String),
}

/// Sends it. A message whose delay is longer than its queue has is stored in the ledger, and sent
/// when it is due.
pub async fn send(plugin_attempt: &PluginAttempt<'_>, messages: Vec<OutboxMessage>) -> Result<(), SendError> {
    let now = plugin_attempt.services.clock.unix_ms();
    // What follows one another to one queue goes in as few calls as SQS allows, in its order.
    for run in messages.chunk_by(|a, b| a.queue == b.queue) {
        let (name, queue) = destination(plugin_attempt, &run[0].queue)?;
        let (mut at_once, mut later) = (Vec::new(), Vec::new());
        for message in run {
            let mut outgoing = outgoing(plugin_attempt, message, &**queue);
            let due = message.due(now);
            let wait = due.since(now);
            if wait > queue.delays_up_to() {
                later.push(Later { queue: name.to_owned(), key: message.key.clone(), due, message: outgoing });
            } else {
                outgoing.delay_s = wait.as_millis().div_ceil(1_000) as u32;
                at_once.push(outgoing);
            }
        }
        let failed = |error: QueueError| match error.says_not_open() {
            true => SendError::NotOpen { queue: queue.name().to_owned(), reason: error.to_string() },
            false => SendError::Failed(format!("cannot send to {}: {error}", queue.name())),
        };
        store(plugin_attempt, queue.as_ref(), later).await?;
        send_to(plugin_attempt, queue.as_ref(), at_once).await.map_err(failed)?;
    }
    Ok(())
}

/// A queue that an outbox names, with its name in the config.
pub(super) fn destination<'a>(
    plugin_attempt: &PluginAttempt<'a>,
    name: &'a str,
) -> Result<(&'a str, &'a Arc<dyn Queue>), SendError> {
    if name.is_empty() {
        return Ok((&plugin_attempt.runtime.name, &plugin_attempt.runtime.queue));
    }
    match plugin_attempt.services.outlets.get(name) {
        Some(outlet) => Ok((name, &outlet.queue)),
        None => Err(SendError::Failed(format!(
            "the outbox names the queue `{name}`, which is not in the config; add [queues.{name}] or [outlets.{name}]"
        ))),
    }
}

/// A message as its queue gets it, without its delay.
pub(super) fn outgoing(plugin_attempt: &PluginAttempt<'_>, message: &OutboxMessage, queue: &dyn Queue) -> Outgoing {
    let rules = QueueRules::of_broker(queue);
    let depth = plugin_attempt.message.map_or(0, Message::depth).saturating_add(1);
    let mut outgoing = message.outgoing(rules.fifo, depth);
    let trace = plugin_attempt.span.traceparent().or_else(|| plugin_attempt.message?.traceparent.clone());
    if let Some(trace) = trace {
        carry_on(&trace, &rules, &outgoing.body, &mut outgoing.attributes);
    }
    outgoing
}

/// Stores what is to be sent to one queue later.
async fn store(
    plugin_attempt: &PluginAttempt<'_>,
    queue: &dyn Queue,
    mut messages: Vec<Later>,
) -> Result<(), SendError> {
    if messages.is_empty() {
        return Ok(());
    }
    if queue.claim_check_over().is_some() {
        for later in &mut messages {
            later.message = queue
                .prepare(later.message.clone())
                .await
                .map_err(|error| SendError::Failed(format!("cannot prepare a message to {}: {error}", queue.name())))?;
        }
    }
    let Some(timers) = &plugin_attempt.services.timers else {
        return Err(SendError::Failed("the ledger keeps no timers, which long delays need".into()));
    };
    insist(plugin_attempt, || timers.set(&messages)).await.map_err(SendError::Ledger)
}

/// Sends to one queue, and what was not accepted again, while that may help. What was accepted is
/// not sent twice.
async fn send_to(
    plugin_attempt: &PluginAttempt<'_>,
    queue: &dyn Queue,
    mut messages: Vec<Outgoing>,
) -> Result<(), QueueError> {
    if messages.is_empty() {
        return Ok(());
    }
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
fn carry_on(trace: &str, rules: &QueueRules, body: &[u8], attributes: &mut Attributes) {
    if attributes.contains_key(TRACE_ATTRIBUTE) {
        return;
    }
    attributes.insert(TRACE_ATTRIBUTE.into(), AttributeValue::string(trace));
    if rules.size_refusal(body, attributes, 0).is_some() {
        attributes.remove(TRACE_ATTRIBUTE);
    }
}
