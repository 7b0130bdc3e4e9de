//! What a handler may call of the contract: its delivery, its outbox, its steps, its log. Each call
//! is answered here, from the state of its run.

use std::time::Duration;

use wasmtime::component::Resource;
use wasq_core::clock;
use wasq_core::message::{AttributeData, AttributeValue};
use wasq_ledgers::LedgerError;

use super::bindings::wasq::worker::{delivery, log, messages, outbox, steps, waits};
use super::grants::OWN_QUEUE;
use super::job::Parking;
use super::outbox::{OutboxMessage, derived_key, number};
use super::send_options::SendOptions;
use super::state::State;
use super::steps::{Recorded, check_name};
use crate::groups::{ENDED_ATTRIBUTE, EndedGroup, MEMBER_ATTRIBUTE, Membership, Role};
use crate::timers::waits::Waiting;

/// A step that no guest can name, and that is never there: who asks for it hears whether the claim
/// still holds.
const CLAIM_CHECK: &str = "\0claim";

impl messages::Host for State {}

impl delivery::Host for State {
    fn attempt(&mut self) -> u32 {
        self.attempt
    }

    fn remaining_ms(&mut self) -> u32 {
        // A timeout is at most 12 h.
        u32::try_from(self.deadline.saturating_duration_since(clock::now()).as_millis()).unwrap_or(u32::MAX)
    }

    fn idempotency_key(&mut self) -> String {
        self.key.to_hex()
    }

    fn sent_at_ms(&mut self) -> u64 {
        self.sent_at.0
    }

    fn retry_after(&mut self, delay_ms: u64) {
        self.retry_after = Some(Duration::from_millis(delay_ms));
    }
}

impl outbox::Host for State {
    fn send(
        &mut self,
        queue: outbox::Queue,
        kind: String,
        body: Vec<u8>,
        options: Option<Resource<SendOptions>>,
    ) -> wasmtime::Result<Result<(), outbox::SendError>> {
        self.send_to(queue, kind, body, options, None)
    }
}

impl outbox::HostSendOptions for State {
    fn new(&mut self) -> wasmtime::Result<Resource<SendOptions>> {
        Ok(self.table.push(SendOptions::default())?)
    }

    fn set_delay_s(&mut self, options: Resource<SendOptions>, delay_s: u32) -> wasmtime::Result<()> {
        self.table.get_mut(&options)?.delay_s = delay_s;
        Ok(())
    }

    fn set_group(
        &mut self,
        options: Resource<SendOptions>,
        group: String,
    ) -> wasmtime::Result<Result<(), outbox::SendError>> {
        if let Err(error) = self.keep_option(group.len()) {
            return Ok(Err(error));
        }
        self.table.get_mut(&options)?.group = Some(group);
        Ok(Ok(()))
    }

    fn set_attribute(
        &mut self,
        options: Resource<SendOptions>,
        attribute: messages::Attribute,
    ) -> wasmtime::Result<Result<(), outbox::SendError>> {
        let value = match &attribute.value {
            messages::AttributeValue::Text(text) | messages::AttributeValue::Number(text) => text.len(),
            messages::AttributeValue::Binary(bytes) => bytes.len(),
        };
        if let Err(error) = self.keep_option(attribute.name.len() + value) {
            return Ok(Err(error));
        }
        self.table.get_mut(&options)?.set(attribute);
        Ok(Ok(()))
    }

    fn drop(&mut self, options: Resource<SendOptions>) -> wasmtime::Result<()> {
        self.table.delete(options)?;
        Ok(())
    }
}

impl State {
    /// Counts what the host keeps for the guest's options: a guest could have it keep any number of
    /// them, and send none.
    fn keep_option(&mut self, bytes: usize) -> Result<(), outbox::SendError> {
        self.option_bytes = self.option_bytes.saturating_add(bytes);
        let limit = self.limits.outbox_bytes;
        if self.option_bytes <= limit {
            return Ok(());
        }
        Err(outbox::SendError::Limit(format!("all options of a run have at most {limit} bytes (limits.outbox_bytes)")))
    }

    /// As the contract has it: with a queue, and with options by their handle.
    pub(super) fn send_to(
        &mut self,
        queue: outbox::Queue,
        kind: String,
        body: Vec<u8>,
        options: Option<Resource<SendOptions>>,
        role: Option<(Option<String>, Role)>,
    ) -> wasmtime::Result<Result<(), outbox::SendError>> {
        let queue = match queue {
            outbox::Queue::Origin => String::new(),
            outbox::Queue::Named(name) => name,
        };
        let options = match options {
            Some(options) => Some(self.table.get(&options)?.clone()),
            None => None,
        };
        Ok(self.send(queue, kind, body, options.as_ref(), role))
    }

    /// Keeps a message until the handler has succeeded. It may be a member of a group, or what
    /// follows one.
    pub(super) fn send(
        &mut self,
        queue: String,
        kind: String,
        body: Vec<u8>,
        options: Option<&SendOptions>,
        role: Option<(Option<String>, Role)>,
    ) -> Result<(), outbox::SendError> {
        let part = match role {
            Some((group, role)) => Some(Box::new(self.group_part(group, role, options)?)),
            None => None,
        };
        self.calls.outbox += 1;
        // Recorded under one name, so that the key of what is sent is the same under both.
        let queue = if queue == OWN_QUEUE { String::new() } else { queue };
        if !self.policy.grants.may_send_to(&queue) {
            let asked = if queue.is_empty() { OWN_QUEUE } else { &queue };
            return Err(outbox::SendError::Denied(format!("this handler was not granted the queue `{asked}`")));
        }
        let Some(rules) = self.destinations.rules(&queue) else {
            return Err(outbox::SendError::Denied(format!(
                "the queue `{queue}` is not in the config; add [queues.{queue}], or [outlets.{queue}] if it is only sent to"
            )));
        };
        let index = self.outbox.len();
        if index >= self.limits.outbox_messages {
            let limit = self.limits.outbox_messages;
            return Err(outbox::SendError::Limit(format!("at most {limit} messages a run (limits.outbox_messages)")));
        }
        let mut message = OutboxMessage {
            key: derived_key(self.key, &queue, &kind, index),
            queue,
            kind,
            body: body.into(),
            attributes: Default::default(),
            delay_s: 0,
            asked_at: None,
            group: None,
            part,
        };
        if let Some(options) = options {
            message.delay_s = options.delay_s;
            message.asked_at = Some(self.unix_ms());
            message.group.clone_from(&options.group);
            message.attributes.clone_from(&options.attributes);
        }
        if let Some(name) =
            [MEMBER_ATTRIBUTE, ENDED_ATTRIBUTE].iter().find(|name| message.attributes.contains_key(**name))
        {
            return Err(outbox::SendError::Limit(format!("the attribute `{name}` is the host's to set")));
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
            return Err(outbox::SendError::Limit(reason));
        }
        let limit = self.limits.outbox_bytes;
        if !self.outbox.push(message, limit) {
            return Err(outbox::SendError::Limit(format!(
                "all messages of a run have at most {limit} bytes (limits.outbox_bytes)"
            )));
        }
        Ok(())
    }
}

impl SendOptions {
    /// One more attribute, or another value of one.
    pub(super) fn set(&mut self, attribute: messages::Attribute) {
        let value = match attribute.value {
            messages::AttributeValue::Text(text) => AttributeValue::string(text),
            messages::AttributeValue::Number(digits) => number(digits),
            messages::AttributeValue::Binary(bytes) => {
                AttributeValue { data_type: "Binary".into(), value: AttributeData::Binary(bytes.into()) }
            }
        };
        self.attributes.insert(attribute.name, value);
    }
}

impl steps::Host for State {
    async fn get(&mut self, name: String) -> Result<Option<Vec<u8>>, steps::StepError> {
        self.check_step(&name)?;
        let answer = self.ledger.get_step(self.key, self.fence, &name).await;
        answer.map_err(|error| self.unavailable(&error))
    }

    async fn put(&mut self, name: String, value: Vec<u8>) -> Result<(), steps::StepError> {
        self.check_step(&name)?;
        if value.len() > self.limits.step_bytes {
            let limit = self.limits.step_bytes;
            let size = value.len();
            return Err(steps::StepError::Limit(format!(
                "the step has {size} bytes; the limit is {limit} (limits.step_bytes)"
            )));
        }
        if self.steps.count >= self.limits.steps {
            return Err(steps::StepError::Limit(format!("at most {} steps a run (limits.steps)", self.limits.steps)));
        }
        let bytes = self.steps.bytes.saturating_add(value.len());
        if bytes > self.limits.step_total_bytes {
            let limit = self.limits.step_total_bytes;
            return Err(steps::StepError::Limit(format!(
                "all steps of a run have at most {limit} bytes (limits.step_total_bytes)"
            )));
        }
        self.steps = Recorded { count: self.steps.count + 1, bytes };
        let answer = self.ledger.put_step(self.key, self.fence, &name, &value).await;
        answer.map_err(|error| self.unavailable(&error))
    }
}

impl waits::Host for State {
    async fn wait(&mut self, name: String, timeout_ms: u64) -> Result<waits::WaitState, waits::WaitError> {
        self.check_step(&name).map_err(|error| match error {
            steps::StepError::Limit(reason) => waits::WaitError::Limit(reason),
            steps::StepError::Unavailable(reason) => waits::WaitError::Unavailable(reason),
        })?;
        let limit = self.limits.waits;
        if self.waits >= limit {
            return Err(waits::WaitError::Limit(format!("at most {limit} waits a run (limits.waits)")));
        }
        self.waits += 1;
        // A delivery that no longer holds the message begins no wait.
        if let Err(error) = self.ledger.get_step(self.key, self.fence, CLAIM_CHECK).await {
            return Err(waits::WaitError::Unavailable(self.unavailable(&error).to_string()));
        }
        let Some(Parking { store, waiter }) = self.parking.as_deref() else {
            let reason = "the message cannot wait: its ledger keeps no timers, or it has no room for the host's attribute \
                          (wasq-parked)";
            return Err(waits::WaitError::Limit(reason.into()));
        };
        let timeout = Duration::from_millis(timeout_ms);
        match store.wait(&*self.ledger, self.key, &name, timeout, waiter).await {
            Ok(Waiting::Pending(token)) => {
                self.is_waiting = true;
                Ok(waits::WaitState::Pending(token))
            }
            Ok(Waiting::Answered(body)) => Ok(waits::WaitState::Answered(body)),
            Ok(Waiting::TimedOut) => Ok(waits::WaitState::TimedOut),
            Err(LedgerError::TooLarge(reason)) => Err(waits::WaitError::Limit(reason)),
            Err(error) => Err(waits::WaitError::Unavailable(error.to_string())),
        }
    }
}

impl State {
    fn check_step(&mut self, name: &str) -> Result<(), steps::StepError> {
        self.calls.step += 1;
        if let Some(mode) = self.policy.without_steps {
            let words = format!("the manifest has idempotency.mode = \"{mode}\", with which no steps are kept");
            return Err(steps::StepError::Limit(words));
        }
        check_name(name).map_err(steps::StepError::Limit)
    }

    fn unavailable(&mut self, error: &LedgerError) -> steps::StepError {
        self.claim_is_void |= matches!(error, LedgerError::Stale);
        steps::StepError::Unavailable(error.to_string())
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
