//! What a handler knows of its delivery, and what it can ask of the host.

use std::cell::OnceCell;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backend::{Backend, StepError};
use crate::http::Client;
use crate::outbox::Outgoing;
use crate::{EndedGroup, Failure, Group, Message, Waiting};

/// One delivery of a message: what the host knows of it, and what a handler can ask of the host.
///
/// In a test, [`Context::test`] makes one.
#[derive(Debug)]
pub struct Context {
    message: Message,
    key: OnceCell<String>,
    backend: Backend,
}

impl Context {
    pub(crate) fn new(message: Message, backend: Backend) -> Self {
        Self { message, key: OnceCell::new(), backend }
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }

    /// The message: id, type, body, attributes.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Which attempt at this message this is: 1 for the first.
    pub fn attempt(&self) -> u32 {
        self.backend.attempt()
    }

    /// How long until the host stops this handler.
    pub fn remaining(&self) -> Duration {
        self.backend.remaining()
    }

    /// The same in every delivery of this message: 64 hexadecimal digits, made of the service's
    /// scope, the plugin, the type and the message's key. Two messages with one key share it. Send
    /// it to whatever can deduplicate; over HTTP,
    /// [`RequestBuilder::idempotency_key`](crate::http::RequestBuilder::idempotency_key) does.
    pub fn idempotency_key(&self) -> &str {
        self.key.get_or_init(|| self.backend.idempotency_key())
    }

    /// When the producer sent the message, by SQS's clock.
    pub fn sent_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.backend.sent_at_ms())
    }

    /// The variable `name`: the manifest's value, or the operator's in its place.
    ///
    /// # Errors
    ///
    /// A [`Failure::Retry`] when there is none, since only the plugin or its configuration can be
    /// at fault.
    pub fn variable(&self, name: &str) -> Result<String, Failure> {
        self.backend.variable(name).ok_or_else(|| {
            Failure::retry(format!("variable `{name}` is not set: declare it under [variables] in plugin.toml"))
        })
    }

    /// Does a part of the work once: runs `work` only if no attempt at this message has finished
    /// the step `name` yet, and gives what `work` gave then. A handler with three effects, each a
    /// step, repeats only those that had not finished when it failed.
    ///
    /// The value is kept as JSON, durably, before this returns. Between the end of `work` and that
    /// moment the host can die, and `work` then runs again: send [`Context::idempotency_key`], or a
    /// key made from it, with the effect.
    ///
    /// A name stands for one step of the message. Steps in a loop need a name each:
    /// `format!("item-{sku}")`.
    ///
    /// # Errors
    ///
    /// Those of `work`, with the step's name before the reason; a [`Failure::Unavailable`] when the
    /// ledger does not answer; a [`Failure::Reject`] when the name or the value is over the
    /// ledger's limits.
    ///
    /// ```
    /// # use wasq_sdk::{Context, Failure};
    /// # fn charge() -> Result<String, Failure> { Ok("ch_1".to_owned()) }
    /// fn pay(cx: &Context) -> Result<(), Failure> {
    ///     let receipt: String = cx.once("charge", || charge())?;
    ///     tracing::info!(receipt, "charged");
    ///     Ok(())
    /// }
    /// # pay(&Context::test().build()).unwrap();
    /// ```
    pub fn once<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let place = || format!("step `{name}`");
        let recorded = self.backend.step(name).map_err(|error| Failure::from(error).within(&place()))?;
        if let Some(bytes) = recorded {
            // Another version of the handler may have recorded another form; it may also come back.
            return serde_json::from_slice(&bytes).map_err(|_| {
                Failure::retry("what an earlier attempt recorded does not fit this version of the handler")
                    .within(&place())
            });
        }
        let value = work().map_err(|failure| failure.within(&place()))?;
        let bytes = serde_json::to_vec(&value)
            .map_err(|error| Failure::reject(format!("its value has no JSON: {error}")).within(&place()))?;
        self.backend.record_step(name, bytes).map_err(|error| Failure::from(error).within(&place()))?;
        Ok(value)
    }

    /// A message of type `kind` to the queue `queue`, sent when this handler succeeds: the builder
    /// ends in [`Outgoing::send`].
    ///
    /// `queue` is a name in the operator's config, or empty for the queue that this message came
    /// from. The host derives the new message's idempotency key from this one's, the queue, the
    /// type and its place among the messages sent, so that a repeated attempt repeats no message:
    /// send the same messages in the same order in every attempt.
    ///
    /// ```
    /// # use wasq_sdk::{Context, Failure};
    /// # use std::time::Duration;
    /// fn remind(cx: &Context) -> Result<(), Failure> {
    ///     cx.outbox("emails", "reminder_due").delay(Duration::from_secs(600)).send(&serde_json::json!({"order": 7}))
    /// }
    /// # let cx = Context::test().build();
    /// # remind(&cx).unwrap();
    /// # assert_eq!(cx.recorded().sent()[0].queue, "emails");
    /// ```
    pub fn outbox(&self, queue: &str, kind: &str) -> Outgoing<'_> {
        Outgoing::new(self, queue, kind)
    }

    /// [`Context::outbox`] in one call, for a message without delay, group or attributes.
    ///
    /// # Errors
    ///
    /// As [`Outgoing::send`].
    pub fn send(&self, queue: &str, kind: &str, body: &impl Serialize) -> Result<(), Failure> {
        self.outbox(queue, kind).send(body)
    }

    /// A group of messages: each is sent as from the outbox, and when all of them have ended (done,
    /// discarded or dead-lettered), one more is. `name` is this plugin's own, at most 256 bytes:
    /// name it after what it is about.
    ///
    /// ```
    /// # use wasq_sdk::{Context, Failure};
    /// fn uploaded(cx: &Context) -> Result<(), Failure> {
    ///     let group = cx.group("video-42");
    ///     for height in [1080, 720, 480, 240] {
    ///         group.send("videos", "transcode", &serde_json::json!({ "video": 42, "height": height }))?;
    ///     }
    ///     group.then("videos", "video_ready", &serde_json::json!({ "video": 42 }))
    /// }
    /// # let cx = Context::test().build();
    /// # uploaded(&cx).unwrap();
    /// # assert_eq!(cx.recorded().sent().len(), 5);
    /// ```
    pub fn group(&self, name: &str) -> Group<'_> {
        Group::new(self, Some(name.to_owned()))
    }

    /// The group that this message is a member of, to add members to it: it does not end before
    /// this handler has. A handler whose message is no member's is rejected when it sends.
    pub fn own_group(&self) -> Group<'_> {
        Group::new(self, None)
    }

    /// The group whose end this message follows; none where it follows none.
    ///
    /// ```
    /// # use wasq_sdk::{Context, Failure};
    /// # use wasq_sdk::test::member;
    /// #[derive(serde::Deserialize)]
    /// struct Rendition { url: String }
    ///
    /// fn video_ready(cx: &Context) -> Result<(), Failure> {
    ///     let group = cx.ended_group().ok_or_else(|| Failure::reject("it follows no group"))?;
    ///     let renditions: Vec<Rendition> = group.results("transcode")?;
    ///     tracing::info!(count = renditions.len(), failed = group.summary().dead_lettered, "ready");
    ///     Ok(())
    /// }
    /// # use wasq_sdk::tracing;
    /// # let members = [member("videos", "transcode").done(&serde_json::json!({"url": "a"}))];
    /// # let cx = Context::test().ended_group("video-42", members).build();
    /// # video_ready(&cx).unwrap();
    /// ```
    pub fn ended_group(&self) -> Option<EndedGroup<'_>> {
        self.backend.ended_group().map(|summary| EndedGroup::new(self, summary))
    }

    /// Waits for an answer from outside, without running: for a service that calls back, or for
    /// somebody who decides. `name` tells this wait from the message's others.
    ///
    /// The first call begins the wait. The handler hands the token out and ends; the message comes
    /// back with the answer, or after `timeout` with none. No attempt is counted.
    ///
    /// # Errors
    ///
    /// A [`Failure::Unavailable`] when the ledger does not answer; a [`Failure::Reject`] when the
    /// message cannot wait.
    ///
    /// ```
    /// # use wasq_sdk::{Context, Failure, Outcome, Waiting};
    /// # use std::time::Duration;
    /// # fn ask(token: &str) -> Result<(), Failure> { Ok(()) }
    /// fn moderate(cx: &Context) -> Result<Outcome, Failure> {
    ///     match cx.wait_for("moderation", Duration::from_secs(3_600))? {
    ///         Waiting::Pending(pending) => {
    ///             cx.once("asked", || ask(pending.token()))?;
    ///             Ok(pending.outcome())
    ///         }
    ///         Waiting::Answered(verdict) => Ok(Outcome::result(verdict)),
    ///         Waiting::TimedOut => Err(Failure::reject("nobody has moderated it")),
    ///     }
    /// }
    /// # assert_eq!(moderate(&Context::test().build()), Ok(Outcome::snooze(Duration::from_secs(3_600))));
    /// # let cx = Context::test().answered("moderation", "fine").build();
    /// # assert_eq!(moderate(&cx), Ok(Outcome::result("fine")));
    /// ```
    pub fn wait_for(&self, name: &str, timeout: Duration) -> Result<Waiting, Failure> {
        self.backend.wait(name, timeout).map_err(|error| Failure::from(error).within(&format!("wait `{name}`")))
    }

    /// HTTP, to the hosts that the manifest's `allowed_outbound_hosts` names.
    pub fn http(&self) -> Client<'_> {
        Client::new(self)
    }
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Limit(reason) => Failure::reject(reason),
            StepError::Unavailable(reason) => Failure::unavailable("ledger", reason),
        }
    }
}
