//! How much processor time a poll had, under whatever load.
//!
//! The kernel's account of a thread's time is a system call, which takes as long as a part of a
//! light run. The clock costs next to nothing, and counts what other threads took meanwhile. So a
//! poll is timed by the clock, and the account is asked only where it may say something else: a
//! thread that is displaced waits for longer than a light poll takes. What the thread has waited
//! since its last reading is no processor time.
//!
//! A reading before the poll is needed for that. The runs of one receive are polled one after the
//! other ([`together`]), and share it.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;
use wasq_core::clock;

/// A poll that took less by the clock has not waited.
const SHORT: Duration = Duration::from_micros(50);
/// For so long polls share a reading. What was waited outside of them is mistaken for theirs, so it
/// must not be long.
const SHARED_FOR: Duration = Duration::from_micros(200);

/// The clock, and what the thread has had until then.
#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    cpu: Duration,
}

/// The reading that polls on this thread share.
#[derive(Clone, Copy)]
enum Shared {
    /// They do not share one: the thread may have slept since the last.
    No,
    Yes(Option<Reading>),
}

thread_local! {
    static SHARED: Cell<Shared> = const { Cell::new(Shared::No) };
}

impl Reading {
    fn now() -> Self {
        Self { at: clock::now(), cpu: clock::thread_cpu() }
    }

    /// One from shortly before `began`, which is now.
    fn before(began: Instant) -> Self {
        if let Shared::Yes(Some(last)) = SHARED.get()
            && began - last.at < SHARED_FOR
        {
            return last;
        }
        Self::now().shared()
    }

    fn shared(self) -> Self {
        if let Shared::Yes(_) = SHARED.get() {
            SHARED.set(Shared::Yes(Some(self)));
        }
        self
    }
}

/// Polls something that weighs several polls within its own.
pub fn together<T>(poll: impl FnOnce() -> T) -> T {
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            SHARED.set(Shared::No);
        }
    }
    SHARED.set(Shared::Yes(None));
    let _end = End;
    poll()
}

/// Polls, and tells how much processor time that took.
pub fn weighed<T>(poll: impl FnOnce() -> T) -> (T, Duration) {
    let began = clock::now();
    let before = Reading::before(began);
    let polled = poll();
    let took = clock::now() - began;
    if took < SHORT {
        return (polled, took);
    }
    let after = Reading::now().shared();
    let waited = (after.at - before.at).saturating_sub(after.cpu.saturating_sub(before.cpu));
    (polled, (after.at - began).saturating_sub(waited))
}

#[cfg(test)]
mod tests;
