//! A context for a test, in the making.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::member::NewMember;
use super::reply::{Plan, Script};
use super::{Backend, LOG, Reply, SentRequest};
use crate::http::Url;
use crate::message::{Attribute, AttributeValue};
use crate::{Context, End, Member, Message, Summary, Waiting, logging};

/// Describes the delivery and the host of a test; ends in [`Builder::build`].
#[derive(Debug)]
#[must_use = "there is no context until `build`"]
pub struct Builder {
    message: Message,
    backend: Backend,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            message: Message {
                id: "00000000-0000-4000-8000-000000000000".to_owned(),
                kind: "test".to_owned(),
                body: Vec::new(),
                content_type: "application/json".to_owned(),
                attributes: Vec::new(),
            },
            backend: Backend {
                attempt: 1,
                // The manifest's default.
                remaining: Duration::from_secs(30),
                key: "0123456789abcdef".repeat(4),
                sent_at_ms: 0,
                variables: HashMap::new(),
                scripts: RefCell::default(),
                steps: RefCell::new(BTreeMap::new()),
                waits: HashMap::new(),
                ended_group: None,
                ledger_fault: None,
                requests: RefCell::default(),
                sent: RefCell::default(),
                log: Rc::default(),
            },
        }
    }

    /// The message's type; without it `test`.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.message.kind = kind.into();
        self
    }

    /// The message's body. It matters to a handler of raw bodies, and to [`run`](super::run).
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.message.body = body.into();
        self
    }

    /// The message's body, as JSON.
    ///
    /// # Panics
    ///
    /// When the value has no JSON.
    pub fn json(self, body: &impl Serialize) -> Self {
        self.body(serde_json::to_vec(body).expect("the test's body has no JSON"))
    }

    /// The body's media type; without it `application/json`.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.message.content_type = content_type.into();
        self
    }

    /// One more attribute of the message.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<AttributeValue>) -> Self {
        self.message.attributes.push(Attribute { name: name.into(), value: value.into() });
        self
    }

    /// The message's id.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.message.id = id.into();
        self
    }

    /// Which attempt it is; without it the first, 1.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.backend.attempt = attempt;
        self
    }

    /// The idempotency key; without it some 64 hexadecimal digits.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.backend.key = key.into();
        self
    }

    /// How long the handler has; without it 30 seconds, in which time stands still.
    pub fn remaining(mut self, remaining: Duration) -> Self {
        self.backend.remaining = remaining;
        self
    }

    /// When the message was sent; without it 1970-01-01T00:00:00Z.
    ///
    /// # Panics
    ///
    /// When that is before 1970.
    pub fn sent_at(mut self, sent_at: SystemTime) -> Self {
        let since = sent_at.duration_since(SystemTime::UNIX_EPOCH).expect("no message was sent before 1970");
        self.backend.sent_at_ms = since.as_millis().try_into().unwrap_or(u64::MAX);
        self
    }

    /// What `wait_for` of this name was answered. Without a word on it, a wait is pending.
    pub fn answered(mut self, name: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        self.backend.waits.insert(name.into(), Waiting::Answered(body.into()));
        self
    }

    /// `wait_for` of this name was not answered in time.
    pub fn timed_out(mut self, name: impl Into<String>) -> Self {
        self.backend.waits.insert(name.into(), Waiting::TimedOut);
        self
    }

    /// A group that has ended: the message follows it. [`member`](super::member) makes its members.
    pub fn ended_group(mut self, name: impl Into<String>, members: impl IntoIterator<Item = NewMember>) -> Self {
        let members: Vec<Member> = members.into_iter().map(NewMember::into_member).collect();
        let count = |of: fn(&End) -> bool| members.iter().filter(|member| of(&member.end)).count() as u32;
        let summary = Summary {
            name: name.into(),
            done: count(|end| matches!(end, End::Done(_))),
            discarded: count(|end| matches!(end, End::Discarded(_))),
            dead_lettered: count(|end| matches!(end, End::DeadLettered(_))),
        };
        self.backend.ended_group = Some((summary, members));
        self
    }

    /// One variable.
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.backend.variables.insert(name.into(), value.into());
        self
    }

    /// The variables of a manifest: `include_str!("../plugin.toml")`.
    ///
    /// # Panics
    ///
    /// When the text is no TOML, or a variable is not a string.
    pub fn manifest(mut self, text: &str) -> Self {
        #[derive(serde::Deserialize)]
        struct Manifest {
            #[serde(default)]
            variables: HashMap<String, String>,
        }
        let manifest: Manifest = toml::from_str(text).expect("the manifest's variables");
        self.backend.variables.extend(manifest.variables);
        self
    }

    /// A step that an earlier attempt finished, with what it recorded.
    ///
    /// # Panics
    ///
    /// When the value has no JSON.
    pub fn step(self, name: impl Into<String>, value: &impl Serialize) -> Self {
        let bytes = serde_json::to_vec(value).expect("the step's value has no JSON");
        self.backend.steps.borrow_mut().insert(name.into(), bytes);
        self
    }

    /// A ledger that does not answer, for this reason: every step fails.
    pub fn ledger_unavailable(mut self, reason: impl Into<String>) -> Self {
        self.backend.ledger_fault = Some(reason.into());
        self
    }

    /// The reply to one request of this method and URL. Several for the same are given in order,
    /// each once.
    ///
    /// # Panics
    ///
    /// When the URL is none.
    pub fn reply(self, method: &str, url: &str, reply: Reply) -> Self {
        self.script(method, url, Plan::Once(Some(reply)))
    }

    /// The replies to all further requests of this method and URL.
    ///
    /// # Panics
    ///
    /// When the URL is none.
    pub fn reply_with(self, method: &str, url: &str, reply: impl Fn(&SentRequest) -> Reply + 'static) -> Self {
        self.script(method, url, Plan::Each(Rc::new(reply)))
    }

    fn script(self, method: &str, url: &str, plan: Plan) -> Self {
        // In the form in which requests are recorded, so that both are compared alike.
        let url = Url::parse(url).expect("a reply needs a whole URL").whole();
        self.backend.scripts.borrow_mut().push(Script { method: method.to_owned(), url, plan });
        self
    }

    /// The context. The lines that this thread logs from now on are its own.
    pub fn build(self) -> Context {
        logging::install();
        LOG.with(|log| log.replace(Rc::clone(&self.backend.log)));
        Context::new(self.message, self.backend)
    }
}
