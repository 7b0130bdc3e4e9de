//! The world that the hosts share: what is in the queues and in the ledger, what goes wrong, and
//! what has happened.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use wasq::dlq::OWN_KEY_ATTRIBUTE;
use wasq::timers::parked::PARKED_ATTRIBUTE;
use wasq_core::message::{AttributeValue, Key, MessageId, UnixMs};
use wasq_ledgers::timers::LIST_MAX;
use wasq_queues::Outgoing;

use super::Summary;
use super::checks::{SCOPE, Watch};
use super::ledger::Books;
use super::plan::{Plan, Planned, Rates};

/// Where the wall clock stands when a simulation begins, in milliseconds since 1970.
pub const EPOCH_MS: u64 = 1_750_000_000_000;
/// What is remembered of the past.
const TRACE_LINES: usize = 400;

/// The queues, by their places in [`State::backlogs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Jobs,
    Dlq,
    Out,
}

/// A shared world.
#[derive(Clone)]
pub struct World(Arc<Mutex<State>>);

pub struct State {
    pub rng: Rng,
    pub rates: Rates,
    pub fifo: bool,
    pub visibility_ms: u64,
    pub hides_up_to: Duration,
    pub delays_up_to: Duration,
    pub by_connection: bool,
    /// The latest moment that anybody has named.
    pub now_ms: u64,
    pub outage_until_ms: u64,
    pub dlq_gone_until_ms: u64,
    pub backlogs: [Backlog; 3],
    pub books: Books,
    pub watch: Watch,
    pub summary: Summary,
    /// Tokens that handlers have given away, with the keys that wait for their answers.
    pub tokens: Vec<(Key, String)>,
    planned: VecDeque<Planned>,
    violation: Option<String>,
    trace: VecDeque<String>,
    /// Over every line of the trace.
    digest: DefaultHasher,
}

/// One queue's messages.
#[derive(Default)]
pub struct Backlog {
    pub messages: Vec<Stored>,
}

/// A message in a queue.
pub struct Stored {
    pub id: MessageId,
    pub content: Outgoing,
    pub sent_ms: u64,
    pub visible_at_ms: u64,
    pub receives: u32,
    /// The latest receipt; an older one deletes nothing.
    pub receipt: u64,
    pub deleted: bool,
    /// Who received it last, and whether its visibility has been changed to something else since.
    pub holder: Option<usize>,
    pub put_back: bool,
}

impl World {
    pub fn new(plan: &Plan, rng: Rng) -> Self {
        let mut planned = plan.messages.clone();
        planned.sort_by_key(|message| message.at_ms);
        Self(Arc::new(Mutex::new(State {
            rng,
            rates: plan.rates,
            fifo: plan.fifo,
            visibility_ms: plan.visibility.as_millis() as u64,
            hides_up_to: plan.hides_up_to,
            delays_up_to: if plan.has_delays { Duration::from_secs(900) } else { Duration::ZERO },
            by_connection: plan.by_connection,
            now_ms: 0,
            outage_until_ms: 0,
            dlq_gone_until_ms: 0,
            backlogs: Default::default(),
            books: Books::default(),
            watch: Watch::default(),
            summary: Summary { messages: planned.len() as u64, ..Summary::default() },
            tokens: Vec::new(),
            planned: planned.into(),
            violation: None,
            trace: VecDeque::new(),
            digest: DefaultHasher::new(),
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        // A panic ends the simulation anyway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is planned up to now.
    pub fn send_due(&self, now_ms: u64) {
        let state = &mut *self.lock();
        while state.planned.front().is_some_and(|message| message.at_ms <= now_ms) {
            let message = state.planned.pop_front().expect("it was just seen");
            let (body, attributes) = message.content();
            let content = Outgoing {
                body: body.to_string().into(),
                attributes,
                delay_s: 0,
                group: message.group.clone(),
                deduplication_id: None,
            };
            let id = state.backlogs[Which::Jobs as usize].add(content, now_ms, "m");
            state.trace(now_ms, || format!("sent {id} {} {body}", message.kind));
            state.watch.sent(id, &message);
        }
    }

    /// From now on nothing goes wrong. What is planned is sent.
    pub fn calm(&self, now_ms: u64) {
        self.send_due(u64::MAX);
        let mut state = self.lock();
        state.rates = Rates::default();
        state.outage_until_ms = 0;
        state.dlq_gone_until_ms = 0;
        state.trace(now_ms, || "from here on nothing goes wrong".into());
    }

    pub fn is_settled(&self) -> bool {
        let mut state = self.lock();
        let now = UnixMs(EPOCH_MS + state.now_ms);
        state.planned.is_empty()
            && state.backlogs[Which::Jobs as usize].messages.iter().all(|message| message.deleted)
            && state.books.timers(SCOPE).0.counts(now).all == 0
    }

    /// What is not settled although it should be.
    pub fn unsettled(&self) -> String {
        let mut state = self.lock();
        let now = UnixMs(EPOCH_MS + state.now_ms);
        let timers = state.books.timers(SCOPE).0.counts(now).all;
        let left = state.backlogs[Which::Jobs as usize].messages.iter().filter(|message| !message.deleted);
        let ids: Vec<_> = left.map(|message| message.id.0.as_str()).collect();
        format!(
            "long after all trouble is over there are {timers} timers, and these are not settled: {}",
            ids.join(", ")
        )
    }

    /// The first violation so far.
    pub fn check(&self) -> Result<(), String> {
        self.lock().violation.clone().map_or(Ok(()), Err)
    }

    /// The verdict on a run that came to this `outcome`; a violation comes with its trace.
    pub fn end(&self, outcome: Result<(), String>) -> Result<Summary, (String, Vec<String>)> {
        let state = self.lock();
        let verdict = outcome.and_then(|()| state.watch.at_the_end(&state.backlogs));
        let summary = Summary { ms: state.now_ms, digest: state.digest.finish(), ..state.summary };
        verdict.map(|()| summary).map_err(|what| (what, state.trace.iter().cloned().collect()))
    }
}

impl State {
    /// Whether something goes wrong now that goes wrong this often.
    pub fn draw(&mut self, rate: impl Fn(&Rates) -> f64) -> bool {
        let rate = rate(&self.rates);
        rate > 0.0 && self.rng.f64() < rate
    }

    /// As [`State::draw`], and counted as a fault.
    pub fn draw_fault(&mut self, rate: impl Fn(&Rates) -> f64) -> bool {
        let drawn = self.draw(rate);
        self.summary.faults += u64::from(drawn);
        drawn
    }

    pub fn trace(&mut self, now_ms: u64, line: impl FnOnce() -> String) {
        if self.trace.len() == TRACE_LINES {
            self.trace.pop_front();
        }
        let line = format!("{now_ms:>8} {}", line());
        line.hash(&mut self.digest);
        self.trace.push_back(line);
    }

    /// The ids of all timers.
    pub fn timers(&mut self, now_ms: u64) -> BTreeSet<String> {
        let timers = self.books.timers(SCOPE).0.list(LIST_MAX, None, UnixMs(EPOCH_MS + now_ms)).timers;
        timers.into_iter().map(|listed| listed.id.0).collect()
    }

    /// Whether another message of the key is in the queue, or parked: what waited for an answer, sent
    /// again.
    pub fn is_there(&self, key: Key, place: usize, timers: &BTreeSet<String>) -> bool {
        let messages = self.backlogs[Which::Jobs as usize].messages.iter().enumerate();
        let is_kept = |message: &Stored| !message.deleted || timers.contains(&park_id(&message.id));
        let others = messages.filter(|(other, message)| *other != place && is_kept(message));
        let mut originals = others.map(|(_, message)| message.original_id());
        originals.any(|original| self.watch.messages_of(key).any(|id| *id == original))
    }

    /// Whether a message of the jobs is parked, or is in the queue once more since it was.
    pub fn is_kept_elsewhere(&mut self, place: usize, now_ms: u64) -> bool {
        let timers = self.timers(now_ms);
        let messages = &self.backlogs[Which::Jobs as usize].messages;
        let original = messages[place].original_id();
        let is_parked = |message: &Stored| timers.contains(&park_id(&message.id));
        messages.iter().enumerate().any(|(other, message)| {
            message.original_id() == original && (is_parked(message) || (other != place && !message.deleted))
        })
    }

    /// A host's connection has ended: where the queue gives messages to connections, all that the
    /// host had is back at once, and its receipts are void.
    pub fn cut(&mut self, host: usize, now_ms: u64) {
        if !self.by_connection {
            return;
        }
        for message in self.backlogs.iter_mut().flat_map(|backlog| &mut backlog.messages) {
            if message.holder == Some(host) && message.in_flight(now_ms) {
                message.visible_at_ms = now_ms;
                message.receipt += 1;
            }
        }
        self.trace(now_ms, || format!("host {host} has lost its connection"));
    }

    /// A host has ended as on SIGTERM: where nothing else goes wrong, what it had in hand is
    /// settled or put back.
    pub fn check_released(&mut self, host: usize, now_ms: u64) {
        if !self.rates.is_gentle {
            return;
        }
        let messages = &self.backlogs[Which::Jobs as usize].messages;
        let is_kept =
            |message: &&Stored| message.holder == Some(host) && message.in_flight(now_ms) && !message.put_back;
        if let Some(kept) = messages.iter().find(is_kept) {
            let what = format!("host {host} has ended and left {} hidden", kept.id);
            self.violated(now_ms, what);
        }
    }

    /// Notes what must never happen.
    pub fn violated(&mut self, now_ms: u64, what: String) {
        self.trace(now_ms, || format!("VIOLATION: {what}"));
        self.violation.get_or_insert(what);
    }
}

/// The timer of a message that is parked.
fn park_id(id: &MessageId) -> String {
    format!("parked/jobs/{id}")
}

/// The timer of a key that waits for an answer.
pub fn wait_id(key: Key) -> String {
    format!("wait/{}", Key::derive(&[b"wait", &key.0, b"answer"]).to_hex())
}

impl Backlog {
    /// Adds a message, unless its deduplication id is known; its id begins with `prefix`.
    pub fn add(&mut self, content: Outgoing, now_ms: u64, prefix: &str) -> MessageId {
        const DEDUPLICATED_MS: u64 = 5 * 60 * 1000;
        let same = |stored: &&Stored| {
            content.deduplication_id.is_some()
                && stored.content.deduplication_id == content.deduplication_id
                && stored.sent_ms + DEDUPLICATED_MS > now_ms
        };
        if let Some(stored) = self.messages.iter().find(same) {
            return stored.id.clone();
        }
        let (id, delay_ms) =
            (MessageId(format!("{prefix}{}", self.messages.len())), u64::from(content.delay_s) * 1_000);
        self.messages.push(Stored {
            id: id.clone(),
            content,
            sent_ms: now_ms,
            visible_at_ms: now_ms + delay_ms,
            receives: 0,
            receipt: 0,
            deleted: false,
            holder: None,
            put_back: false,
        });
        id
    }
}

impl Stored {
    pub fn in_flight(&self, now_ms: u64) -> bool {
        !self.deleted && self.visible_at_ms > now_ms
    }

    /// The id that it had before it was parked.
    pub fn original_id(&self) -> MessageId {
        let parked = self.content.attributes.get(PARKED_ATTRIBUTE).and_then(AttributeValue::text);
        let parked = parked.map(|json| serde_json::from_str::<Value>(json).expect("the host writes JSON"));
        let id = parked.and_then(|parked| Some(MessageId(parked["id"].as_str()?.to_owned())));
        id.unwrap_or_else(|| self.id.clone())
    }

    /// The key that an outbox gave it.
    pub fn own_key(&self) -> &str {
        self.content.attributes.get(OWN_KEY_ATTRIBUTE).and_then(AttributeValue::text).unwrap_or_default()
    }
}
