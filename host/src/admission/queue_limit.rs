//! How many of a queue's deliveries a host has in hand: the permits that its worker takes, and with
//! `concurrency = "auto"` what makes them fewer or more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use wasq_core::clock;

use super::auto_limit::{AutoLimit, RunEnd};
use super::turns::Turns;
use crate::config::Concurrency;
use crate::exit::Exit;

/// The permits of one queue.
pub struct QueueLimit {
    permits: Arc<Semaphore>,
    limit: AtomicUsize,
    auto: Option<Auto>,
}

struct Auto {
    min: usize,
    max: usize,
    limit: Mutex<AutoLimit>,
    /// Those of a queue with `fair_by`, whose messages have a turn in place of a permit.
    turns: Option<Arc<Turns>>,
}

/// A queue with `concurrency = "auto"`, as this host has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AutoStatus {
    pub queue: String,
    pub limit: usize,
    pub min: usize,
    pub max: usize,
    pub in_hand: usize,
    /// How many times as long as usual the last runs took that were looked at.
    pub slowness: f64,
}

/// A run of a queue with `concurrency = "auto"`.
#[must_use]
pub struct TimedRun<'a> {
    of: &'a QueueLimit,
    auto: &'a Auto,
    plugin: &'a str,
    number: u64,
    started: Instant,
    end: RunEnd,
}

impl AutoStatus {
    /// How long its runs take, as `1.3 × their usual time`.
    pub fn slowness_in_words(&self) -> String {
        format!("{:.1} × their usual time", self.slowness)
    }
}

impl QueueLimit {
    pub fn new(concurrency: Concurrency, turns: Option<Arc<Turns>>) -> Self {
        let (limit, auto) = match concurrency {
            Concurrency::Fixed(limit) => (limit, None),
            Concurrency::Auto { min, max } => {
                let limit = AutoLimit::new(min, max, clock::now());
                (limit.limit(), Some(Auto { min, max, limit: Mutex::new(limit), turns }))
            }
        };
        let this = Self { permits: Arc::new(Semaphore::new(limit)), limit: AtomicUsize::new(limit), auto };
        if let Some(turns) = this.auto.as_ref().and_then(|auto| auto.turns.as_ref()) {
            turns.set_limit(limit);
        }
        this
    }

    /// What its worker takes one of for each delivery, or group of them.
    pub fn permits(&self) -> &Arc<Semaphore> {
        &self.permits
    }

    /// How many there may be now.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Whether more in hand would only wait for each other.
    pub fn is_held_back(&self) -> bool {
        self.auto.as_ref().is_some_and(|auto| auto.limit.lock().is_held_back())
    }

    /// What there is of it, where it changes.
    pub fn status(&self, queue: &str, in_hand: usize) -> Option<AutoStatus> {
        let Auto { min, max, limit, .. } = self.auto.as_ref()?;
        let limit = limit.lock();
        let (limit, slowness) = (limit.limit(), limit.slowness());
        Some(AutoStatus { queue: queue.to_owned(), limit, min: *min, max: *max, in_hand, slowness })
    }

    /// A plugin's run starts. Nothing, where the limit does not go by what runs take.
    pub fn start<'a>(&'a self, plugin: &'a str) -> Option<TimedRun<'a>> {
        let auto = self.auto.as_ref()?;
        let started = clock::now();
        let in_use = match &auto.turns {
            Some(turns) => turns.running(),
            None => self.limit().saturating_sub(self.permits.available_permits()),
        };
        let number = auto.limit.lock().start(plugin, in_use, started);
        Some(TimedRun { of: self, auto, plugin, number, started, end: RunEnd::Unknown })
    }

    /// A message found no permit of its plugin or its pools in time.
    pub fn refused(&self) {
        if let Some(auto) = &self.auto {
            auto.limit.lock().refused();
        }
    }

    /// Called by one at a time: whoever has the lock of what finds the limit.
    fn set(&self, limit: usize, turns: Option<&Arc<Turns>>) {
        let before = self.limit.swap(limit, Ordering::Relaxed);
        if let Some(turns) = turns {
            turns.set_limit(limit);
        }
        if limit > before {
            self.permits.add_permits(limit - before);
        }
        let fewer = before.saturating_sub(limit);
        let taken = self.permits.forget_permits(fewer);
        if taken < fewer {
            // Those that are in use go when they come free, before a poller takes them again.
            let (permits, rest) = (self.permits.clone(), (fewer - taken) as u32);
            tokio::spawn(async move {
                permits.acquire_many_owned(rest).await.expect("the semaphore is never closed").forget();
            });
        }
    }
}

impl TimedRun<'_> {
    /// How the run ended. What a failure took says nothing: who is refused at once has not waited.
    pub fn ended(mut self, exit: &Exit) {
        let took = clock::now().saturating_duration_since(self.started);
        self.end = match exit {
            Exit::Done { .. } | Exit::Timeout { .. } => RunEnd::Took(took),
            Exit::Unavailable { .. } => RunEnd::Refused,
            _ => RunEnd::Unknown,
        };
    }
}

impl Drop for TimedRun<'_> {
    fn drop(&mut self) {
        let auto = &mut *self.auto.limit.lock();
        auto.end(self.plugin, self.number, self.end, clock::now());
        let limit = auto.limit();
        if limit != self.of.limit() {
            self.of.set(limit, self.auto.turns.as_ref());
        }
    }
}

#[cfg(test)]
mod tests;
