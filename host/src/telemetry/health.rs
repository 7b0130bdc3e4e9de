//! Whether the host can work, and why not.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use wasq_core::clock;

/// A queue that was not polled for this long fails liveness: the long poll's 20 s, its grace, and
/// room for backoff.
const POLL_MAX_SILENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// What the host's parts say of themselves.
#[derive(Default)]
pub struct Health {
    /// Why the ledger is down, if it is. Every message asks, so no lock is before it.
    ledger: ArcSwapOption<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Queues and outlets that could not be opened, each with its reason.
    unopened: BTreeMap<String, String>,
    queues: BTreeMap<String, QueueHealth>,
    /// By source queue: the dead-letter queue that takes no letters, and why.
    letters: BTreeMap<String, LettersHealth>,
    plugins: Option<String>,
    /// Those that were never fetched, with the reasons.
    secrets: Vec<String>,
    draining: bool,
}

struct QueueHealth {
    error: Option<String>,
    /// Receives that failed in a row.
    failures: u32,
    polled_at: Instant,
}

struct LettersHealth {
    dlq: String,
    reason: String,
}

/// An answer to a probe. `reasons` is empty when all is well.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    pub ok: bool,
    pub reasons: Vec<String>,
    /// What is as somebody wants it to be, and worth knowing: what is paused.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub notes: Vec<String>,
}

impl Health {
    pub fn ledger_answered(&self) {
        if self.ledger_is_down()
            && let Some(reason) = self.ledger.swap(None)
        {
            tracing::info!(%reason, "the ledger answers again");
        }
    }

    pub fn ledger_failed(&self, reason: &str) {
        // The first reason stays.
        self.ledger.rcu(|before| before.clone().unwrap_or_else(|| Arc::new(reason.to_owned())));
    }

    pub fn ledger_is_down(&self) -> bool {
        self.ledger.load().is_some()
    }

    /// A queue or an outlet of the config could not be opened. It is said again when the reason
    /// changes.
    pub fn not_open(&self, name: &str, reason: &str) {
        let before = self.lock().unopened.insert(name.to_owned(), reason.to_owned());
        if before.as_deref() != Some(reason) {
            tracing::warn!(queue = name, reason, "cannot be opened; the others work, and this one is tried again");
        }
    }

    /// It could be opened after all.
    pub fn opened(&self, name: &str) {
        if self.lock().unopened.remove(name).is_some() {
            tracing::info!(queue = name, "is open now");
        }
    }

    /// The queue's worker starts: it is open, and from now on its first poll is waited for.
    pub fn begun(&self, queue: &str) {
        self.opened(queue);
        self.polled(queue);
    }

    pub fn polled(&self, queue: &str) {
        let entry = QueueHealth { error: None, failures: 0, polled_at: clock::now() };
        self.lock().queues.insert(queue.to_owned(), entry);
    }

    /// The queue's poller is alive, though it does not poll now: every permit is busy, or the
    /// ledger is down.
    pub fn waiting(&self, queue: &str) {
        if let Some(queue) = self.lock().queues.get_mut(queue) {
            queue.polled_at = clock::now();
        }
    }

    /// The answer is how many receives have failed in a row.
    pub fn poll_failed(&self, queue: &str, error: &str) -> u32 {
        let mut state = self.lock();
        let failures = state.queues.get(queue).map_or(0, |queue| queue.failures).saturating_add(1);
        let entry = QueueHealth { error: Some(error.to_owned()), failures, polled_at: clock::now() };
        state.queues.insert(queue.to_owned(), entry);
        failures
    }

    /// A dead letter of `queue` could not be sent to `dlq`. The latest reason is the one that is
    /// shown: it says what to correct now, where the first may have passed.
    pub fn letters_failing(&self, queue: &str, dlq: &str, reason: &str) {
        let failing = LettersHealth { dlq: dlq.to_owned(), reason: reason.to_owned() };
        if self.lock().letters.insert(queue.to_owned(), failing).is_none() {
            tracing::error!(
                queue,
                dlq,
                reason,
                "dead letters cannot be sent; their handlers do not run again meanwhile"
            );
        }
    }

    /// A dead letter of `queue` was sent.
    pub fn letters_sent(&self, queue: &str) {
        if let Some(LettersHealth { dlq, .. }) = self.lock().letters.remove(queue) {
            tracing::info!(queue, dlq, "dead letters can be sent again");
        }
    }

    /// `problem` says what is wrong with the plugins, if anything.
    pub fn plugins(&self, problem: Option<String>) {
        self.lock().plugins = problem;
    }

    /// `missing` are the secrets that were never fetched, each with its reason.
    pub fn secrets(&self, missing: Vec<String>) {
        self.lock().secrets = missing;
    }

    pub fn draining(&self) {
        self.lock().draining = true;
    }

    pub fn is_draining(&self) -> bool {
        self.lock().draining
    }

    /// Whether the host should be sent work: plugins loaded, secrets known, ledger and queues
    /// answering.
    pub fn ready(&self) -> Verdict {
        let state = self.lock();
        let mut reasons = Vec::new();
        reasons.extend(state.plugins.clone());
        reasons.extend(state.secrets.clone());
        reasons.extend(self.ledger.load().as_ref().map(|reason| format!("ledger: {reason}")));
        reasons.extend(state.unopened.values().map(|reason| format!("{reason} (not open yet; tried again)")));
        for (name, queue) in &state.queues {
            reasons.extend(queue.error.as_ref().map(|error| format!("queue {name}: {error}")));
        }
        reasons.extend(state.letters.iter().map(|(queue, LettersHealth { dlq, reason })| {
            format!("dead letters of queue {queue} cannot be sent to {dlq}: {reason}")
        }));
        if state.draining {
            reasons.push("shutting down".into());
        }
        Verdict { ok: reasons.is_empty(), reasons, notes: Vec::new() }
    }

    /// Whether the host polls at all. One that does not should be restarted.
    pub fn live(&self) -> Verdict {
        let state = self.lock();
        let silent = state.queues.iter().filter(|(_, queue)| clock::now() - queue.polled_at > POLL_MAX_SILENCE);
        let reasons: Vec<_> =
            silent.map(|(name, _)| format!("queue {name} was not polled for {POLL_MAX_SILENCE:?}")).collect();
        Verdict { ok: reasons.is_empty(), reasons, notes: Vec::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

#[cfg(test)]
mod tests;
