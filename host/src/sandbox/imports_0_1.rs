//! The contract as it was until version 0.1, in the words of the current one. Components that were
//! built for it go on working.

use std::time::Duration;

use super::bindings::v0_1::exports::wasq::worker::handler as old_handler;
use super::bindings::v0_1::wasq::worker::{delivery, groups, log, outbox, steps, types, waits};
use super::bindings::wasq::worker as current;
use super::bindings::wasq::worker::messages;
use super::send_options::SendOptions;
use super::state::State;
use crate::groups::Role;

impl State {
    /// The failure in the current contract's words; it keeps when to try again.
    pub(super) fn failure_of_0_1(&mut self, failure: old_handler::Failure) -> messages::Failure {
        let (failure, after_ms) = match failure {
            types::Failure::Retry(retry) => (messages::Failure::Retry(retry.reason), retry.after_ms),
            types::Failure::Unavailable(types::Unavailable { dependency, reason, after_ms }) => {
                (messages::Failure::Unavailable(messages::Unavailable { dependency, reason }), after_ms)
            }
            types::Failure::Reject(reason) => (messages::Failure::Reject(reason), None),
        };
        self.retry_after = after_ms.map(Duration::from_millis);
        failure
    }

    fn send_of_0_1(
        &mut self,
        queue: String,
        kind: String,
        body: Vec<u8>,
        options: Option<outbox::Options>,
        role: Option<(Option<String>, Role)>,
    ) -> Result<(), outbox::Error> {
        let options = options.map(|options| {
            let mut taken = SendOptions { delay_s: options.delay_s, group: options.group, ..SendOptions::default() };
            options.attributes.into_iter().for_each(|attribute| taken.set(attribute.into()));
            taken
        });
        Ok(self.send(queue, kind, body, options.as_ref(), role)?)
    }
}

impl types::Host for State {}

impl delivery::Host for State {
    fn attempt(&mut self) -> u32 {
        current::delivery::Host::attempt(self)
    }

    fn remaining_ms(&mut self) -> u64 {
        current::delivery::Host::remaining_ms(self).into()
    }

    fn idempotency_key(&mut self) -> String {
        current::delivery::Host::idempotency_key(self)
    }

    fn sent_at(&mut self) -> u64 {
        current::delivery::Host::sent_at_ms(self)
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
        self.send_of_0_1(queue, kind, body, options, None)
    }
}

impl steps::Host for State {
    async fn get(&mut self, name: String) -> Result<Option<Vec<u8>>, steps::Error> {
        Ok(current::steps::Host::get(self, name).await?)
    }

    async fn put(&mut self, name: String, value: Vec<u8>) -> Result<(), steps::Error> {
        Ok(current::steps::Host::put(self, name, value).await?)
    }
}

impl waits::Host for State {
    async fn wait(&mut self, name: String, timeout_ms: u64) -> Result<waits::State, waits::Error> {
        use current::waits::{WaitError, WaitState};
        match current::waits::Host::wait(self, name, timeout_ms).await {
            Ok(WaitState::Pending(token)) => Ok(waits::State::Pending(token)),
            Ok(WaitState::Answered(body)) => Ok(waits::State::Answered(body)),
            Ok(WaitState::TimedOut) => Ok(waits::State::TimedOut),
            Err(WaitError::Limit(reason)) => Err(waits::Error::Limit(reason)),
            Err(WaitError::Unavailable(reason)) => Err(waits::Error::Unavailable(reason)),
        }
    }
}

impl groups::Host for State {
    fn send(
        &mut self,
        group: Option<String>,
        queue: String,
        kind: String,
        body: Vec<u8>,
        options: Option<outbox::Options>,
    ) -> Result<(), outbox::Error> {
        self.send_of_0_1(queue, kind, body, options, Some((group, Role::Member)))
    }

    fn then(
        &mut self,
        group: Option<String>,
        on_failure: groups::OnFailure,
        queue: String,
        kind: String,
        body: Vec<u8>,
        options: Option<outbox::Options>,
    ) -> Result<(), outbox::Error> {
        let on_failure = match on_failure {
            groups::OnFailure::Send => crate::groups::OnFailure::Send,
            groups::OnFailure::Wait => crate::groups::OnFailure::Wait,
            groups::OnFailure::Cancel => crate::groups::OnFailure::Cancel,
        };
        self.send_of_0_1(queue, kind, body, options, Some((group, Role::Then(on_failure))))
    }

    fn ended(&mut self) -> Option<groups::Summary> {
        let current::groups::EndedGroup { name, done, discarded, dead_lettered } = current::groups::Host::ended(self)?;
        Some(groups::Summary { name, done, discarded, dead_lettered })
    }

    async fn members(&mut self, first: u32) -> Result<Vec<groups::Member>, groups::ReadError> {
        use current::groups::{MemberEnd, MembersError};
        let end = |end| match end {
            MemberEnd::Done(result) => groups::End::Done(result),
            MemberEnd::Discarded(reason) => groups::End::Discarded(reason),
            MemberEnd::DeadLettered(reason) => groups::End::DeadLettered(reason),
        };
        match current::groups::Host::members(self, first).await {
            Ok(members) => Ok(members
                .into_iter()
                .map(|member| groups::Member { queue: member.queue, kind: member.kind, end: member.end.map(end) })
                .collect()),
            Err(MembersError::Gone(reason)) => Err(groups::ReadError::Gone(reason)),
            Err(MembersError::Unavailable(reason)) => Err(groups::ReadError::Unavailable(reason)),
        }
    }
}

impl log::Host for State {
    fn enabled(&mut self, level: log::Level) -> bool {
        current::log::Host::enabled(self, level.into())
    }

    fn write(&mut self, level: log::Level, target: String, message: String, fields: Vec<(String, String)>) {
        current::log::Host::write(self, level.into(), target, message, fields);
    }
}

impl From<log::Level> for current::log::Level {
    fn from(level: log::Level) -> Self {
        match level {
            log::Level::Trace => Self::Trace,
            log::Level::Debug => Self::Debug,
            log::Level::Info => Self::Info,
            log::Level::Warn => Self::Warn,
            log::Level::Error => Self::Error,
        }
    }
}

impl From<current::steps::StepError> for steps::Error {
    fn from(error: current::steps::StepError) -> Self {
        match error {
            current::steps::StepError::Limit(reason) => Self::Limit(reason),
            current::steps::StepError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

impl From<current::outbox::SendError> for outbox::Error {
    fn from(error: current::outbox::SendError) -> Self {
        match error {
            current::outbox::SendError::Denied(reason) => Self::Denied(reason),
            current::outbox::SendError::Limit(reason) => Self::Limit(reason),
        }
    }
}

impl From<types::Attribute> for messages::Attribute {
    fn from(attribute: types::Attribute) -> Self {
        let value = match attribute.value {
            types::AttributeValue::Text(text) => messages::AttributeValue::Text(text),
            types::AttributeValue::Number(digits) => messages::AttributeValue::Number(digits),
            types::AttributeValue::Binary(bytes) => messages::AttributeValue::Binary(bytes),
        };
        Self { name: attribute.name, value }
    }
}

impl From<messages::Attribute> for types::Attribute {
    fn from(attribute: messages::Attribute) -> Self {
        let value = match attribute.value {
            messages::AttributeValue::Text(text) => types::AttributeValue::Text(text),
            messages::AttributeValue::Number(digits) => types::AttributeValue::Number(digits),
            messages::AttributeValue::Binary(bytes) => types::AttributeValue::Binary(bytes),
        };
        Self { name: attribute.name, value }
    }
}

impl From<messages::Message> for types::Message {
    fn from(message: messages::Message) -> Self {
        let messages::Message { id, kind, body, content_type, attributes } = message;
        Self { id, kind, body, content_type, attributes: attributes.into_iter().map(Into::into).collect() }
    }
}

impl From<types::Outcome> for messages::Outcome {
    fn from(outcome: types::Outcome) -> Self {
        match outcome {
            types::Outcome::Done(result) => Self::Done(result),
            types::Outcome::Discard(reason) => Self::Discard(reason),
            types::Outcome::Snooze(after_ms) => Self::Snooze(after_ms),
        }
    }
}
