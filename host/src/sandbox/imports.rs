//! What a handler may call of the contract: its delivery, its outbox, its steps, its log. Each call
//! is answered here, from the state of its run.

use std::time::Duration;

use wasq_core::clock;
use wasq_core::message::{AttributeData, AttributeValue, Attributes};
use wasq_ledgers::LedgerError;

use super::bindings::wasq::worker::{delivery, log, outbox, steps, types, waits};
use super::grants::OWN_QUEUE;
use super::job::Parking;
use super::outbox::{OutboxMessage, derived_key, number};
use super::state::State;
use super::steps::{Recorded, check_name};
use crate::groups::{ENDED_ATTRIBUTE, EndedGroup, GroupPart, MEMBER_ATTRIBUTE, Membership, Role};
use crate::timers::waits::Waiting;

/// A step that no guest can name, and that is never there: who asks for it hears whether the claim
/// still holds.
const CLAIM_CHECK: &str = "\0claim";

impl types::Host for State {}

impl delivery::Host for State {
    fn attempt(&mut self) -> u32 {
        self.attempt
    }

    fn remaining_ms(&mut self) -> u64 {
        self.deadline.saturating_duration_since(clock::now()).as_millis() as u64
    }

    fn idempotency_key(&mut self) -> String {
        self.key.to_hex()
    }

    fn sent_at(&mut self) -> u64 {
        self.sent_at.0
    }
}

impl outbox::Host for State {
    fn send(
        &mut self,
        queue: String,
        kind: String,
        body: Vec<u8>,
        options: Option<outbox::Options>,
    ) -> Result<(), outbox::Error> {
        self.push(queue, kind, body, options, None)
    }
}

impl State {
    /// Keeps a message until the handler has succeeded.
    pub(super) fn push(
        &mut self,
        queue: String,
        kind: String,
        body: Vec<u8>,
        options: Option<outbox::Options>,
        part: Option<Box<GroupPart>>,
    ) -> Result<(), outbox::Error> {
        self.calls.outbox += 1;
        // Recorded under one name, so that the key of what is sent is the same under both.
        let queue = if queue == OWN_QUEUE { String::new() } else { queue };
        if !self.policy.grants.may_send_to(&queue) {
            let asked = if queue.is_empty() { OWN_QUEUE } else { &queue };
            return Err(outbox::Error::Denied(format!("this handler was not granted the queue `{asked}`")));
        }
        let Some(rules) = self.destinations.rules(&queue) else {
            return Err(outbox::Error::Denied(format!(
                "the queue `{queue}` is not in the config; add [queues.{queue}], or [outlets.{queue}] if it is only sent to"
            )));
        };
        let index = self.outbox.len();
        if index >= self.limits.outbox_messages {
            let limit = self.limits.outbox_messages;
            return Err(outbox::Error::Limit(format!("at most {limit} messages a run (limits.outbox_messages)")));
        }
        let mut message = OutboxMessage {
            key: derived_key(self.key, &queue, &kind, index),
            queue,
            kind,
            body: body.into(),
            attributes: Attributes::new(),
            delay_s: 0,
            asked_at: None,
            group: None,
            part,
        };
        if let Some(options) = options {
            message.delay_s = options.delay_s;
            message.asked_at = Some(self.unix_ms());
            message.group = options.group;
            message.attributes = options.attributes.into_iter().map(|a| (a.name, attribute(a.value))).collect();
        }
        if let Some(name) =
            [MEMBER_ATTRIBUTE, ENDED_ATTRIBUTE].iter().find(|name| message.attributes.contains_key(**name))
        {
            return Err(outbox::Error::Limit(format!("the attribute `{name}` is the host's to set")));
        }
        // What the queue would refuse for good must not be recorded: it would stand in the way of
        // every later attempt.
        let mut outgoing = message.outgoing(rules.fifo, self.depth.saturating_add(1));
        if let Some(part) = &message.part {
            let (name, value) = match part.role {
                Role::Member => (MEMBER_ATTRIBUTE, Membership::longest(&part.group).attribute()),
                Role::Then(_) => (ENDED_ATTRIBUTE, EndedGroup::longest(&part.group).attribute()),
            };
            outgoing.attributes.insert(name.into(), value);
        }
        if let Some(reason) = rules.refusal(&outgoing) {
            return Err(outbox::Error::Limit(reason));
        }
        let limit = self.limits.outbox_bytes;
        if !self.outbox.push(message, limit) {
            return Err(outbox::Error::Limit(format!(
                "all messages of a run have at most {limit} bytes (limits.outbox_bytes)"
            )));
        }
        Ok(())
    }
}

fn attribute(value: types::AttributeValue) -> AttributeValue {
    match value {
        types::AttributeValue::Text(text) => AttributeValue::string(text),
        types::AttributeValue::Number(text) => number(text),
        types::AttributeValue::Binary(bytes) => {
            AttributeValue { data_type: "Binary".into(), value: AttributeData::Binary(bytes.into()) }
        }
    }
}

impl steps::Host for State {
    async fn get(&mut self, name: String) -> Result<Option<Vec<u8>>, steps::Error> {
        self.check_step(&name)?;
        let answer = self.ledger.get_step(self.key, self.fence, &name).await;
        answer.map_err(|error| self.unavailable(&error))
    }

    async fn put(&mut self, name: String, value: Vec<u8>) -> Result<(), steps::Error> {
        self.check_step(&name)?;
        if value.len() > self.limits.step_bytes {
            let limit = self.limits.step_bytes;
            let size = value.len();
            return Err(steps::Error::Limit(format!(
                "the step has {size} bytes; the limit is {limit} (limits.step_bytes)"
            )));
        }
        if self.steps.count >= self.limits.steps {
            return Err(steps::Error::Limit(format!("at most {} steps a run (limits.steps)", self.limits.steps)));
        }
        let bytes = self.steps.bytes.saturating_add(value.len());
        if bytes > self.limits.step_total_bytes {
            let limit = self.limits.step_total_bytes;
            return Err(steps::Error::Limit(format!(
                "all steps of a run have at most {limit} bytes (limits.step_total_bytes)"
            )));
        }
        self.steps = Recorded { count: self.steps.count + 1, bytes };
        let answer = self.ledger.put_step(self.key, self.fence, &name, &value).await;
        answer.map_err(|error| self.unavailable(&error))
    }
}

impl waits::Host for State {
    async fn wait(&mut self, name: String, timeout_ms: u64) -> Result<waits::State, waits::Error> {
        self.check_step(&name).map_err(|error| match error {
            steps::Error::Limit(reason) => waits::Error::Limit(reason),
            steps::Error::Unavailable(reason) => waits::Error::Unavailable(reason),
        })?;
        let limit = self.limits.waits;
        if self.waits >= limit {
            return Err(waits::Error::Limit(format!("at most {limit} waits a run (limits.waits)")));
        }
        self.waits += 1;
        // A delivery that no longer holds the message begins no wait.
        if let Err(error) = self.ledger.get_step(self.key, self.fence, CLAIM_CHECK).await {
            return Err(waits::Error::Unavailable(self.unavailable(&error).to_string()));
        }
        let Some(Parking { store, waiter }) = self.parking.as_deref() else {
            let reason = "the message cannot wait: its ledger keeps no timers, or it has no room for the host's attribute \
                          (wasq-parked)";
            return Err(waits::Error::Limit(reason.into()));
        };
        let timeout = Duration::from_millis(timeout_ms);
        match store.wait(&*self.ledger, self.key, &name, timeout, waiter).await {
            Ok(Waiting::Pending(token)) => {
                self.is_waiting = true;
                Ok(waits::State::Pending(token))
            }
            Ok(Waiting::Answered(body)) => Ok(waits::State::Answered(body)),
            Ok(Waiting::TimedOut) => Ok(waits::State::TimedOut),
            Err(LedgerError::TooLarge(reason)) => Err(waits::Error::Limit(reason)),
            Err(error) => Err(waits::Error::Unavailable(error.to_string())),
        }
    }
}

impl State {
    fn check_step(&mut self, name: &str) -> Result<(), steps::Error> {
        self.calls.step += 1;
        if let Some(mode) = self.policy.without_steps {
            let words = format!("the manifest has idempotency.mode = \"{mode}\", with which no steps are kept");
            return Err(steps::Error::Limit(words));
        }
        check_name(name).map_err(steps::Error::Limit)
    }

    fn unavailable(&mut self, error: &LedgerError) -> steps::Error {
        self.claim_is_void |= matches!(error, LedgerError::Stale);
        steps::Error::Unavailable(error.to_string())
    }
}

impl log::Host for State {
    fn enabled(&mut self, level: log::Level) -> bool {
        self.log.takes(level)
    }

    fn write(&mut self, level: log::Level, target: String, message: String, fields: Vec<(String, String)>) {
        self.log.record(level, &target, &message, &fields);
    }
}
