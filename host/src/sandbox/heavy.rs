//! Guests that compute for long go on in threads of their own, which the kernel serves after all others.
//!
//! A runtime has as many workers as the machine has cores, and a computing guest holds one of them for a whole tick at a time:
//! a few such guests would have every other message wait for its turn behind them. So each poll of a run is weighed. The one in
//! which the guest computed for most of a tick is its last among the others, and the plugin's next runs begin in threads of
//! their own, until one of them shows that it was light. The kernel shares what is left of the cores among those threads.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::engine::EPOCH_TICK;
use crate::clock;

/// Processor time of one poll from which on a run is heavy.
const HEAVY: Duration = Duration::from_millis(EPOCH_TICK.as_millis() as u64 / 2);
/// How far a heavy run steps back: where cores are short, fifteen steps of niceness leave it about a thirtieth of one. With ten, a
/// quiet type's p99 beside four endless loops on two cores was twice as long; with nineteen, heavy runs would hardly go on at all
/// beside many light ones.
const NICENESS: i32 = 15;

/// Whether a plugin's last run was heavy.
#[derive(Clone, Default)]
pub struct Weight(Arc<AtomicBool>);

/// Drives a run to its end, here or in a thread of its own, and tells how much processor time its polls had. Dropping the
/// future ends the run, at the latest with its next tick.
pub async fn drive<T: Send + 'static>(run: impl Future<Output = T> + Send + 'static, weight: &Weight) -> (T, Duration) {
    let mut run: Run<T> = Box::pin(run);
    let mut had = Duration::ZERO;
    let begins_here = !weight.0.load(Ordering::Relaxed);
    if begins_here {
        let light = poll_fn(|context| {
            let (polled, spent) = weigh(&mut run, context);
            had += spent;
            match polled {
                Poll::Ready(value) => Poll::Ready(Some(value)),
                Poll::Pending if spent >= HEAVY => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        if let Some(value) = light.await {
            return (value, had);
        }
    }
    let (value, spent) = apart(run, weight, begins_here).await;
    (value, had + spent)
}

/// Polls a run, and tells how much processor time that took.
fn weigh<T>(run: &mut Run<T>, context: &mut Context<'_>) -> (Poll<T>, Duration) {
    let began = clock::thread_cpu();
    let polled = run.as_mut().poll(context);
    (polled, clock::thread_cpu().saturating_sub(began))
}

type Run<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Goes on with a run in a thread of its own. The runtime is the same: whatever the run starts there stays there. `is_heavy` if it
/// has shown that already.
async fn apart<T: Send + 'static>(run: Run<T>, weight: &Weight, is_heavy: bool) -> (T, Duration) {
    let run = Arc::new(Mutex::new(Some(run)));
    let take = |run: &Mutex<Option<Run<T>>>| run.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (stop, runtime) = (CancellationToken::new(), Handle::current());
    let (done, ended) = oneshot::channel();
    let thread = std::thread::Builder::new().name("wasq-heavy".into()).spawn({
        let (run, stop, weight) = (run.clone(), stop.clone(), weight.clone());
        move || {
            let Some(run) = take(&run) else { return };
            if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
                tracing::debug!(%error, "a thread cannot step back; it runs beside the others");
            }
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    // Nobody listens any more when the run was dropped just now.
                    value = weighed(run, &weight, is_heavy) => drop(done.send(value)),
                }
            });
        }
    });
    if let Err(error) = thread {
        tracing::warn!(%error, "no thread for a handler that computes; it goes on among the others");
        return weighed(take(&run).expect("no thread has taken it"), weight, is_heavy).await;
    }
    let _stops = stop.drop_guard();
    ended.await.expect("a run ends with a value unless the host's own code panicked in it")
}

/// Notes whether the run was heavy still, and tells how much processor time it had.
async fn weighed<T>(mut run: Run<T>, weight: &Weight, mut is_heavy: bool) -> (T, Duration) {
    let mut had = Duration::ZERO;
    let value = poll_fn(|context| {
        let (polled, spent) = weigh(&mut run, context);
        is_heavy |= spent >= HEAVY;
        had += spent;
        polled
    });
    let value = value.await;
    weight.0.store(is_heavy, Ordering::Relaxed);
    (value, had)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "wasq-heavy";

    fn thread() -> String {
        std::thread::current().name().unwrap_or_default().to_owned()
    }

    fn compute() {
        let began = clock::thread_cpu();
        while clock::thread_cpu().saturating_sub(began) < HEAVY {}
    }

    #[tokio::test]
    async fn a_run_that_computes_goes_on_in_a_thread_of_its_own_and_the_next_begins_there() {
        let weight = Weight::default();
        let first = async {
            let before = thread();
            compute();
            tokio::task::yield_now().await;
            (before, thread())
        };
        let ((before, after), had) = drive(first, &weight).await;
        assert!(before != OWN && after == OWN, "{before}, {after}");
        assert!((HEAVY..10 * HEAVY).contains(&had), "what it had in both threads, and not the wait: {had:?}");
        assert_eq!(drive(async { thread() }, &weight).await.0, OWN);
        // That one was light.
        assert_ne!(drive(async { thread() }, &weight).await.0, OWN);
    }

    #[tokio::test]
    async fn a_run_that_is_dropped_ends_in_its_thread() {
        let (held, weight) = (Arc::new(()), Weight::default());
        weight.0.store(true, Ordering::Relaxed);
        let endless = {
            let held = held.clone();
            async move {
                loop {
                    compute();
                    tokio::task::yield_now().await;
                    drop(held.clone());
                }
            }
        };
        let dropped = tokio::time::timeout(Duration::from_millis(20), drive::<()>(endless, &weight)).await;
        assert!(dropped.is_err());
        while Arc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
