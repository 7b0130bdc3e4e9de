//! One attempt at one message, as the sandbox takes it, and what came of it.

use std::sync::Arc;
use std::time::Duration;

use wasq_core::message::{Key, Message, MessageId, UnixMs};
use wasq_ledgers::{Fence, Ledger};

use super::egress::Egress;
use super::grants::Grants;
use super::outbox::{Destinations, OutboxMessage};
use super::profiler::Profiler;
use crate::exit::Exit;
use crate::groups::GroupStore;
use crate::telemetry::spans::Span;
use crate::telemetry::stats::Line;
use crate::telemetry::usage::RunUsage;
use crate::timers::TimerStore;
use crate::timers::waits::Waiter;

/// What one plugin's runs may do.
#[derive(Debug)]
pub struct Policy {
    /// The plugin's name, for logs.
    pub plugin: String,
    pub timeout: Duration,
    pub memory_bytes: u64,
    /// The setting that this is.
    pub memory_setting: String,
    /// The guest's environment.
    pub variables: Vec<(String, String)>,
    pub egress: Arc<Egress>,
    pub grants: Grants,
    /// The `idempotency.mode` that keeps no steps, if it is one.
    pub without_steps: Option<&'static str>,
    pub profiler: Arc<Profiler>,
}

/// One attempt at one message.
pub struct Job {
    pub policy: Arc<Policy>,
    pub message: Arc<Message>,
    pub message_id: MessageId,
    pub sent_at: UnixMs,
    pub started_at: UnixMs,
    pub attempt: u32,
    pub key: Key,
    pub fence: Fence,
    pub ledger: Arc<dyn Ledger>,
    /// How it can wait for an answer; none where it cannot, or its handler never does.
    pub parking: Option<Box<Parking>>,
    /// Where it reads of a group that has ended; none where there are no groups.
    pub groups: Option<Arc<GroupStore>>,
    /// What its outbox may send to.
    pub destinations: Destinations,
    /// What it calls and logs is in this.
    pub span: Span,
    /// What counts for its type and plugin.
    pub line: Arc<Line>,
}

/// Where a message waits for an answer, and what is sent again then.
pub struct Parking {
    pub store: Arc<TimerStore>,
    pub waiter: Waiter,
}

/// How an attempt went.
#[derive(Debug)]
pub struct RunReport {
    pub exit: Exit,
    /// What to send before the message is deleted; empty unless the exit is done.
    pub outbox: Vec<OutboxMessage>,
    pub usage: RunUsage,
}
