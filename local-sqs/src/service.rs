//! What the operations work on: the queues, the log, the move tasks, the clock.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    clock::{Clock, Ms},
    error::{Code, SqsError, SqsResult},
    log::{Log, LogError, Replayed},
    queue::Queue,
    record::MoveTask,
    registry::Registry,
};

/// What the operations work on.
pub struct Service {
    pub clock: Clock,
    pub log: Log,
    /// Long polls answer at once when this is cancelled.
    pub polls_ended: CancellationToken,
    /// Whether queues wait a minute between purges, and names after a deletion.
    pub waits: bool,
    queues: RwLock<Registry>,
    next_number: AtomicU64,
    moves: Mutex<BTreeMap<Uuid, MoveTask>>,
    deleted: Mutex<HashMap<String, Ms>>,
}

impl Service {
    /// The service over what its log held.
    pub fn new(log: Log, replayed: Replayed, waits: bool) -> Self {
        let next_number = replayed.queues.keys().next_back().map_or(1, |last| last + 1);
        let mut queues = Registry::default();
        for queue in replayed.queues.into_values() {
            queues.insert(Arc::new(Queue::replayed(queue)));
        }
        Self {
            clock: Clock::start(),
            log,
            polls_ended: CancellationToken::new(),
            waits,
            queues: RwLock::new(queues),
            next_number: AtomicU64::new(next_number),
            moves: Mutex::new(replayed.moves),
            deleted: Mutex::default(),
        }
    }

    /// A number for a new queue.
    pub fn new_number(&self) -> u64 {
        self.next_number.fetch_add(1, Relaxed)
    }

    /// The queues.
    pub fn queues(&self) -> RwLockReadGuard<'_, Registry> {
        self.queues.read()
    }

    /// The queues, to add or remove one.
    pub fn queues_mut(&self) -> RwLockWriteGuard<'_, Registry> {
        self.queues.write()
    }

    /// The move tasks by id.
    pub fn moves(&self) -> MutexGuard<'_, BTreeMap<Uuid, MoveTask>> {
        self.moves.lock()
    }

    /// When queues were deleted, by what the log calls them.
    pub fn deleted(&self) -> MutexGuard<'_, HashMap<String, Ms>> {
        self.deleted.lock()
    }

    /// The queue that the log refers to: by its ARN, or by its name alone if it has no region.
    pub fn referred(&self, reference: &str) -> Option<Arc<Queue>> {
        self.queues().referred(reference).cloned()
    }
}

impl From<LogError> for SqsError {
    fn from(error: LogError) -> Self {
        Self::new(Code::InternalFailure, error.to_string())
    }
}

/// For whoever names a queue: it has to be there.
///
/// # Errors
/// `QueueDoesNotExist`.
pub fn must_exist(queue: Option<&Arc<Queue>>) -> SqsResult<Arc<Queue>> {
    queue.cloned().ok_or_else(SqsError::no_queue)
}
