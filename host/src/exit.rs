//! How a run ended.

use std::time::Duration;

use wasq_core::message::UnixMs;

/// How a run ended, whether the guest said so or the host found it; or why there was no run.
#[derive(Clone, Debug, PartialEq)]
pub enum Exit {
    /// The guest: the work is done.
    Done { result: Option<Vec<u8>> },
    /// The guest: not worth doing.
    Discard { reason: String },
    /// The guest: not yet.
    Snooze { delay: Duration },
    /// The guest: it waits for an answer from outside.
    Waiting,
    /// The guest: try again.
    Retry { reason: String, after: Option<Duration> },
    /// The guest or egress: a dependency is down.
    Unavailable { dependency: String, reason: String, after: Option<Duration> },
    /// The guest: this message can never succeed.
    Reject { reason: String },
    /// The handler did not return within its timeout.
    Timeout { limit: Duration },
    /// The component trapped: a panic, unreachable code, a stack overflow, an access out of bounds.
    Trap { reason: String },
    /// The instance asked for more memory, or more elements in its tables, than it may have.
    OutOfMemory { reason: String },
    /// The guest called `exit`; with 0 too, that is no acknowledgement.
    Exited { code: i32 },
    /// What the guest returned cannot be read, or is too large.
    BadResult { reason: String },
    /// The handler succeeded, but what it put into the outbox could not be sent.
    Outbox { reason: String },
    /// The message cannot be read.
    Invalid { reason: String },
    /// No run: another member of its group was dead-lettered, and that cancelled the group.
    Cancelled { group: String },
    /// No run: a service says something about itself, as S3 once a notification is set up.
    Notice { reason: String },
    /// The key was used before with another body.
    Conflict,
    /// The key is longer than the limit.
    OversizedKey { size_bytes: usize, limit_bytes: usize },
    /// More outboxes in a row have led to it than may: a handler, or several, that send to each
    /// other without an end.
    OutboxDepth { depth: u32, limit: u32 },
    /// No plugin handles the type.
    Unroutable { kind: String },
    /// No run: an operator has paused its type or its queue, for so much longer or until it is
    /// resumed.
    Paused { target: String, remaining: Option<Duration> },
    /// Older than the type's `max_age`.
    Expired { discard: bool },
    /// Its host died during earlier attempts, this many times.
    HostCrash { crashes: u32 },
    /// The delivery is not ours any more.
    LeaseLost,
    /// The host is shutting down.
    Interrupted,
    /// No run: the plugin's permits were busy for too long.
    NoPermit,
    /// No run: the plugin's dependency is down and its breaker is open for so much longer.
    BreakerOpen { dependency: String, remaining: Duration },
    /// No run: a rate that its plugin keeps to has no start for it for so long.
    RateLimited { rate: String, remaining: Duration },
    /// No run: of its key as many messages run as its plugin may run, and none ends for so long.
    KeyLimited { remaining: Duration },
    /// No run: more messages of its key wait on its queue than fit, and others' go first, for so
    /// long.
    Yielded { remaining: Duration },
    /// No run: another delivery holds the key for so much longer.
    Busy { remaining: Duration },
    /// No run: done by an earlier delivery; of the same message, or of another with the same key.
    Duplicate { same_message: bool },
    /// No run: this plugin's own delay is not over yet. Another plugin of the type brought the
    /// message back.
    BackingOff { remaining: Duration },
    /// No run: its producer wants it delivered later, in so long.
    NotDue { remaining: Duration, at: UnixMs },
    /// The ledger could not be asked, or could not record.
    LedgerDown { reason: String },
    /// What the ledger holds under the key cannot be read. Other keys are not affected.
    LedgerDamaged { reason: String },
    /// No run: an earlier delivery of the message has decided that it is dead-lettered, and its
    /// letter could not be sent yet.
    Verdict { class: String, reason: String },
    /// The message would have to wait until after its queue deletes it.
    Retention { retention: Duration, waiting_for: String },
}

impl Exit {
    /// The class, as metrics, envelopes and listings name it.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::Discard { .. } => "discard",
            Self::Snooze { .. } => "snooze",
            Self::Waiting => "waiting",
            Self::Retry { .. } => "retry",
            Self::Unavailable { .. } => "unavailable",
            Self::Reject { .. } => "reject",
            Self::Timeout { .. } => "timeout",
            Self::Trap { .. } => "trap",
            Self::OutOfMemory { .. } => "out-of-memory",
            Self::Exited { .. } => "exited",
            Self::BadResult { .. } => "bad-result",
            Self::Outbox { .. } => "outbox",
            Self::Invalid { .. } => "invalid",
            Self::Cancelled { .. } => "cancelled",
            Self::Notice { .. } => "notice",
            Self::Conflict => "conflict",
            Self::OversizedKey { .. } => "oversized-key",
            Self::OutboxDepth { .. } => "outbox-depth",
            Self::Unroutable { .. } => "unroutable",
            Self::Paused { .. } => "paused",
            Self::Expired { .. } => "expired",
            Self::HostCrash { .. } => "host-crash",
            Self::LeaseLost => "lease-lost",
            Self::Interrupted => "interrupted",
            Self::NoPermit => "no-permit",
            Self::BreakerOpen { .. } => "breaker-open",
            Self::RateLimited { .. } => "rate-limited",
            Self::KeyLimited { .. } => "key-limited",
            Self::Yielded { .. } => "yielded",
            Self::Busy { .. } => "busy",
            Self::Duplicate { .. } => "duplicate",
            Self::BackingOff { .. } => "backing-off",
            Self::NotDue { .. } => "not-due",
            Self::LedgerDown { .. } => "ledger-down",
            Self::LedgerDamaged { .. } => "ledger-damaged",
            Self::Verdict { .. } => "verdict",
            Self::Retention { .. } => "retention",
        }
    }

    /// Whether the handler failed, by its own word or by the host's; none where the run says
    /// nothing about the handler.
    pub fn handler_failed(&self) -> Option<bool> {
        match self {
            Self::Done { .. } | Self::Discard { .. } | Self::Snooze { .. } | Self::Waiting => Some(false),
            Self::Retry { .. }
            | Self::Unavailable { .. }
            | Self::Reject { .. }
            | Self::Timeout { .. }
            | Self::Trap { .. }
            | Self::OutOfMemory { .. }
            | Self::Exited { .. }
            | Self::BadResult { .. } => Some(true),
            Self::Outbox { .. }
            | Self::Invalid { .. }
            | Self::Cancelled { .. }
            | Self::Notice { .. }
            | Self::Conflict
            | Self::OversizedKey { .. }
            | Self::OutboxDepth { .. }
            | Self::Unroutable { .. }
            | Self::Paused { .. }
            | Self::Expired { .. }
            | Self::HostCrash { .. }
            | Self::LeaseLost
            | Self::Interrupted
            | Self::NoPermit
            | Self::BreakerOpen { .. }
            | Self::RateLimited { .. }
            | Self::KeyLimited { .. }
            | Self::Yielded { .. }
            | Self::Busy { .. }
            | Self::Duplicate { .. }
            | Self::BackingOff { .. }
            | Self::NotDue { .. }
            | Self::LedgerDown { .. }
            | Self::LedgerDamaged { .. }
            | Self::Verdict { .. }
            | Self::Retention { .. } => None,
        }
    }

    /// One sentence for people: the guest's reason, or the host's.
    pub fn reason(&self) -> String {
        match self {
            Self::Done { .. } => "done".into(),
            Self::Discard { reason }
            | Self::Retry { reason, .. }
            | Self::Reject { reason }
            | Self::Trap { reason }
            | Self::OutOfMemory { reason }
            | Self::BadResult { reason }
            | Self::Outbox { reason }
            | Self::Invalid { reason }
            | Self::Notice { reason }
            | Self::LedgerDown { reason }
            | Self::LedgerDamaged { reason }
            | Self::Verdict { reason, .. } => reason.clone(),
            Self::Snooze { delay } => format!("snoozed for {delay:?}"),
            Self::Waiting => "waits for an answer".into(),
            Self::Unavailable { dependency, reason, .. } => format!("{dependency} is unavailable: {reason}"),
            Self::Cancelled { group } => format!("its group `{group}` was cancelled: another member was dead-lettered"),
            Self::Timeout { limit } => format!("did not return within its timeout of {limit:?}"),
            Self::Exited { code } => format!("called exit({code}); a handler returns instead"),
            Self::Conflict => "the idempotency key was used before with another body".into(),
            Self::OversizedKey { size_bytes, limit_bytes } => {
                format!("the idempotency key has {size_bytes} bytes; the limit is {limit_bytes}")
            }
            Self::OutboxDepth { depth, limit } => format!(
                "{depth} outboxes in a row have led to it, each because of the message before; the limit is {limit} \
                 (limits.outbox_depth). Does a handler send messages of its own type without an end?"
            ),
            Self::Unroutable { kind } => format!("no plugin handles the type `{kind}`"),
            Self::Paused { target, .. } => format!("{target} is paused"),
            Self::Expired { .. } => "older than its max_age".into(),
            Self::HostCrash { crashes } => format!("its host died or lost its lease during {crashes} attempts"),
            Self::LeaseLost => "the lease was lost".into(),
            Self::Interrupted => "the host is shutting down".into(),
            Self::NoPermit => "the plugin's permits are busy".into(),
            Self::BreakerOpen { dependency, .. } => format!("{dependency} is unavailable; its breaker is open"),
            Self::RateLimited { rate, .. } => format!("the rate `{rate}` lets no more runs start now"),
            Self::Yielded { .. } => "other keys' messages go first (fair_by)".into(),
            Self::KeyLimited { .. } => {
                "as many messages of its key run as its plugin may run at once (keyed_concurrency)".into()
            }
            Self::Busy { .. } => "another delivery of this message is running".into(),
            Self::Duplicate { .. } => "already done".into(),
            Self::BackingOff { .. } => "another plugin's delay has brought it back before this one's is over".into(),
            Self::NotDue { .. } => "its attribute wasq-deliver-at names a later time".into(),
            Self::Retention { retention, waiting_for } => format!(
                "its queue keeps messages for {} (MessageRetentionPeriod), and it could not run before: {waiting_for}",
                humantime_serde::re::humantime::format_duration(*retention)
            ),
        }
    }
}
