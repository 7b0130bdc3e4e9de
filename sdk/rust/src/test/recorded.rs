//! What a handler asked of the host.

use serde::de::DeserializeOwned;

use super::sent_request::SentRequest;
use super::{Backend, Record};
use crate::outbox::NewMessage;

/// What a handler asked of the host so far. Everything in it is in the order in which it happened.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    backend: &'a Backend,
}

impl<'a> Recorded<'a> {
    pub(super) fn new(backend: &'a Backend) -> Self {
        Self { backend }
    }

    /// The HTTP requests.
    pub fn requests(&self) -> Vec<SentRequest> {
        self.backend.requests.borrow().clone()
    }

    /// The messages in the outbox.
    pub fn sent(&self) -> Vec<NewMessage> {
        self.backend.sent.borrow().clone()
    }

    /// The names of the steps that are finished, sorted; those that the test gave the context too.
    pub fn steps(&self) -> Vec<String> {
        self.backend.steps.borrow().keys().cloned().collect()
    }

    /// What the step `name` recorded.
    ///
    /// # Panics
    ///
    /// When that is not a `T`.
    pub fn step<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let steps = self.backend.steps.borrow();
        steps.get(name).map(|bytes| serde_json::from_slice(bytes).expect("the step recorded another type"))
    }

    /// The lines of the log, of all levels: those written on this thread after this context was
    /// made and before another was, unless the test has installed a logger or subscriber of its
    /// own.
    pub fn log(&self) -> Vec<Record> {
        self.backend.log.borrow().clone()
    }
}
