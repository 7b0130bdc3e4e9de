//! What a seed draws: how many hosts and messages there are, and what goes wrong how often.

use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use wasq::timers::deliver_at::{self, DELIVER_AT_ATTRIBUTE};
use wasq_core::message::{AttributeValue, Attributes, UnixMs};
use wasq_queues::VISIBILITY_MAX;

use super::world::EPOCH_MS;

/// The types of messages: one handled by one plugin, one by two, and one each for a plugin that
/// records completions alone and one without a ledger.
pub const SOLO: &str = "solo";
pub const PAIR: &str = "pair";
pub const LIGHT: &str = "light";
pub const BARE: &str = "bare";

/// Members of groups, and what follows these; both for the plugin that opens them.
pub const MEMBER: &str = "member";
pub const READY: &str = "ready";

/// The records of a batch.
const RECORDS_MAX: usize = 4;

/// A seed's plan.
#[derive(Clone, Debug)]
pub struct Plan {
    pub hosts: usize,
    pub fifo: bool,
    pub visibility: Duration,
    pub concurrency: usize,
    /// For how long a message can be hidden, and whether what outboxes send can be delayed: other
    /// brokers than SQS can less.
    pub hides_up_to: Duration,
    pub has_delays: bool,
    /// Whether what a host has received is back when its connection ends, as on RabbitMQ.
    pub by_connection: bool,
    pub messages: Vec<Planned>,
    /// How long things go wrong.
    pub trouble_ms: u64,
    pub rates: Rates,
    /// Whether hosts also keep to a rate and share a pool.
    pub has_quotas: bool,
}

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct Planned {
    pub at_ms: u64,
    pub kind: &'static str,
    /// One, or the records of a batch that the queue splits.
    pub records: Vec<Record>,
    pub group: Option<String>,
    /// When its producer wants it delivered.
    pub due_ms: Option<u64>,
}

/// What a handler gets of a message.
#[derive(Clone, Debug)]
pub struct Record {
    id: String,
    /// What its completion is recorded under.
    pub key: String,
    pub body: Value,
}

/// How often things go wrong: probabilities of a call or a turn. A seed leaves many of them at
/// zero, so that rare faults meet alone, too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// The call fails and has no effect.
    pub queue_before: f64,
    pub ledger_before: f64,
    /// The call has its effect, and its answer is lost.
    pub queue_after: f64,
    pub ledger_after: f64,
    /// One entry of a batch fails, in the queue or in the ledger.
    pub entry: f64,
    /// A call takes long: up to twice the visibility.
    pub slow: f64,
    /// The most that a call takes otherwise, each way.
    pub latency_ms: u64,
    /// A message is delivered and stays visible.
    pub duplicate: f64,
    /// A lease ends before its time.
    pub expire: f64,
    /// A delete that succeeded comes undone.
    pub undelete: f64,
    /// Messages come in any order (standard queues).
    pub reorder: f64,
    /// The host dies before or after a call's effect.
    pub crash_at_call: f64,
    /// In each turn of a host: it dies, stands still, is told to end; the ledger goes down for a
    /// while.
    pub crash: f64,
    pub stall: f64,
    pub term: f64,
    pub outage: f64,
    /// In each turn of a host: its connection to a queue that lends by connection ends.
    pub cut: f64,
    /// In each turn of a host: the DLQ is gone for a while, and refuses every letter for good.
    pub dlq_outage: f64,
    /// Nothing goes wrong but that hosts are told to end: what they held must be there for others
    /// when they have.
    pub is_gentle: bool,
}

impl Plan {
    pub fn draw(rng: &mut Rng) -> Self {
        let fifo = rng.f64() < 0.35;
        let count = rng.usize(4..=24);
        let trouble_ms = rng.u64(5_000..=40_000);
        let mut messages: Vec<Planned> = (0..count).map(|n| Planned::draw(n, fifo, trouble_ms, rng)).collect();
        // Now and then a producer sends the same once more, under the same key.
        for _ in 0..rng.usize(0..=2) {
            let mut twin = messages[rng.usize(0..messages.len())].clone();
            twin.at_ms = rng.u64(0..trouble_ms);
            messages.push(twin);
        }
        Self {
            hosts: rng.usize(1..=3),
            fifo,
            visibility: Duration::from_secs(rng.u64(4..=10)),
            concurrency: rng.usize(1..=8),
            hides_up_to: match rng.u32(0..10) {
                0..6 => VISIBILITY_MAX,
                6..8 => Duration::from_secs(1),
                _ => Duration::ZERO,
            },
            has_delays: rng.bool(),
            by_connection: !fifo && rng.f64() < 0.25,
            messages,
            trouble_ms,
            rates: Rates::draw(rng),
            has_quotas: rng.f64() < 0.3,
        }
    }
}

/// The source of events.
const SOURCE: &str = "sim";

impl Planned {
    /// The body and the attributes that a producer sends: a batch is one of CloudEvents.
    pub fn content(&self) -> (Value, Attributes) {
        let due = self.due_ms.and_then(|due_ms| deliver_at::value_of(UnixMs(EPOCH_MS + due_ms)));
        let due = due.map(|value| (DELIVER_AT_ATTRIBUTE.to_owned(), value));
        if let [record] = &self.records[..] {
            let attributes = [("type", self.kind), ("idempotency-key", &record.key)];
            let attributes = attributes.map(|(name, text)| (name.to_owned(), AttributeValue::string(text)));
            return (record.body.clone(), attributes.into_iter().chain(due).collect());
        }
        let events = self.records.iter().map(|Record { id, body, .. }| {
            json!({ "specversion": "1.0", "type": self.kind, "source": SOURCE, "id": id,
                    "datacontenttype": "application/json", "data": body })
        });
        (events.collect(), due.into_iter().collect())
    }

    fn draw(n: usize, fifo: bool, trouble_ms: u64, rng: &mut Rng) -> Self {
        let kind = match rng.f64() {
            0.0..0.2 => PAIR,
            0.2..0.35 => LIGHT,
            0.35..0.45 => BARE,
            _ => SOLO,
        };
        let count = if kind != BARE && rng.f64() < 0.1 { rng.usize(2..=RECORDS_MAX) } else { 1 };
        let at_ms = if rng.bool() { 0 } else { rng.u64(0..trouble_ms) };
        let records = (0..count).map(|place| Record::draw(n, place, count > 1, kind, rng)).collect();
        Self {
            at_ms,
            kind,
            records,
            group: fifo.then(|| format!("g{}", rng.u32(0..3))),
            due_ms: (rng.f64() < 0.1).then(|| at_ms + rng.u64(0..=90_000)),
        }
    }
}

impl Record {
    fn draw(n: usize, place: usize, is_event: bool, kind: &str, rng: &mut Rng) -> Self {
        let has_steps = ![LIGHT, BARE].contains(&kind);
        let act = |rng: &mut Rng| match rng.u32(0..100) {
            0..55 => json!("done"),
            55..70 => json!("retry"),
            70..74 => json!("reject"),
            74..78 => json!("trap"),
            78..83 if has_steps => json!("snooze"),
            83..88 if has_steps => json!("wait"),
            78..95 => json!({ "sleep": rng.u64(1..=2_900) }),
            _ => json!({ "sleep": 60_000 }),
        };
        let acts: Vec<Value> = (0..rng.usize(1..=3)).map(|_| act(rng)).collect();
        let outbox = if kind != BARE && rng.f64() < 0.3 { rng.u32(1..=2) } else { 0 };
        let steps = if has_steps { rng.u32(1..=3) } else { 0 };
        let id = format!("k{n}.{place}");
        let key = if is_event { format!("{}:{SOURCE}{}:{id}", SOURCE.len(), id.len()) } else { id.clone() };
        // The guest without an outbox takes orders in its own words.
        let orders: Vec<Value> = acts.iter().filter(|_| kind == BARE).map(order).collect();
        let group = (kind == SOLO && !is_event && rng.f64() < 0.2).then(|| group(&id, rng));
        let body = json!({ "n": n * RECORDS_MAX + place, "steps": steps, "outbox": outbox, "acts": acts,
                           "do": "each", "attempts": orders, "group": group,
                           "outbox_delay_s": if rng.f64() < 0.3 { rng.u32(1..=20) } else { 0 } });
        Self { id, key, body }
    }
}

/// A group with its members and what follows them, as the guest is told. Now and then a member adds
/// some more.
fn group(name: &str, rng: &mut Rng) -> Value {
    let count = if rng.f64() < 0.2 { rng.usize(11..=13) } else { rng.usize(0..=4) };
    let members: Vec<Value> = (0..count)
        .map(|_| {
            let adds = rng.f64() < 0.15;
            let more: Vec<Value> = (0..rng.usize(1..=2)).map(|_| member(None, rng)).collect();
            let more = adds.then(|| json!({ "name": null, "on_failure": "send", "members": more, "follow_up": null }));
            member(more, rng)
        })
        .collect();
    let on_failure = ["send", "send", "send", "wait", "cancel"][rng.usize(0..5)];
    let follow_up = json!({ "n": 0, "steps": 1, "outbox": 0, "outbox_delay_s": 0, "acts": ["done"], "reads": true });
    json!({ "name": name, "on_failure": on_failure, "members": members, "follow_up": follow_up })
}

fn member(adds: Option<Value>, rng: &mut Rng) -> Value {
    let act = |rng: &mut Rng| match rng.u32(0..100) {
        0..55 => json!("done"),
        55..67 => json!("retry"),
        67..73 => json!("reject"),
        73..76 => json!("trap"),
        76..80 => json!("snooze"),
        _ => json!({ "sleep": rng.u64(1..=2_900) }),
    };
    let acts: Vec<Value> = (0..rng.usize(1..=3)).map(|_| act(rng)).collect();
    json!({ "n": 0, "steps": rng.u32(1..=2), "outbox": 0, "outbox_delay_s": 0, "acts": acts, "group": adds })
}

/// An act, as the guest `bare` is told.
fn order(act: &Value) -> Value {
    match (act.as_str(), act["sleep"].as_u64()) {
        (_, Some(ms)) => json!({ "do": "sleep", "ms": ms }),
        (Some(act), None) => json!({ "do": act, "reason": "as its message says" }),
        (None, None) => unreachable!("an act is a word, or a sleep"),
    }
}

impl Rates {
    fn draw(rng: &mut Rng) -> Self {
        if rng.f64() < 0.15 {
            let latency_ms = [0, 20, 100][rng.usize(0..3)];
            return Self { is_gentle: true, term: 0.02, latency_ms, reorder: rng.f64(), ..Self::default() };
        }
        let rate = |rng: &mut Rng, most: f64| if rng.bool() { 0.0 } else { rng.f64() * most };
        Self {
            queue_before: rate(rng, 0.3),
            ledger_before: rate(rng, 0.3),
            queue_after: rate(rng, 0.2),
            ledger_after: rate(rng, 0.2),
            entry: rate(rng, 0.3),
            slow: rate(rng, 0.15),
            latency_ms: [0, 2, 20, 200][rng.usize(0..4)],
            duplicate: rate(rng, 0.2),
            expire: rate(rng, 0.02),
            undelete: rate(rng, 0.1),
            reorder: rate(rng, 1.0),
            crash_at_call: rate(rng, 0.01),
            crash: rate(rng, 0.004),
            stall: rate(rng, 0.004),
            term: rate(rng, 0.003),
            outage: rate(rng, 0.003),
            cut: rate(rng, 0.02),
            dlq_outage: rate(rng, 0.003),
            is_gentle: false,
        }
    }
}
