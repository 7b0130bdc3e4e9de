//! Pausing and resuming: what is said is kept in the ledger, so that it outlives restarts and every
//! host hears it; and each host's view of it, read again every few seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use wasq_core::message::UnixMs;
use wasq_core::pause::{Pause, Target};
use wasq_ledgers::{Ledger, LedgerError};

/// Pauses of one service at once. A ledger's item must hold them all.
pub const PAUSES_MAX: usize = 256;

/// Why nothing was paused or resumed.
#[derive(Debug, thiserror::Error)]
pub enum PausingError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("{PAUSES_MAX} types and queues are paused already; resume some")]
    TooMany,
}

/// Records a pause, in place of an earlier one of the same target, and says so in the audit log,
/// with the address that it was asked `from`. Hosts pick it up when they look.
pub async fn pause(ledger: &dyn Ledger, service: &str, pause: &Pause, from: &str) -> Result<(), PausingError> {
    let before = ledger.pauses(service).await?;
    let is_new = before.iter().all(|other| other.target != pause.target);
    if is_new && before.len() >= PAUSES_MAX {
        let over: Vec<_> = before.iter().filter(|other| other.is_over(pause.at)).collect();
        if over.is_empty() {
            return Err(PausingError::TooMany);
        }
        for other in over {
            ledger.remove_pause(service, &other.target).await?;
        }
    }
    ledger.put_pause(service, pause).await?;
    let Pause { target, by, until, .. } = pause;
    let until_ms = until.map(|until| until.0);
    tracing::info!(target: "audit", action = "pause", what = %target, by, from, until_ms, service, "paused");
    Ok(())
}

/// Ends a pause, and says so in the audit log, as [`pause`] does. The answer is the pause that
/// there was.
pub async fn resume(
    ledger: &dyn Ledger,
    service: &str,
    target: &Target,
    by: &str,
    from: &str,
) -> Result<Option<Pause>, PausingError> {
    let before = ledger.pauses(service).await?.into_iter().find(|pause| pause.target == *target);
    if before.is_some() {
        ledger.remove_pause(service, target).await?;
        tracing::info!(target: "audit", action = "resume", what = %target, by, from, service, "resumed");
    }
    Ok(before)
}

/// What this host knows to be paused. While nothing is, asking costs one load.
#[derive(Default)]
pub struct Pauses {
    any: AtomicBool,
    all: ArcSwap<Vec<Pause>>,
    /// They could not be read when the host started.
    unread: AtomicBool,
}

impl Pauses {
    /// Takes over what the ledger holds now, and logs what has changed.
    pub async fn refresh(&self, ledger: &dyn Ledger, service: &str, now: UnixMs) -> Result<(), LedgerError> {
        let mut pauses = ledger.pauses(service).await?;
        pauses.retain(|pause| !pause.is_over(now));
        pauses.sort_by(|a, b| a.target.cmp(&b.target));
        let before = self.all.load_full();
        for pause in pauses.iter().filter(|pause| !before.contains(pause)) {
            tracing::info!(what = %pause.target, by = pause.by, "paused");
        }
        let is_there = |target: &Target| pauses.iter().any(|pause| pause.target == *target);
        for pause in before.iter().filter(|pause| !is_there(&pause.target)) {
            tracing::info!(what = %pause.target, "goes on");
        }
        self.any.store(!pauses.is_empty(), Ordering::Relaxed);
        self.all.store(Arc::new(pauses));
        self.unread.store(false, Ordering::Release);
        Ok(())
    }

    /// They are not known yet: no queue is polled until they have been read.
    pub fn await_reading(&self) {
        self.unread.store(true, Ordering::Release);
    }

    /// Whether they have yet to be read.
    pub fn are_unread(&self) -> bool {
        self.unread.load(Ordering::Acquire)
    }

    /// Whether a queue must not be polled now.
    pub fn keep_from_polling(&self, queue: &str, now: UnixMs) -> bool {
        self.are_unread() || self.of_queue(queue, now).is_some()
    }

    /// What is paused now.
    pub fn current(&self, now: UnixMs) -> Vec<Pause> {
        self.all.load().iter().filter(|pause| !pause.is_over(now)).cloned().collect()
    }

    /// Whether this is paused now.
    pub fn has(&self, target: &Target, now: UnixMs) -> bool {
        self.find(now, |paused| paused == target).is_some()
    }

    /// The pause that keeps a queue from being polled.
    pub fn of_queue(&self, queue: &str, now: UnixMs) -> Option<Pause> {
        self.find(now, |target| matches!(target, Target::Queue(name) if name == queue))
    }

    /// The pause that keeps a message from being run: its type's, or its queue's, if a poll has
    /// brought it all the same.
    pub fn of_message(&self, queue: &str, kind: &str, now: impl FnOnce() -> UnixMs) -> Option<(Pause, UnixMs)> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let now = now();
        let pause = self.find(now, |target| match target {
            Target::Type(name) => name == kind,
            Target::Queue(name) => name == queue,
        })?;
        Some((pause, now))
    }

    fn find(&self, now: UnixMs, is_it: impl Fn(&Target) -> bool) -> Option<Pause> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        self.all.load().iter().find(|pause| is_it(&pause.target) && !pause.is_over(now)).cloned()
    }
}
