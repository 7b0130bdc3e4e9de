//! What a running instance holds: its limits, its WASI context, and what it did.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Trap, WasmBacktrace};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
use wasq_core::clock;
use wasq_core::message::{AttributeData, Key, Message, UnixMs};
use wasq_ledgers::{Fence, Ledger};

use super::bindings::wasq::worker::messages;
use super::egress::{Hooks, Seen, Trace};
use super::job::{Job, Parking, Policy};
use super::logging::{GuestLog, Stdio};
use super::outbox::{Destinations, Outbox, OutboxMessage};
use super::steps::Recorded;
use super::text;
use crate::config::Limits;
use crate::exit::Exit;
use crate::groups::GroupStore;
use crate::telemetry::usage::{Calls, RunUsage};

/// What the engine says at a limit that it keeps for the host, and the limit's name in the config.
const SAID_BY_THE_ENGINE: [(&str, &str); 5] = [
    ("fuel allocated for hostcalls", "limits.hostcall_bytes"),
    ("store handle limit exceeded", "limits.open_handles"),
    ("resource table has no free keys", "limits.open_handles"),
    ("requested len", "limits.random_bytes"),
    ("total size of fields", "limits.header_bytes"),
];

/// The store's data.
pub struct State {
    pub(super) limits: Arc<Limits>,
    pub(super) policy: Arc<Policy>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) key: Key,
    pub(super) fence: Fence,
    pub(super) destinations: Destinations,
    /// How many outboxes have led to the message.
    pub(super) depth: u32,
    pub(super) outbox: Outbox,
    /// What its options for the outbox have had, over all of them.
    pub(super) option_bytes: usize,
    /// When it wants to be tried again.
    pub(super) retry_after: Option<Duration>,
    pub(super) log: Arc<GuestLog>,
    pub(super) steps: Recorded,
    /// But for requests and records of the log, which are counted where they are bounded.
    pub(super) calls: Calls,
    /// The ledger refused a step: another delivery has the message now.
    pub(super) claim_is_void: bool,
    /// How the message can wait for an answer; none where it cannot, or its handler never does.
    pub(super) parking: Option<Box<Parking>>,
    /// It waits for an answer that has not come yet.
    pub(super) is_waiting: bool,
    /// Where groups are; none where there are none.
    pub(super) groups: Option<Arc<GroupStore>>,
    pub(super) message: Arc<Message>,
    /// How often it has asked for a wait.
    pub(super) waits: usize,
    pub(super) attempt: u32,
    pub(super) sent_at: UnixMs,
    /// When it began, and when that was by the wall clock.
    began: (Instant, UnixMs),
    pub(super) deadline: Instant,
    memory: Quota,
    table_elements: Quota,
    pub(super) table: ResourceTable,
    /// Made when the guest first asks: most handlers never do.
    wasi: Option<WasiCtx>,
    http: WasiHttpCtx,
    hooks: Hooks,
}

/// How much an instance has of what grows, over all of its memories or tables.
#[derive(Default)]
struct Quota {
    used: usize,
    peak: usize,
    /// What was granted last: it is given back when the engine then cannot grow.
    granted: usize,
    refused: bool,
}

impl Quota {
    /// Whether one of them may grow from `current` to `desired`.
    fn grow(&mut self, current: usize, desired: usize, limit: usize) -> bool {
        self.granted = desired.saturating_sub(current);
        let used = self.used.saturating_add(self.granted);
        if used > limit {
            self.granted = 0;
            self.refused = true;
            return false;
        }
        self.used = used;
        self.peak = self.peak.max(used);
        true
    }

    fn give_back(&mut self) {
        self.used -= std::mem::take(&mut self.granted);
    }
}

impl State {
    /// The message as the guest sees it, and the state of its run.
    pub fn new(job: Job, limits: Arc<Limits>, deadline: Instant) -> (messages::Message, Self) {
        let log = Arc::new(GuestLog::new(&job, &limits));
        let attributes = job.message.attributes.iter().map(|(name, value)| messages::Attribute {
            name: name.clone(),
            value: match &value.value {
                AttributeData::Binary(bytes) => messages::AttributeValue::Binary(bytes.to_vec()),
                AttributeData::Text(text) if value.data_type.starts_with("Number") => {
                    messages::AttributeValue::Number(text.clone())
                }
                AttributeData::Text(text) => messages::AttributeValue::Text(text.clone()),
            },
        });
        let message = messages::Message {
            id: job.message_id.0,
            kind: job.message.kind.0.clone(),
            body: job.message.body.to_vec(),
            content_type: job.message.content_type.clone(),
            attributes: attributes.collect(),
        };
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.open_handles);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits.header_memory_bytes());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let state = Self {
            hooks: Hooks::new(
                job.policy.egress.clone(),
                limits.clone(),
                seen,
                Trace { span: job.span, traceparent: job.message.traceparent.clone() },
                job.line,
            ),
            log,
            limits,
            policy: job.policy,
            ledger: job.ledger,
            key: job.key,
            fence: job.fence,
            destinations: job.destinations,
            depth: job.message.depth(),
            outbox: Outbox::default(),
            option_bytes: 0,
            retry_after: None,
            steps: Recorded::default(),
            calls: Calls::default(),
            claim_is_void: false,
            parking: job.parking,
            is_waiting: false,
            waits: 0,
            groups: job.groups,
            message: job.message,
            attempt: job.attempt,
            sent_at: job.sent_at,
            began: (clock::now(), job.started_at),
            deadline,
            memory: Quota::default(),
            table_elements: Quota::default(),
            table,
            wasi: None,
            http,
        };
        (message, state)
    }

    /// The wall clock's time, as the host has it.
    pub(super) fn unix_ms(&self) -> UnixMs {
        let (began, started_at) = self.began;
        UnixMs(started_at.0 + (clock::now() - began).as_millis() as u64)
    }

    /// What the run used, but for its time.
    pub fn usage(&self) -> RunUsage {
        let (sent_bytes, received_bytes) = self.hooks.bytes();
        RunUsage {
            memory_bytes: self.memory.peak as u64,
            calls: Calls { http: self.hooks.requests(), log: self.log.records(), ..self.calls },
            sent_bytes,
            received_bytes,
            ..RunUsage::default()
        }
    }

    pub fn into_outbox(self) -> Vec<OutboxMessage> {
        self.outbox.into_messages()
    }

    /// The exit behind an error of the engine.
    pub fn exit_of(&self, error: &wasmtime::Error) -> Exit {
        if let Some(exit) = error.downcast_ref::<I32Exit>() {
            return Exit::Exited { code: exit.0 };
        }
        if self.memory.refused {
            let Policy { memory_bytes, memory_setting, .. } = &*self.policy;
            let reason = format!("asked for more than its {memory_bytes} bytes of memory ({memory_setting})");
            return Exit::OutOfMemory { reason };
        }
        if self.table_elements.refused {
            let limit = self.limits.table_elements;
            let reason = format!("asked for more than {limit} elements in its tables (limits.table_elements)");
            return Exit::OutOfMemory { reason };
        }
        // A trap, or an error in a call that the guest made, has a backtrace; what fails outside
        // the guest is its result.
        let in_guest = error.downcast_ref::<Trap>().is_some() || error.downcast_ref::<WasmBacktrace>().is_some();
        let mut reason = text::root_cause(error);
        if let Some((_, limit)) = SAID_BY_THE_ENGINE.iter().find(|(words, _)| reason.contains(words)) {
            reason = format!("{reason} ({limit})");
        }
        if !in_guest {
            return Exit::BadResult { reason };
        }
        if let Some(last_words) = self.log.last_words() {
            reason = format!("{last_words} ({reason})");
        }
        Exit::Trap { reason: text::sanitize(&reason, self.limits.reason_bytes) }
    }

    /// What the host saw during the run goes before what the guest said of it. A retry without a
    /// delay, after a 429 or 503, is an unavailable dependency: the host saw what the guest did not
    /// say.
    pub fn with_what_the_host_saw(&self, exit: Exit) -> Exit {
        if self.claim_is_void {
            return Exit::LeaseLost;
        }
        match (exit, self.hooks.unavailable()) {
            (Exit::Retry { reason, after: None }, Some((dependency, after))) => {
                Exit::Unavailable { dependency, reason, after }
            }
            (Exit::Unavailable { dependency, reason, after: None }, Some((seen, after))) if dependency == seen => {
                Exit::Unavailable { dependency, reason, after }
            }
            (Exit::Snooze { .. }, _) if self.is_waiting => Exit::Waiting,
            (exit, _) => exit,
        }
    }
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let limit = usize::try_from(self.policy.memory_bytes).unwrap_or(usize::MAX);
        Ok(self.memory.grow(current, desired, limit))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory.give_back();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.table_elements.grow(current, desired, self.limits.table_elements))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.table_elements.give_back();
        Ok(())
    }

    fn instances(&self) -> usize {
        self.limits.core_instances as usize
    }

    fn memories(&self) -> usize {
        self.limits.memories as usize
    }

    fn tables(&self) -> usize {
        self.limits.tables as usize
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let ctx = self.wasi.get_or_insert_with(|| {
            WasiCtx::builder()
                .stdout(Stdio::stdout(&self.log))
                .stderr(Stdio::stderr(&self.log))
                .envs(&self.policy.variables)
                .max_random_size(self.limits.random_bytes)
                .allow_tcp(false)
                .allow_udp(false)
                .allow_ip_name_lookup(false)
                .build()
        });
        WasiCtxView { ctx, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}
