//! The host, from inside a component: the imports of `wit/worker.wit`, in this crate's own types.

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
        world: "worker",
        path: "../../wit",
        pub_export_macro: true,
        export_macro_name: "export_handler",
        default_bindings_module: "wasq_sdk::__private::bindings",
        generate_all,
    });
}

use bindings::wasq::worker::{delivery, groups, log, outbox, steps, types, waits};

/// The host: there is one, so nothing to hold.
#[derive(Debug)]
pub(crate) struct Backend;

impl Backend {
    pub(crate) fn attempt(&self) -> u32 {
        delivery::attempt()
    }

    pub(crate) fn remaining(&self) -> Duration {
        Duration::from_millis(delivery::remaining_ms())
    }

    pub(crate) fn idempotency_key(&self) -> String {
        delivery::idempotency_key()
    }

    pub(crate) fn sent_at_ms(&self) -> u64 {
        delivery::sent_at()
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
        let options = outbox::Options {
            delay_s: message.delay_s,
            group: message.group,
            attributes: message.attributes.into_iter().map(Into::into).collect(),
        };
        let (queue, kind, body) = (&message.queue, &message.kind, &message.body);
        let sent = match &message.part {
            None => outbox::send(queue, kind, body, Some(&options)),
            Some(GroupPart::Member(group)) => groups::send(group.as_deref(), queue, kind, body, Some(&options)),
            Some(GroupPart::Then(group, on_failure)) => {
                groups::then(group.as_deref(), (*on_failure).into(), queue, kind, body, Some(&options))
            }
        };
        sent.map_err(Into::into)
    }

    pub(crate) fn ended_group(&self) -> Option<Summary> {
        let groups::Summary { name, done, discarded, dead_lettered } = groups::ended()?;
        Some(Summary { name, done, discarded, dead_lettered })
    }

    pub(crate) fn members(&self, first: u32) -> Result<Vec<Member>, StepError> {
        match groups::members(first) {
            Ok(members) => Ok(members.into_iter().map(Into::into).collect()),
            Err(groups::ReadError::Gone(reason)) => Err(StepError::Limit(reason)),
            Err(groups::ReadError::Unavailable(reason)) => Err(StepError::Unavailable(reason)),
        }
    }

    pub(crate) fn wait(&self, name: &str, timeout: Duration) -> Result<Waiting, StepError> {
        match waits::wait(name, milliseconds(timeout)) {
            Ok(waits::State::Pending(token)) => Ok(Waiting::Pending(Pending::new(token, timeout))),
            Ok(waits::State::Answered(body)) => Ok(Waiting::Answered(body)),
            Ok(waits::State::TimedOut) => Ok(Waiting::TimedOut),
            Err(waits::Error::Limit(reason)) => Err(StepError::Limit(reason)),
            Err(waits::Error::Unavailable(reason)) => Err(StepError::Unavailable(reason)),
        }
    }

    pub(crate) fn http(&self, request: &Request) -> Result<Answer, FaultKind> {
        http::wasi::send(request)
    }
}

/// What the export of a component does: one message, one outcome.
pub fn handle<Shape>(handler: impl Handler<Shape>, message: types::Message) -> Result<types::Outcome, types::Failure> {
    logging::install();
    let cx = Context::new(message.into(), Backend);
    handler.run(&cx).map(Into::into).map_err(Into::into)
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

impl From<types::Message> for Message {
    fn from(message: types::Message) -> Self {
        Self {
            id: message.id,
            kind: message.kind,
            body: message.body,
            content_type: message.content_type,
            attributes: message.attributes.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<types::Attribute> for Attribute {
    fn from(attribute: types::Attribute) -> Self {
        let value = match attribute.value {
            types::AttributeValue::Text(text) => AttributeValue::Text(text),
            types::AttributeValue::Number(digits) => AttributeValue::Number(digits),
            types::AttributeValue::Binary(bytes) => AttributeValue::Binary(bytes),
        };
        Self { name: attribute.name, value }
    }
}

impl From<Attribute> for types::Attribute {
    fn from(attribute: Attribute) -> Self {
        let value = match attribute.value {
            AttributeValue::Text(text) => types::AttributeValue::Text(text),
            AttributeValue::Number(digits) => types::AttributeValue::Number(digits),
            AttributeValue::Binary(bytes) => types::AttributeValue::Binary(bytes),
        };
        Self { name: attribute.name, value }
    }
}

impl From<Outcome> for types::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done(result) => Self::Done(result),
            Outcome::Discard(reason) => Self::Discard(reason),
            Outcome::Snooze(after) => Self::Snooze(milliseconds(after)),
        }
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Retry { reason, after } => Self::Retry(types::Retry { reason, after_ms: after.map(milliseconds) }),
            Failure::Unavailable { dependency, reason, after } => {
                Self::Unavailable(types::Unavailable { dependency, reason, after_ms: after.map(milliseconds) })
            }
            Failure::Reject { reason } => Self::Reject(reason),
        }
    }
}

impl From<steps::Error> for StepError {
    fn from(error: steps::Error) -> Self {
        match error {
            steps::Error::Limit(reason) => Self::Limit(reason),
            steps::Error::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

impl From<outbox::Error> for SendError {
    fn from(error: outbox::Error) -> Self {
        match error {
            outbox::Error::Denied(reason) => Self::Denied(reason),
            outbox::Error::Limit(reason) => Self::Limit(reason),
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
            Some(groups::End::Done(result)) => End::Done(result),
            Some(groups::End::Discarded(reason)) => End::Discarded(reason),
            Some(groups::End::DeadLettered(reason)) => End::DeadLettered(reason),
            None => End::Open,
        };
        Self { queue: member.queue, kind: member.kind, end }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
