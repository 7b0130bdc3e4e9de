//! Every metric, once: its name, kind, unit, labels and what it means. `/metrics`, OTLP, and the
//! table in docs/operate/telemetry.md are made from these, or held against them.

use wasq_core::meters::Histogram;

/// A metric's definition.
#[derive(Debug)]
pub struct Metric {
    /// As Prometheus names it.
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    /// The labels' names. A series has a value for each, in this order.
    pub labels: &'static [&'static str],
    pub help: &'static str,
    /// As OpenTelemetry's messaging conventions name it and its operation, where they do.
    pub convention: Option<(&'static str, &'static str)>,
}

/// How a metric's numbers behave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows, from the host's start on.
    Counter,
    Gauge,
    /// How many were at most as large as each of these bounds, which are in the metric's unit.
    Histogram(&'static [f64]),
}

/// What a metric's numbers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Bytes,
    /// Things.
    One,
}

impl Metric {
    /// A meter of it, with its bounds.
    ///
    /// # Panics
    /// When it is no histogram.
    pub fn histogram(&self) -> Histogram {
        match (self.kind, self.unit) {
            (Kind::Histogram(bounds), Unit::Seconds) => Histogram::of_seconds(bounds),
            (Kind::Histogram(bounds), Unit::Bytes | Unit::One) => Histogram::of_bytes(bounds),
            (Kind::Counter | Kind::Gauge, _) => panic!("{} is no histogram", self.name),
        }
    }

    const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, unit: Unit::One, labels, help, convention: None }
    }

    const fn counter_of(unit: Unit, name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { unit, ..Self::counter(name, labels, help) }
    }

    const fn gauge(name: &'static str, unit: Unit, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, unit, labels, help, convention: None }
    }

    const fn seconds(
        name: &'static str,
        bounds: &'static [f64],
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Histogram(bounds), unit: Unit::Seconds, labels, help, convention: None }
    }

    const fn known_as(self, name: &'static str, operation: &'static str) -> Self {
        Self { convention: Some((name, operation)), ..self }
    }

    /// As OTLP has it: the conventions' name, or our own with the prefix set apart. Unit and kind
    /// stand beside the name there, and a collector that writes Prometheus puts them back.
    pub fn otel_name(&self) -> String {
        if let Some((name, _)) = self.convention {
            return name.to_owned();
        }
        let mut name = self.name.replacen("wasq_", "wasq.", 1);
        for suffix in ["_total", "_seconds", "_bytes"] {
            if let Some(stem) = name.strip_suffix(suffix) {
                name = stem.to_owned();
            }
        }
        name
    }
}

/// From a quick call to a long run. The last is beyond the default timeout and below the longest
/// lease.
const RUN_S: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0];
/// From an empty queue to one that has stood for a day.
const WAIT_S: &[f64] =
    &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 86_400.0];
/// A light handler computes for microseconds.
const CPU_S: &[f64] =
    &[0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];
/// A batch's linger and a call, to a settlement that was tried to its end.
const SETTLE_S: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// From the first backoff to the longest visibility.
const DELAY_S: &[f64] = &[0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 900.0, 3_600.0, 43_200.0];
/// From a page or two to the most that wasm32 has.
const MEMORY_BYTES: &[f64] = &[
    131_072.0,
    262_144.0,
    524_288.0,
    1_048_576.0,
    2_097_152.0,
    4_194_304.0,
    8_388_608.0,
    16_777_216.0,
    33_554_432.0,
    67_108_864.0,
    134_217_728.0,
    268_435_456.0,
    536_870_912.0,
    1_073_741_824.0,
    4_294_967_296.0,
];

const LINE: &[&str] = &["type", "plugin"];
const QUEUE: &[&str] = &["queue"];

macro_rules! metrics {
    ($($name:ident = $metric:expr;)*) => {
        $(pub static $name: Metric = $metric;)*

        /// All of them, in the order in which they are shown.
        pub static ALL: &[&Metric] = &[$(&$name),*];
    };
}

metrics! {
    BUILD_INFO = Metric::gauge("wasq_build_info", Unit::One, &["version"], "The host's version; always 1.");
    RECEIVED = Metric::counter("wasq_received_total", QUEUE, "Messages returned by ReceiveMessage.")
        .known_as("messaging.client.consumed.messages", "receive");
    EXITS = Metric::counter("wasq_exits_total", &["type", "plugin", "exit", "settlement"],
        "How deliveries ended, and what was done with them: delete, delay, dead-letter or leave.");
    QUEUE_WAIT = Metric::seconds("wasq_queue_wait_seconds", WAIT_S, LINE, "From a message's sending to its handler's start.");
    RUN_DURATION = Metric::seconds("wasq_run_duration_seconds", RUN_S, LINE, "How long handlers ran, by the clock.")
        .known_as("messaging.process.duration", "process");
    GUEST_CPU = Metric::seconds("wasq_guest_cpu_seconds", CPU_S, LINE,
        "Processor time of handlers; the rest of a run's duration is waiting.");
    GUEST_MEMORY = Metric { name: "wasq_guest_memory_bytes", kind: Kind::Histogram(MEMORY_BYTES), unit: Unit::Bytes, labels: LINE,
        help: "The most linear memory that handlers had.", convention: None };
    HOST_CALLS = Metric::counter("wasq_host_calls_total", &["type", "plugin", "call"],
        "Calls of handlers into the host: http, outbox, step or log.");
    EGRESS_BYTES = Metric::counter_of(Unit::Bytes, "wasq_egress_bytes_total", &["type", "plugin", "direction"],
        "Bytes of the bodies of handlers' outbound requests and their answers: sent or received.");
    PROCESS_CPU = Metric::counter_of(Unit::Seconds, "wasq_process_cpu_seconds_total", &[],
        "Processor time of the whole process: of the handlers and of the host itself.");
    SETTLE_DURATION = Metric::seconds("wasq_settle_duration_seconds", SETTLE_S, QUEUE,
        "From a settlement's decision to the queue's confirmation of it.");
    ATTEMPTS = Metric::counter("wasq_attempts_total", &["type", "plugin", "attempt"],
        "Handlers that ran, by the number of the attempt: 1 to 5, or 6+.");
    RETRY_DELAY = Metric::seconds("wasq_retry_delay_seconds", DELAY_S, LINE,
        "For how long messages were hidden after a failed attempt.");
    DUPLICATES = Metric::counter("wasq_duplicates_total", LINE, "Messages whose work another one with the same key had done.");
    LAG = Metric::gauge("wasq_lag_seconds", Unit::Seconds, QUEUE,
        "Age of the last message when it was received; 0 after an empty receive.");
    QUEUE_MESSAGES = Metric::gauge("wasq_queue_messages", Unit::One, &["queue", "state"],
        "Messages in the queue by its own approximate count: visible, in_flight or delayed.");
    IN_HAND = Metric::gauge("wasq_in_hand", Unit::One, QUEUE, "Messages that this host has received and not yet settled.");
    CONCURRENCY = Metric::gauge("wasq_concurrency", Unit::One, QUEUE, "Maximum messages that this host has received and not yet settled.");
    DLQ_MESSAGES = Metric::gauge("wasq_dlq_messages", Unit::One, QUEUE,
        "Messages in the queue's dead-letter queue, by its own approximate count.");
    DLQ_OLDEST_AGE = Metric::gauge("wasq_dlq_oldest_age_seconds", Unit::Seconds, QUEUE,
        "Age of the oldest dead letter among up to ten that a sample shows; 0 when there is none.");
    POLL_FAILURES = Metric::counter("wasq_poll_failures_total", &["queue", "code"], "Receives that failed.");
    LAST_POLL = Metric::gauge("wasq_last_poll_timestamp_seconds", Unit::Seconds, QUEUE,
        "When a receive was last answered, as Unix time.");
    LEASE_RENEWALS = Metric::counter("wasq_lease_renewals_total", QUEUE, "Leases that were renewed.");
    LEASE_LOSSES = Metric::counter("wasq_lease_losses_total", QUEUE, "Leases that were lost while their work ran.");
    SETTLE_FAILURES = Metric::counter("wasq_settle_failures_total", &["queue", "operation"],
        "Deletes and visibility changes that failed, each try counted: delete or visibility.");
    PERMITS_BUSY = Metric::gauge("wasq_permits_busy", Unit::One, &["pool"],
        "Permits in use: of the host, of plugin:NAME, of pool:NAME.");
    PERMITS_LIMIT = Metric::gauge("wasq_permits_limit", Unit::One, &["pool"], "Size of each permit pool.");
    QUEUE_PERMITS_BUSY = Metric::gauge("wasq_queue_permits_busy", Unit::One, QUEUE,
        "Permits of the host that runs of a queue have, where queues have priorities.");
    QUEUE_PERMITS_WAITING = Metric::gauge("wasq_queue_permits_waiting", Unit::One, QUEUE,
        "Runs of a queue that wait for a permit of the host, where queues have priorities.");
    POOL_LEASED = Metric::gauge("wasq_pool_leased", Unit::One, &["pool"],
        "Permits of a pool of the fleet that this host has leased.");
    POOL_WAITING = Metric::gauge("wasq_pool_waiting", Unit::One, &["pool"],
        "Runs that wait on this host for a permit of a pool of the fleet.");
    RATE_LIMIT = Metric::gauge("wasq_rate_limit", Unit::One, &["rate"],
        "Starts a second that a rate allows on all hosts together, for each of its keys.");
    RATE_STARTS = Metric::counter("wasq_rate_starts_total", &["rate"], "Runs that were started in a rate's slots.");
    RATE_WAITING = Metric::gauge("wasq_rate_waiting", Unit::One, &["rate"],
        "Messages that wait in hand for a rate.");
    RATE_HIDDEN = Metric::counter("wasq_rate_hidden_total", &["rate"],
        "Messages that were hidden because a rate had no start for them soon.");
    RATE_LOST = Metric::counter("wasq_rate_lost_total", &["rate"],
        "Slots of a rate that this host had taken and did not use in time.");
    HOSTS = Metric::gauge("wasq_hosts", Unit::One, &[],
        "Hosts of the service that have said something within the last half minute.");
    HOSTS_WANTED = Metric::gauge("wasq_hosts_wanted", Unit::One, &[], "Hosts that the work needs, as /scale says.");
    HIDDEN_MESSAGES = Metric::gauge("wasq_hidden_messages", Unit::One, &[],
        "Hidden messages that this host shows again when what holds them back is gone.");
    HIDDEN_SHOWN = Metric::counter("wasq_hidden_shown_total", &[],
        "Hidden messages that this host has shown again before their time.");
    FAIR_WAITING = Metric::gauge("wasq_fair_waiting", Unit::One, QUEUE,
        "Messages of a queue with fair_by that wait in hand for their key's turn.");
    FAIR_HIDDEN = Metric::gauge("wasq_fair_hidden", Unit::One, QUEUE,
        "Messages of a queue with fair_by that this host has hidden because others of their key wait.");
    FAIR_KEYS = Metric::gauge("wasq_fair_keys", Unit::One, QUEUE,
        "Keys of a queue with fair_by that this host remembers.");
    KEYED_RUNNING = Metric::gauge("wasq_keyed_running", Unit::One, &["plugin"],
        "Messages of a plugin with keyed concurrency that have a permit of their key.");
    KEYED_WAITING = Metric::gauge("wasq_keyed_waiting", Unit::One, &["plugin"],
        "Messages that wait in hand for a permit of their key.");
    KEYED_HIDDEN = Metric::counter("wasq_keyed_hidden_total", &["plugin"],
        "Messages that were hidden because of their key as many ran as may.");
    KEYED_KEYS = Metric::gauge("wasq_keyed_keys", Unit::One, &["plugin"],
        "Keys of a plugin with keyed concurrency that this host remembers.");
    BREAKER_STATE = Metric::gauge("wasq_breaker_state", Unit::One, &["plugin", "dependency"],
        "A dependency's breaker: 0 closed, 1 half-open, 2 open. None where nothing has failed. Of several keys, the one that is open for longest.");
    BREAKER_OPEN_SINCE = Metric::gauge("wasq_breaker_open_since_timestamp_seconds", Unit::Seconds, &["plugin", "dependency"],
        "When a breaker opened, as Unix time, while it is not closed.");
    PAUSED = Metric::gauge("wasq_paused", Unit::One, &["scope"],
        "What an operator has paused, as type:NAME or queue:NAME; always 1, and gone when it is resumed.");
    PLUGIN_INFO = Metric::gauge("wasq_plugin_info", Unit::One, &["plugin", "digest", "role"],
        "The plugins that serve, with the first 12 digits of their digests; always 1.");
    PLUGIN_LOAD_FAILURES = Metric::gauge("wasq_plugin_load_failures", Unit::One, &[],
        "Plugins that cannot be loaded now, or whose registry cannot be asked.");
    LEDGER_UP = Metric::gauge("wasq_ledger_up", Unit::One, &[], "Whether the ledger answered when it was last asked.");
    LEDGER_ENTRIES = Metric::gauge("wasq_ledger_entries", Unit::One, &[],
        "Entries in the local ledger; one that has changed lately may count twice.");
    LEDGER_OVERDUE = Metric::gauge("wasq_ledger_overdue_seconds", Unit::Seconds, &[],
        "For how long the most overdue entry that the local ledger has just removed had been expired; 0 when it removed none.");
    TIMERS_SET = Metric::counter("wasq_timers_set_total", &["kind"],
        "Messages that were stored to be sent later: parked ones of queues, and delayed ones of outboxes.");
    TIMERS_SENT = Metric::counter("wasq_timers_sent_total", &[], "Messages that were due and are in their queues.");
    TIMER_FAILURES = Metric::counter("wasq_timer_failures_total", &[],
        "Due messages that a queue did not take, each try counted; and looks at timers that failed.");
    GROUP_MEMBERS_SENT = Metric::counter("wasq_group_members_sent_total", &[],
        "Messages of outboxes that were sent as members of groups.");
    GROUP_MEMBERS_ENDED = Metric::counter("wasq_group_members_ended_total", &[],
        "Members of groups whose ends were recorded.");
    GROUPS_ENDED = Metric::counter("wasq_groups_ended_total", &["state"],
        "Groups that have ended, and what follows them is sent; and those that were cancelled.");
    TIMER_LATENESS = Metric::seconds("wasq_timer_lateness_seconds", WAIT_S, &[],
        "From when a stored message was due until it was in its queue.");
    INGRESS_REQUESTS = Metric::counter("wasq_ingress_requests_total", &["status"],
        "Requests to the ingress port, by the HTTP status of their answers.");
    INGRESS_DURATION = Metric::seconds("wasq_ingress_duration_seconds", RUN_S, &[],
        "From a request's head to its answer on the ingress port.");
    READY = Metric::gauge("wasq_ready", Unit::One, &[], "Whether the host is ready, as /readyz says.");
}

#[cfg(test)]
mod tests;
