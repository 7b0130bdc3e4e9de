//! Messages to send when the handler succeeds.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::message::{Attribute, AttributeValue};
use crate::{Context, Failure, GroupPart};

/// The longest delay of a message, some 136 years.
pub const MAX_DELAY: Duration = Duration::from_secs(u32::MAX as u64);

/// A message on its way to the outbox; [`Context::outbox`] begins one.
#[derive(Debug)]
#[must_use = "nothing is sent until `send`"]
pub struct Outgoing<'a> {
    cx: &'a Context,
    message: NewMessage,
    delay: Duration,
}

/// A message as it was handed to the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewMessage {
    /// A queue's name in the operator's config, or `self`, or empty, for the queue that the handled
    /// message came from.
    pub queue: String,
    /// The new message's type.
    pub kind: String,
    /// Its body.
    pub body: Vec<u8>,
    /// Seconds before it can be received.
    pub delay_s: u32,
    /// Its message group.
    pub group: Option<String>,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
    /// What it is to a group; none for most.
    pub part: Option<GroupPart>,
}

impl<'a> Outgoing<'a> {
    pub(crate) fn new(cx: &'a Context, queue: &str, kind: &str) -> Self {
        let message = NewMessage {
            queue: queue.to_owned(),
            kind: kind.to_owned(),
            body: Vec::new(),
            delay_s: 0,
            group: None,
            attributes: Vec::new(),
            part: None,
        };
        Self { cx, message, delay: Duration::ZERO }
    }

    pub(crate) fn part(mut self, part: GroupPart) -> Self {
        self.message.part = Some(part);
        self
    }

    /// How long before it can be received: rounded up to a second, at most [`MAX_DELAY`]. It counts
    /// from here, whatever happens until the message is sent. What is longer than the 15 minutes
    /// that SQS has waits in the ledger.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// When it can be received: about this time, to a second or two. A time that has passed is now,
    /// and the log says so.
    #[allow(clippy::disallowed_methods, reason = "in a component, the clock is the host's")]
    pub fn at(self, time: SystemTime) -> Self {
        let delay = time.duration_since(SystemTime::now()).unwrap_or_else(|passed| {
            let NewMessage { kind, queue, .. } = &self.message;
            let since = passed.duration();
            log::warn!("the `{kind}` to queue `{queue}` was to be sent {since:?} ago: it is sent now");
            Duration::ZERO
        });
        self.delay(delay)
    }

    /// Its message group, for a FIFO queue or a fair queue.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.message.group = Some(group.into());
        self
    }

    /// One more attribute. A body that is not JSON has its media type in the attribute
    /// `content-type`.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<AttributeValue>) -> Self {
        self.message.attributes.push(Attribute { name: name.into(), value: value.into() });
        self
    }

    /// Hands it to the outbox with this body, as JSON.
    ///
    /// # Errors
    ///
    /// A [`Failure::Reject`] when the body has no JSON, or when the queue would refuse the message;
    /// a [`Failure::Retry`] when the operator has not granted this handler the queue.
    pub fn send(self, body: &impl Serialize) -> Result<(), Failure> {
        match serde_json::to_vec(body) {
            Ok(body) => self.send_bytes(body),
            Err(error) => Err(Failure::reject(format!("the body has no JSON: {error}")).within(&self.place())),
        }
    }

    /// Hands it to the outbox with this body.
    ///
    /// # Errors
    ///
    /// As [`Outgoing::send`].
    pub fn send_bytes(mut self, body: impl Into<Vec<u8>>) -> Result<(), Failure> {
        let place = self.place();
        if self.delay > MAX_DELAY {
            let reason = format!("a delay of {:?} is over the limit of {MAX_DELAY:?}", self.delay);
            return Err(Failure::reject(reason).within(&place));
        }
        // It fits, by the check above.
        self.message.delay_s = self.delay.as_millis().div_ceil(1000) as u32;
        self.message.body = body.into();
        self.cx.backend().send(self.message).map_err(|error| {
            match error {
                SendError::Denied(reason) => Failure::retry(reason),
                SendError::Limit(reason) => Failure::reject(reason),
            }
            .within(&place)
        })
    }

    fn place(&self) -> String {
        format!("outbox, `{}` to queue `{}`", self.message.kind, self.message.queue)
    }
}

/// Why the host did not take a message.
#[derive(Debug, Clone)]
#[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))] // A test's outbox has no limits.
pub(crate) enum SendError {
    /// The queue is not one that this handler was granted.
    Denied(String),
    /// Too many messages, or one that its queue would refuse.
    Limit(String),
}
