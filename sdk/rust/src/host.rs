//! The host, from inside a component: what `wit/worker.wit` has the host offer, in this crate's own
//! types.

use std::time::Duration;

use crate::backend::StepError;
use crate::handler::Handler;
use crate::http::{self, Answer, FaultKind, Request};
use crate::logging::{self, Record};
use crate::message::{Attribute, AttributeValue};
use crate::outbox::{NewMessage, SendError};
use crate::{Context, End, Failure, GroupPart, Member, Message, OnFailure, Outcome, Pending, Summary, Waiting};

/// What wit-bindgen makes of the contract.
#[allow(unsafe_code)] // Generated: the calling convention of components is pointers and lengths.
#[allow(missing_docs)]
pub mod bindings {
    wit_bindgen::generate!({
        // The standard library has the variables, and the crate `wasip2` has HTTP.
        inline: "package wasq:sdk; world handler { include wasq:worker/imports@0.2.0; export wasq:worker/message-handler@0.2.0; }",
        path: "../../wit",
        pub_export_macro: true,
        export_macro_name: "export_handler",
        default_bindings_module: "wasq_sdk::__private::bindings",
        generate_all,
    });
}

use bindings::wasq::worker::{delivery, groups, log, messages, outbox, steps, waits};

/// The host: there is one, so nothing to hold.
#[derive(Debug)]
pub(crate) struct Backend;

impl Backend {
    pub(crate) fn attempt(&self) -> u32 {
        delivery::attempt()
    }

    pub(crate) fn remaining(&self) -> Duration {
        Duration::from_millis(delivery::remaining_ms().into())
    }

    pub(crate) fn idempotency_key(&self) -> String {
        delivery::idempotency_key()
    }

    pub(crate) fn sent_at_ms(&self) -> u64 {
        delivery::sent_at_ms()
    }

    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    pub(crate) fn step(&self, name: &str) -> Result<Option<Vec<u8>>, StepError> {
        steps::get(name).map_err(Into::into)
    }

    pub(crate) fn record_step(&self, name: &str, value: Vec<u8>) -> Result<(), StepError> {
        steps::put(name, &value).map_err(Into::into)
    }

    pub(crate) fn send(&self, message: NewMessage) -> Result<(), SendError> {
        let options = options(&message)?;
        let queue = match message.queue.as_str() {
            "" | "self" => outbox::Queue::Origin,
            _ => outbox::Queue::Named(message.queue),
        };
        let (kind, body, options) = (&message.kind, &message.body, options.as_ref());
        let sent = match &message.part {
            None => outbox::send(&queue, kind, body, options),
            Some(GroupPart::Member(group)) => groups::add(group.as_deref(), &queue, kind, body, options),
            Some(GroupPart::Then(group, on_failure)) => {
                groups::follow_with(group.as_deref(), (*on_failure).into(), &queue, kind, body, options)
            }
        };
        sent.map_err(Into::into)
    }

    pub(crate) fn ended_group(&self) -> Option<Summary> {
        let groups::EndedGroup { name, done, discarded, dead_lettered } = groups::ended()?;
        Some(Summary { name, done, discarded, dead_lettered })
    }

    pub(crate) fn members(&self, first: u32) -> Result<Vec<Member>, StepError> {
        match groups::members(first) {
            Ok(members) => Ok(members.into_iter().map(Into::into).collect()),
            Err(groups::MembersError::Gone(reason)) => Err(StepError::Limit(reason)),
            Err(groups::MembersError::Unavailable(reason)) => Err(StepError::Unavailable(reason)),
        }
    }

    pub(crate) fn wait(&self, name: &str, timeout: Duration) -> Result<Waiting, StepError> {
        match waits::wait(name, milliseconds(timeout)) {
            Ok(waits::WaitState::Pending(token)) => Ok(Waiting::Pending(Pending::new(token, timeout))),
            Ok(waits::WaitState::Answered(body)) => Ok(Waiting::Answered(body)),
            Ok(waits::WaitState::TimedOut) => Ok(Waiting::TimedOut),
            Err(waits::WaitError::Limit(reason)) => Err(StepError::Limit(reason)),
            Err(waits::WaitError::Unavailable(reason)) => Err(StepError::Unavailable(reason)),
        }
    }

    pub(crate) fn http(&self, request: &Request) -> Result<Answer, FaultKind> {
        http::wasi::send(request)
    }
}

/// What the export of a component does: one message, one outcome.
pub fn handle<Shape>(
    handler: impl Handler<Shape>,
    message: messages::Message,
) -> Result<messages::Outcome, messages::Failure> {
    logging::install();
    let cx = Context::new(message.into(), Backend);
    handler.run(&cx).map(Into::into).map_err(failure)
}

/// How a message is sent, where that is not all by default.
fn options(message: &NewMessage) -> Result<Option<outbox::SendOptions>, SendError> {
    if message.delay_s == 0 && message.group.is_none() && message.attributes.is_empty() {
        return Ok(None);
    }
    let options = outbox::SendOptions::new();
    options.set_delay_s(message.delay_s);
    if let Some(group) = &message.group {
        options.set_group(group)?;
    }
    for attribute in message.attributes.clone() {
        options.set_attribute(&attribute.into())?;
    }
    Ok(Some(options))
}

/// The failure as the host takes it: it is told apart when to try again.
fn failure(failure: Failure) -> messages::Failure {
    if let Failure::Retry { after: Some(after), .. } | Failure::Unavailable { after: Some(after), .. } = &failure {
        delivery::retry_after(milliseconds(*after));
    }
    match failure {
        Failure::Retry { reason, .. } => messages::Failure::Retry(reason),
        Failure::Unavailable { dependency, reason, .. } => {
            messages::Failure::Unavailable(messages::Unavailable { dependency, reason })
        }
        Failure::Reject { reason } => messages::Failure::Reject(reason),
    }
}

/// Whether the host keeps records of this level.
pub(crate) fn log_enabled(level: tracing::Level) -> bool {
    log::enabled(wire_level(level))
}

/// Hands a record to the host.
pub(crate) fn log_write(record: Record) {
    log::write(wire_level(record.level), &record.target, &record.message, &record.fields);
}

fn wire_level(level: tracing::Level) -> log::Level {
    match level {
        tracing::Level::TRACE => log::Level::Trace,
        tracing::Level::DEBUG => log::Level::Debug,
        tracing::Level::INFO => log::Level::Info,
        tracing::Level::WARN => log::Level::Warn,
        tracing::Level::ERROR => log::Level::Error,
    }
}

impl From<messages::Message> for Message {
    fn from(message: messages::Message) -> Self {
        Self {
            id: message.id,
            kind: message.kind,
            body: message.body,
            content_type: message.content_type,
            attributes: message.attributes.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<messages::Attribute> for Attribute {
    fn from(attribute: messages::Attribute) -> Self {
        let value = match attribute.value {
            messages::AttributeValue::Text(text) => AttributeValue::Text(text),
            messages::AttributeValue::Number(digits) => AttributeValue::Number(digits),
            messages::AttributeValue::Binary(bytes) => AttributeValue::Binary(bytes),
        };
        Self { name: attribute.name, value }
    }
}

impl From<Attribute> for messages::Attribute {
    fn from(attribute: Attribute) -> Self {
        let value = match attribute.value {
            AttributeValue::Text(text) => messages::AttributeValue::Text(text),
            AttributeValue::Number(digits) => messages::AttributeValue::Number(digits),
            AttributeValue::Binary(bytes) => messages::AttributeValue::Binary(bytes),
        };
        Self { name: attribute.name, value }
    }
}

impl From<Outcome> for messages::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done(result) => Self::Done(result),
            Outcome::Discard(reason) => Self::Discard(reason),
            Outcome::Snooze(after) => Self::Snooze(milliseconds(after)),
        }
    }
}

impl From<steps::StepError> for StepError {
    fn from(error: steps::StepError) -> Self {
        match error {
            steps::StepError::Limit(reason) => Self::Limit(reason),
            steps::StepError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

impl From<outbox::SendError> for SendError {
    fn from(error: outbox::SendError) -> Self {
        match error {
            outbox::SendError::Denied(reason) => Self::Denied(reason),
            outbox::SendError::Limit(reason) => Self::Limit(reason),
        }
    }
}

impl From<OnFailure> for groups::OnFailure {
    fn from(on_failure: OnFailure) -> Self {
        match on_failure {
            OnFailure::Send => Self::Send,
            OnFailure::Wait => Self::Wait,
            OnFailure::Cancel => Self::Cancel,
        }
    }
}

impl From<groups::Member> for Member {
    fn from(member: groups::Member) -> Self {
        let end = match member.end {
            Some(groups::MemberEnd::Done(result)) => End::Done(result),
            Some(groups::MemberEnd::Discarded(reason)) => End::Discarded(reason),
            Some(groups::MemberEnd::DeadLettered(reason)) => End::DeadLettered(reason),
            None => End::Open,
        };
        Self { queue: member.queue, kind: member.kind, end }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
