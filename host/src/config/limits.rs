//! Limits on what one message may use, and on what the host keeps: each with its default.

use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;
use wasq_core::schema::{Size, Time};

/// Limits on what one message may use, and on what the host keeps.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Instances alive at once, over all plugins: 1 to 10,000. Default 512.
    pub max_instances: u32,
    /// The longest timeout that a manifest may ask for: a run may use this much of a core too.
    /// Default 12 h.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub max_timeout: Duration,
    /// The largest memory that a manifest may ask for, all of an instance's memories together.
    /// Default 256 MiB.
    #[schemars(with = "Size")]
    pub max_memory: ByteSize,
    /// The largest component file. Default 64 MiB.
    #[schemars(with = "Size")]
    pub max_component: ByteSize,
    /// CPU time for compiling one component: at least 1 s, whole seconds. Default 60 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub compile_time: Duration,
    /// Memory for compiling one component. Default 2 GiB.
    #[schemars(with = "Size")]
    pub compile_memory: ByteSize,
    /// Core instances that one component may be made of; a Rust one has 3. Default 16.
    pub core_instances: u32,
    /// Memories that one component may have; a Rust one has 1. Default 2.
    pub memories: u32,
    /// Tables that one component may have; a Rust one has 2. Default 4.
    pub tables: u32,
    /// Elements in all of an instance's tables. Default 20,000.
    pub table_elements: usize,
    /// Handles (requests, streams, pollables, resources of its own) that one instance may hold at
    /// once. Default 1,024.
    pub open_handles: usize,
    /// The longest idempotency key. Default 1 KiB.
    pub key_bytes: usize,
    /// The longest result kept with a completion. Default 4 KiB.
    pub result_bytes: usize,
    /// The longest reason that a guest gives. What is longer is cut. Default 4 KiB.
    pub reason_bytes: usize,
    /// Bytes that a message's handler may log. Default 64 KiB.
    pub log_bytes: usize,
    /// Records that a message's handler may log. Default 1,000.
    pub log_records: usize,
    /// Random bytes in one call. Default 64 KiB.
    pub random_bytes: u64,
    /// Bytes that one call may lift out of the guest: bodies, results, logs. Default 8 MiB.
    pub hostcall_bytes: usize,
    /// Steps that one run may record. Default 64.
    pub steps: usize,
    /// Waits for answers that one run may ask for. Default 16.
    pub waits: usize,
    /// Bytes of one step's value. Default 256 KiB.
    pub step_bytes: usize,
    /// Bytes of all values that one run may record. Default 4 MiB.
    pub step_total_bytes: usize,
    /// Bytes of a body that is fetched from S3; a manifest's `max_body` may be lower. Default 64
    /// MiB.
    pub payload_bytes: usize,
    /// Messages in one run's outbox. Default 100.
    pub outbox_messages: usize,
    /// Bytes of all bodies, attributes and names in one run's outbox. Default 16 MiB.
    pub outbox_bytes: usize,
    /// How many outboxes in a row may have led to a message: 1 to 10,000. Default 32.
    pub outbox_depth: u32,
    /// Members of one group: 1 to 10,000. Default 10,000.
    pub group_members: usize,
    /// Outbound requests of one message: 0 to 100,000. Default 100.
    pub requests: usize,
    /// Outbound requests of one message at once, until each's response is read or dropped: 1 to
    /// 1,000. Default 16.
    pub requests_at_once: usize,
    /// Bytes of one request's body: to 1 GiB. Default 16 MiB.
    pub request_bytes: usize,
    /// Bytes of one request's body that is signed for AWS, which is kept whole until its hash is
    /// known: to 1 GiB. Default 16 MiB.
    pub signed_bytes: usize,
    /// Bytes of all such bodies that the host holds at once: to 1 TiB. Default 256 MiB. A request
    /// without room waits.
    pub signed_total_bytes: usize,
    /// Bytes of one response's body: to 1 GiB. Default 16 MiB.
    pub response_bytes: usize,
    /// Headers of one request or response: 1 to 1,000. Default 100.
    pub headers: usize,
    /// Bytes of one request's or response's headers: 1 KiB to 1 MiB. Default 32 KiB.
    pub header_bytes: usize,
    /// Bytes of one request's URL: 64 to 65,000. Default 8 KiB.
    pub url_bytes: usize,
    /// From the request to its response's headers: 1 ms to 12 h. Default 30 s. A handler may ask
    /// for less.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub first_byte: Duration,
    /// How long a response's body may pause: 1 ms to 12 h. Default 30 s. A handler may ask for
    /// less.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub between_bytes: Duration,
    /// From the request to its response's last byte: 1 ms to 12 h. Default 5 min.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub request_time: Duration,
    /// How long a delivery waits for its plugin's permit before it is put back. Default 5 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub permit_wait: Duration,
    /// How long a lease is kept past a handler's timeout, for settling. Default 30 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub settle_grace: Duration,
    /// Claims that ended without a finish before a message is dead-lettered as `host-crash`.
    /// Default 3.
    pub max_crashes: u32,
    /// Failures in a row that open a dependency's breaker. Default 5.
    pub breaker_failures: u32,
    /// How long an open breaker waits for its first probe; doubles up to a minute. Default 1 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub breaker_probe: Duration,
    /// Dependencies of one plugin that have a breaker: 1 to 1,024. Default 32.
    pub breaker_dependencies: usize,
    /// How often the ledger is asked what is paused: 100 ms to 1 min. Default 2 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub pause_refresh: Duration,
    /// How long a message whose type is paused is hidden at most before it is looked at again; so
    /// long may it take after a resume: 1 s to 12 h. Default 60 s; at first it is 5 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub pause_hold: Duration,
    /// How long a message waits in hand for its rates or its key: 0 s to 1 h. Default 5 s. One that
    /// has to wait for longer is hidden.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub rate_wait: Duration,
    /// How long a message that has to wait for a rate or its key is hidden at most before it is
    /// looked at again: 1 s to 12 h. Default 5 min.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub rate_hold: Duration,
    /// Messages of one queue that wait in hand for their rates or keys, beside its `concurrency`: 1
    /// to 100,000. Default 256.
    pub rate_waiting: usize,
    /// Keys of one rate that the host remembers: 100 to 1,000,000. Default 10,000.
    pub rate_keys: usize,
    /// Hidden messages that the host remembers, to show them again when what holds them back is
    /// gone: 0 to 1,000,000. Default 10,000.
    pub hidden_messages: usize,
    /// Keys of keyed concurrency, of all plugins, that the host remembers, and of each queue with
    /// `fair_by`: 100 to 1,000,000. Default 10,000.
    pub concurrency_keys: usize,
    /// Messages of one queue with `fair_by` that the host has hidden because others of their key
    /// wait: 100 to 100,000. Default 20,000. SQS has 120,000 in flight.
    pub fair_hidden: usize,
    /// Keys of one plugin's messages that `wasq top` ranks, by each of its measures, where the
    /// manifest has a `cost_key`: 1 to 1,000. Default 100.
    pub cost_keys: usize,
}

impl Limits {
    /// How long a message may be in hand beside its run: it waits for its key's turn, for a permit
    /// of its key, for its rates and for its other permits, and it is settled.
    pub fn in_hand_beside_run(&self) -> Duration {
        self.rate_wait * 3 + self.permit_wait + self.settle_grace
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_instances: 512,
            max_timeout: Duration::from_secs(12 * 60 * 60),
            max_memory: ByteSize::mib(256),
            max_component: ByteSize::mib(64),
            compile_time: Duration::from_secs(60),
            compile_memory: ByteSize::gib(2),
            core_instances: 16,
            memories: 2,
            tables: 4,
            table_elements: 20_000,
            open_handles: 1_024,
            key_bytes: 1024,
            result_bytes: 4 * 1024,
            reason_bytes: 4 * 1024,
            log_bytes: 64 * 1024,
            log_records: 1_000,
            random_bytes: 64 * 1024,
            hostcall_bytes: 8 * 1024 * 1024,
            steps: 64,
            waits: 16,
            step_bytes: 256 * 1024,
            step_total_bytes: 4 * 1024 * 1024,
            payload_bytes: 64 * 1024 * 1024,
            outbox_messages: 100,
            outbox_bytes: 16 * 1024 * 1024,
            outbox_depth: 32,
            group_members: 10_000,
            requests: 100,
            requests_at_once: 16,
            request_bytes: 16 * 1024 * 1024,
            signed_bytes: 16 * 1024 * 1024,
            signed_total_bytes: 256 * 1024 * 1024,
            response_bytes: 16 * 1024 * 1024,
            headers: 100,
            header_bytes: 32 * 1024,
            url_bytes: 8 * 1024,
            first_byte: Duration::from_secs(30),
            between_bytes: Duration::from_secs(30),
            request_time: Duration::from_secs(5 * 60),
            permit_wait: Duration::from_secs(5),
            settle_grace: Duration::from_secs(30),
            max_crashes: 3,
            breaker_failures: 5,
            breaker_probe: Duration::from_secs(1),
            breaker_dependencies: 32,
            pause_refresh: Duration::from_secs(2),
            pause_hold: Duration::from_secs(60),
            rate_wait: Duration::from_secs(5),
            rate_hold: Duration::from_secs(5 * 60),
            rate_waiting: 256,
            rate_keys: 10_000,
            hidden_messages: 10_000,
            concurrency_keys: 10_000,
            fair_hidden: 20_000,
            cost_keys: 100,
        }
    }
}
