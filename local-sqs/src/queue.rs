//! A queue: its home, its definition and its messages. `registry` finds it, `operations` work on
//! it, and whoever waits for a message waits on it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::{
    address::{self, Account, Home},
    attributes::Settings,
    backlog::Backlog,
    clock::Ms,
    dedup::{Dedup, First},
    error::{SqsError, SqsResult},
    log::{Location, ReplayedQueue},
    policy,
    record::Definition,
};

/// A queue.
pub struct Queue {
    pub number: u64,
    pub name: String,
    pub fifo: bool,
    /// Told when long polls should look again.
    pub arrived: Notify,
    /// Nothing is every region of the default account.
    home: Option<Home>,
    /// Set when the program that embeds the local queue asks for it, whatever its home was before.
    is_everywhere: AtomicBool,
    state: Mutex<QueueState>,
}

/// What of a queue changes. Its lock is never held over I/O.
pub struct QueueState {
    pub definition: Definition,
    pub settings: Settings,
    pub backlog: Backlog<Location>,
    pub dedup: Dedup,
    /// Whether deduplication was by group until a moment ago, and when that moment ends.
    pub former_scope: Option<(bool, Ms)>,
    /// When it was last purged.
    pub purged_at: Option<Ms>,
    /// Set when the queue is deleted, for those who still hold it.
    pub deleted: bool,
    /// No long poll sleeps past this point in time without looking again.
    pub watched_until: Ms,
}

impl Queue {
    /// A queue without messages.
    pub fn new(mut definition: Definition) -> Self {
        let fifo = definition.is_fifo();
        let arn = address::arn(address::DEFAULT_REGION, Account::DEFAULT, &definition.name);
        policy::move_permissions_into_policy(&mut definition, &arn);
        let state = QueueState {
            settings: Settings::of(&definition.attributes),
            backlog: Backlog::new(fifo),
            dedup: Dedup::default(),
            former_scope: None,
            purged_at: None,
            deleted: false,
            watched_until: Ms::MAX,
            definition: definition.clone(),
        };
        Self {
            number: definition.number,
            name: definition.name,
            fifo,
            arrived: Notify::new(),
            is_everywhere: AtomicBool::new(definition.home.is_none()),
            home: definition.home,
            state: Mutex::new(state),
        }
    }

    /// A queue as the log left it.
    pub fn replayed(replayed: ReplayedQueue) -> Self {
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

    /// The region and account that it belongs to; nothing is every region of the default account.
    pub fn home(&self) -> Option<&Home> {
        self.home.as_ref().filter(|_| !self.is_everywhere.load(Relaxed))
    }

    /// Makes it a queue of every region of the default account.
    pub fn set_everywhere(&self) {
        self.is_everywhere.store(true, Relaxed);
    }

    /// The account that it belongs to.
    pub fn account(&self) -> Account {
        self.home().map_or(Account::DEFAULT, |home| home.account)
    }

    /// Its ARN, as seen from a region.
    pub fn arn(&self, region: &str) -> String {
        let region = self.home().map_or(region, |home| &home.region);
        address::arn(region, self.account(), &self.name)
    }

    /// What the log calls it: its ARN, or its name alone if it has no region.
    pub fn reference(&self) -> String {
        match self.home() {
            Some(home) => address::arn(&home.region, home.account, &self.name),
            None => self.name.clone(),
        }
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

impl QueueState {
    /// Whether deduplication ids count within a message group now, and not in the whole queue.
    pub fn dedups_per_group(&self, now: Ms) -> bool {
        match self.former_scope {
            Some((former, until)) if now < until => former,
            Some(_) | None => self.settings.dedup_per_group,
        }
    }
}

/// The ARN of a queue that the log calls so, as seen from a region.
pub fn arn_of_reference(reference: &str, region: &str) -> String {
    match address::parse_arn(reference) {
        Some(_) => reference.to_owned(),
        None => address::arn(region, Account::DEFAULT, reference),
    }
}
