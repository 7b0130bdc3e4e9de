//! Handlers in a test: a [`Context`] that plays the host, and records what the handler asked of it.
//!
//! ```
//! use wasq_sdk::test::{self, Reply};
//! use wasq_sdk::{Context, Failure, Outcome};
//!
//! #[derive(serde::Deserialize)]
//! struct Ping {
//!     host: String,
//! }
//!
//! fn ping(ping: Ping, cx: &Context) -> Result<(), Failure> {
//!     cx.http().get(format!("https://{}/health", ping.host)).send()?.error_for_status()?;
//!     Ok(())
//! }
//!
//! // As an ordinary function:
//! let cx = Context::test().reply("GET", "https://a.example/health", Reply::status(204)).build();
//! assert_eq!(ping(Ping { host: "a.example".to_owned() }, &cx), Ok(()));
//! assert_eq!(cx.recorded().requests()[0].url, "https://a.example/health");
//!
//! // As the host calls it, from a body's bytes:
//! let cx = Context::test().body(r#"{"host": 7}"#).build();
//! let reason = "body: field `host`: invalid type: integer, expected a string at line 1 column 10";
//! assert_eq!(test::run(ping, &cx), Err(Failure::reject(reason)));
//! ```
//!
//! This module is not there in a component.

mod builder;
mod member;
mod recorded;
mod reply;
mod sent_request;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

pub use builder::Builder;
pub use member::{NewMember, member};
pub use recorded::Recorded;
pub use reply::Reply;
pub use sent_request::SentRequest;

use crate::backend::StepError;
use crate::handler::Handler;
use crate::http::{Answer, FaultKind, Request};
pub use crate::logging::Record;
use crate::outbox::{NewMessage, SendError};
use crate::{Context, Failure, Member, Outcome, Pending, Summary, Waiting};
use reply::Script;

impl Context {
    /// A context for a test: a first attempt at an empty message, with nothing recorded and no
    /// replies prepared.
    pub fn test() -> Builder {
        Builder::new()
    }

    /// What the handler asked of the host so far.
    pub fn recorded(&self) -> Recorded<'_> {
        Recorded::new(self.backend())
    }
}

/// Runs a handler as the host does: on the bytes of the context's message.
///
/// # Errors
///
/// The handler's; and a [`Failure::Reject`] when the body does not fit the handler's type.
pub fn run<Shape>(handler: impl Handler<Shape>, cx: &Context) -> Result<Outcome, Failure> {
    handler.run(cx)
}

/// Members that one call reads, so that a test with more reads twice.
const MEMBERS_A_PAGE: usize = 100;

/// The host of a test.
#[derive(Debug)]
pub(crate) struct Backend {
    attempt: u32,
    remaining: Duration,
    key: String,
    sent_at_ms: u64,
    variables: HashMap<String, String>,
    scripts: RefCell<Vec<Script>>,
    steps: RefCell<BTreeMap<String, Vec<u8>>>,
    waits: HashMap<String, Waiting>,
    ended_group: Option<(Summary, Vec<Member>)>,
    ledger_fault: Option<String>,
    requests: RefCell<Vec<SentRequest>>,
    sent: RefCell<Vec<NewMessage>>,
    log: Rc<RefCell<Vec<Record>>>,
}

impl Backend {
    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(crate) fn remaining(&self) -> Duration {
        self.remaining
    }

    pub(crate) fn idempotency_key(&self) -> String {
        self.key.clone()
    }

    pub(crate) fn sent_at_ms(&self) -> u64 {
        self.sent_at_ms
    }

    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    pub(crate) fn step(&self, name: &str) -> Result<Option<Vec<u8>>, StepError> {
        self.check_ledger()?;
        Ok(self.steps.borrow().get(name).cloned())
    }

    pub(crate) fn record_step(&self, name: &str, value: Vec<u8>) -> Result<(), StepError> {
        self.check_ledger()?;
        self.steps.borrow_mut().insert(name.to_owned(), value);
        Ok(())
    }

    fn check_ledger(&self) -> Result<(), StepError> {
        self.ledger_fault.clone().map_or(Ok(()), |reason| Err(StepError::Unavailable(reason)))
    }

    pub(crate) fn wait(&self, name: &str, timeout: Duration) -> Result<Waiting, StepError> {
        if let Some(reason) = &self.ledger_fault {
            return Err(StepError::Unavailable(reason.clone()));
        }
        let pending = || Waiting::Pending(Pending::new(format!("token-of-{name}"), timeout));
        Ok(self.waits.get(name).cloned().unwrap_or_else(pending))
    }

    pub(crate) fn ended_group(&self) -> Option<Summary> {
        self.ended_group.as_ref().map(|(summary, _)| summary.clone())
    }

    pub(crate) fn members(&self, first: u32) -> Result<Vec<Member>, StepError> {
        self.check_ledger()?;
        let members = self.ended_group.as_ref().map_or(&[][..], |(_, members)| members);
        Ok(members.iter().skip(first as usize).take(MEMBERS_A_PAGE).cloned().collect())
    }

    pub(crate) fn send(&self, message: NewMessage) -> Result<(), SendError> {
        self.sent.borrow_mut().push(message);
        Ok(())
    }

    pub(crate) fn http(&self, request: &Request) -> Result<Answer, FaultKind> {
        let sent = SentRequest::new(request);
        self.requests.borrow_mut().push(sent.clone());
        // A closure of the test's may use the context itself, so nothing stays borrowed while it
        // runs.
        let script = self.scripts.borrow_mut().iter_mut().find_map(|script| script.take(&sent));
        match script {
            Some(reply) => reply.play(&sent, request.timeout),
            None => panic!(
                "the handler sent {} {}, for which the test has no reply (left): Context::test().reply(..)",
                sent.method, sent.url
            ),
        }
    }
}

thread_local! {
    /// The log of the context that was made last on this thread. The macros of `tracing` and `log`
    /// know no context, and a test has its thread to itself.
    static LOG: RefCell<Rc<RefCell<Vec<Record>>>> = RefCell::default();
}

pub(crate) fn log_enabled(_: tracing::Level) -> bool {
    true
}

pub(crate) fn log_write(record: Record) {
    LOG.with(|log| log.borrow().borrow_mut().push(record));
}
