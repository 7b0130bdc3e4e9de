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
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::engine::EPOCH_TICK;
use crate::clock;

/// Processor time of one poll from which on a run is heavy.
const HEAVY: Duration = Duration::from_millis(EPOCH_TICK.as_millis() as u64 / 2);
/// How far a heavy run steps back: where cores are short, fifteen steps of niceness leave it about a thirtieth of one.
const NICENESS: i32 = 15;

/// Whether a plugin's last run was heavy.
#[derive(Clone, Default)]
pub struct Weight(Arc<AtomicBool>);

/// Drives a run to its end, here or in a thread of its own. Dropping the future ends the run, at the latest with its next tick.
pub async fn drive<T: Send + 'static>(run: impl Future<Output = T> + Send + 'static, weight: &Weight) -> T {
    let mut run: Run<T> = Box::pin(run);
    if !weight.0.load(Ordering::Relaxed) {
        let light = poll_fn(|context| {
            let began = clock::thread_cpu();
            match run.as_mut().poll(context) {
                Poll::Ready(value) => Poll::Ready(Some(value)),
                Poll::Pending if clock::thread_cpu().saturating_sub(began) >= HEAVY => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        if let Some(value) = light.await {
            return value;
        }
    }
    apart(run, weight.clone()).await
}

type Run<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Goes on with a run in a thread of its own. The runtime is the same: whatever the run starts there stays there.
async fn apart<T: Send + 'static>(run: Run<T>, weight: Weight) -> T {
    let run = Arc::new(Mutex::new(Some(run)));
    let take = |run: &Mutex<Option<Run<T>>>| run.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (stop, runtime) = (CancellationToken::new(), Handle::current());
    let (done, ended) = oneshot::channel();
    let thread = std::thread::Builder::new().name("wasq-heavy".into()).spawn({
        let (run, stop) = (run.clone(), stop.clone());
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
                    value = weighed(run, &weight) => drop(done.send(value)),
                }
            });
        }
    });
    if let Err(error) = thread {
        tracing::warn!(%error, "no thread for a handler that computes; it goes on among the others");
        return take(&run).expect("no thread has taken it").await;
    }
    let _stops = stop.drop_guard();
    ended.await.expect("a run ends with a value unless the host's own code panicked in it")
}

/// Notes whether the run was heavy still.
async fn weighed<T>(mut run: Run<T>, weight: &Weight) -> T {
    let mut is_heavy = false;
    let value = poll_fn(|context| {
        let began = clock::thread_cpu();
        let polled = run.as_mut().poll(context);
        is_heavy |= clock::thread_cpu().saturating_sub(began) >= HEAVY;
        polled
    });
    let value = value.await;
    weight.0.store(is_heavy, Ordering::Relaxed);
    value
}
