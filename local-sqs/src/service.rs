//! The queues, and what every operation on them needs.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    attributes::Settings,
    backlog::Backlog,
    clock::{Clock, Ms},
    dedup::{Dedup, First},
    error::{Code, SqsError, SqsResult},
    log::{Location, Log, LogError, Replayed, ReplayedQueue},
    record::{Definition, MoveTask},
};

/// The account that all queues belong to.
pub const ACCOUNT: &str = "000000000000";

/// A queue.
pub struct Queue {
    pub number: u64,
    pub name: String,
    pub fifo: bool,
    /// Told when long polls should look again.
    pub arrived: Notify,
    state: Mutex<QueueState>,
}

/// What of a queue changes. Its lock is never held over I/O.
pub struct QueueState {
    pub definition: Definition,
    pub settings: Settings,
    pub backlog: Backlog<Location>,
    pub dedup: Dedup,
    /// Set when the queue is deleted, for those who still hold it.
    pub deleted: bool,
    /// No long poll sleeps past this point in time without looking again.
    pub watched_until: Ms,
}

impl Queue {
    /// A queue without messages.
    pub fn new(definition: Definition) -> Self {
        let fifo = definition.is_fifo();
        let state = QueueState {
            settings: Settings::of(&definition.attributes),
            backlog: Backlog::new(fifo),
            dedup: Dedup::default(),
            deleted: false,
            watched_until: Ms::MAX,
            definition: definition.clone(),
        };
        let (number, name) = (definition.number, definition.name);
        Self { number, name, fifo, arrived: Notify::new(), state: Mutex::new(state) }
    }

    fn replayed(replayed: ReplayedQueue) -> Self {
        let queue = Self::new(replayed.definition);
        let mut state = queue.state();
        for (seq, message) in replayed.messages {
            let (record, group) = (&message.record, message.record.group.as_deref());
            state.backlog.insert(seq, record.id, record.sent_ms, group, record.state, message.location);
        }
        let mut windows: Vec<_> = replayed
            .dedup
            .into_iter()
            .filter_map(|record| {
                let (key, end) = record.dedup?;
                Some((end, key, First { id: record.id, seq: record.seq }))
            })
            .collect();
        windows.sort_by_key(|(end, ..)| *end);
        for (end, key, first) in windows {
            state.dedup.open(key, first, end);
        }
        drop(state);
        queue
    }

    /// The queue's state, for a moment. Whoever needs the list of queues as well locks that first.
    pub fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock()
    }

    /// The queue's state, unless it was deleted.
    ///
    /// # Errors
    /// `QueueDoesNotExist`.
    pub fn living_state(&self) -> SqsResult<MutexGuard<'_, QueueState>> {
        let state = self.state();
        if state.deleted { Err(SqsError::no_queue()) } else { Ok(state) }
    }

    /// Wakes a long poll if there is something to take, and all of them if there will be earlier
    /// than they expect. To be called after every change of the backlog.
    pub fn wake(&self, state: &QueueState) {
        if state.backlog.next_visible_at().is_some_and(|at| at < state.watched_until) {
            self.arrived.notify_waiters();
        }
        if state.backlog.has_ready() {
            self.arrived.notify_one();
        }
    }
}

/// What the operations work on.
pub struct Service {
    pub clock: Clock,
    pub log: Log,
    /// Long polls answer at once when this is cancelled.
    pub polls_ended: CancellationToken,
    queues: RwLock<HashMap<String, Arc<Queue>>>,
    next_number: AtomicU64,
    moves: Mutex<BTreeMap<Uuid, MoveTask>>,
}

impl Service {
    /// The service over what its log held.
    pub fn new(log: Log, replayed: Replayed) -> Self {
        let next_number = replayed.queues.keys().next_back().map_or(1, |last| last + 1);
        let queues = replayed.queues.into_values().map(Queue::replayed);
        Self {
            clock: Clock::start(),
            log,
            polls_ended: CancellationToken::new(),
            queues: RwLock::new(queues.map(|queue| (queue.name.clone(), Arc::new(queue))).collect()),
            next_number: AtomicU64::new(next_number),
            moves: Mutex::new(replayed.moves),
        }
    }

    /// A number for a new queue.
    pub fn new_number(&self) -> u64 {
        self.next_number.fetch_add(1, Relaxed)
    }

    /// The queues by name.
    pub fn queues(&self) -> RwLockReadGuard<'_, HashMap<String, Arc<Queue>>> {
        self.queues.read()
    }

    /// The queues by name, to add or remove one.
    pub fn queues_mut(&self) -> RwLockWriteGuard<'_, HashMap<String, Arc<Queue>>> {
        self.queues.write()
    }

    /// The move tasks by id.
    pub fn moves(&self) -> MutexGuard<'_, BTreeMap<Uuid, MoveTask>> {
        self.moves.lock()
    }

    /// The queue of this name.
    pub fn named(&self, name: &str) -> Option<Arc<Queue>> {
        self.queues().get(name).cloned()
    }

    /// The queue that a URL points to: its last path segment is the name.
    ///
    /// # Errors
    /// `MissingParameter`, `QueueDoesNotExist`.
    pub fn at(&self, url: &str) -> SqsResult<Arc<Queue>> {
        if url.is_empty() {
            return Err(SqsError::missing("QueueUrl"));
        }
        self.named(name_in_url(url)).ok_or_else(SqsError::no_queue)
    }
}

/// The queue's name in its URL.
pub fn name_in_url(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}

/// The ARN of a queue as seen from a region.
pub fn arn(region: &str, name: &str) -> String {
    format!("arn:aws:sqs:{region}:{ACCOUNT}:{name}")
}

impl From<LogError> for SqsError {
    fn from(error: LogError) -> Self {
        Self::new(Code::InternalFailure, error.to_string())
    }
}
