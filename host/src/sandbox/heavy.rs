//! Guests that compute for long go on in threads of their own, which the kernel serves after all others.
//!
//! A runtime has as many workers as the machine has cores, and a computing guest holds one of them for a whole tick at a time:
//! a few such guests would have every other message wait for its turn behind them. So each poll of a run is weighed. The one in
//! which the guest computed for most of a tick is its last among the others, and the plugin's next runs begin in threads of
//! their own, until one of them shows that it was light. The kernel shares what is left of the cores among those threads; and one
//! that goes on computing gets only what nobody else wants.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
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
/// Processor time from which on a run is endless, as far as its neighbours are concerned.
const ENDLESS: Duration = Duration::from_millis(250);
/// How far a heavy run steps back: where cores are short, fifteen steps of niceness leave it about a thirtieth of one. An endless
/// one is idle to the kernel (`SCHED_IDLE`): anybody who wakes up takes its place at once, where a nice thread keeps the core for
/// what is left of its slice.
const NICENESS: i32 = 15;

/// What a plugin's last run weighed.
#[derive(Clone, Default)]
pub struct Weight(Arc<AtomicU8>);

#[derive(Clone, Copy, PartialEq, PartialOrd)]
#[repr(u8)]
enum Class {
    Light,
    Heavy,
    Endless,
}

impl Weight {
    fn get(&self) -> Class {
        match self.0.load(Ordering::Relaxed) {
            0 => Class::Light,
            1 => Class::Heavy,
            _ => Class::Endless,
        }
    }

    fn set(&self, class: Class) {
        self.0.store(class as u8, Ordering::Relaxed);
    }
}

/// What a run weighs, by the most that one poll had, and by all that it had.
fn class(most: Duration, had: Duration) -> Class {
    match (most >= HEAVY, had >= ENDLESS) {
        (false, _) => Class::Light,
        (true, false) => Class::Heavy,
        (true, true) => Class::Endless,
    }
}

/// Puts this thread, which is a run's own, behind others.
fn step_back(class: Class) {
    let stepped = match class {
        Class::Light => Ok(()),
        Class::Heavy => rustix::process::setpriority_process(None, NICENESS).map_err(|error| error.to_string()),
        Class::Endless => be_idle().map_err(|error| format!("{error:?}")),
    };
    if let Err(error) = stepped {
        tracing::debug!(error, "a thread cannot step back; it runs beside the others");
    }
}

#[cfg(target_os = "linux")]
fn be_idle() -> Result<(), thread_priority::Error> {
    use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let set =
        thread_priority::set_thread_priority_and_policy(thread_priority::thread_native_id(), ThreadPriority::Min, idle);
    // It sets the niceness too, which only root may lower, and which means nothing to an idle thread.
    set.or_else(|error| if thread_priority::thread_schedule_policy() == Ok(idle) { Ok(()) } else { Err(error) })
}

/// Elsewhere niceness is all there is.
#[cfg(not(target_os = "linux"))]
fn be_idle() -> Result<(), thread_priority::Error> {
    Ok(())
}

/// Drives a run to its end, here or in a thread of its own, and tells how much processor time its polls had. Dropping the
/// future ends the run, at the latest with its next tick.
pub async fn drive<T: Send + 'static>(run: impl Future<Output = T> + Send + 'static, weight: &Weight) -> (T, Duration) {
    let mut run: Run<T> = Box::pin(run);
    let (mut most, mut had) = (Duration::ZERO, Duration::ZERO);
    if weight.get() == Class::Light {
        let light = poll_fn(|context| {
            let (polled, spent) = weigh(&mut run, context);
            had += spent;
            most = most.max(spent);
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
    apart(run, weight, most, had).await
}

/// Polls a run, and tells how much processor time that took.
fn weigh<T>(run: &mut Run<T>, context: &mut Context<'_>) -> (Poll<T>, Duration) {
    let began = clock::thread_cpu();
    let polled = run.as_mut().poll(context);
    (polled, clock::thread_cpu().saturating_sub(began))
}

type Run<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Goes on with a run in a thread of its own. The runtime is the same: whatever the run starts there stays there. `most` and `had`
/// are what it has weighed until now.
async fn apart<T: Send + 'static>(run: Run<T>, weight: &Weight, most: Duration, had: Duration) -> (T, Duration) {
    let run = Arc::new(Mutex::new(Some(run)));
    let take = |run: &Mutex<Option<Run<T>>>| run.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (stop, runtime) = (CancellationToken::new(), Handle::current());
    let (done, ended) = oneshot::channel();
    let thread = std::thread::Builder::new().name("wasq-heavy".into()).spawn({
        let (run, stop, weight) = (run.clone(), stop.clone(), weight.clone());
        move || {
            let Some(run) = take(&run) else { return };
            step_back(Class::Heavy);
            if weight.get() == Class::Endless {
                step_back(Class::Endless);
            }
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    // Nobody listens any more when the run was dropped just now.
                    value = weighed(run, &weight, most, had, step_back) => drop(done.send(value)),
                }
            });
        }
    });
    if let Err(error) = thread {
        tracing::warn!(%error, "no thread for a handler that computes; it goes on among the others");
        return weighed(take(&run).expect("no thread has taken it"), weight, most, had, |_| {}).await;
    }
    let _stops = stop.drop_guard();
    ended.await.expect("a run ends with a value unless the host's own code panicked in it")
}

/// Drives a run, which has weighed so much already, to its end, and notes what it weighed. `step_back` when it turns out endless.
async fn weighed<T>(
    mut run: Run<T>,
    weight: &Weight,
    mut most: Duration,
    mut had: Duration,
    step_back: impl Fn(Class),
) -> (T, Duration) {
    let value = poll_fn(|context| {
        let before = class(most, had);
        let (polled, spent) = weigh(&mut run, context);
        (most, had) = (most.max(spent), had + spent);
        if before < Class::Endless && class(most, had) == Class::Endless {
            step_back(Class::Endless);
        }
        polled
    });
    let value = value.await;
    weight.set(class(most, had));
    (value, had)
}

#[cfg(test)]
mod tests {
    use thread_priority::{NormalThreadSchedulePolicy, ThreadSchedulePolicy};

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
        weight.set(Class::Heavy);
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

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_run_that_goes_on_computing_becomes_idle_to_the_kernel_and_so_does_its_next() {
        let policy = || thread_priority::thread_schedule_policy().unwrap();
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        let weight = Weight::default();
        let long = async move {
            let mut policies = vec![policy()];
            for _ in 0..ENDLESS.as_nanos() / HEAVY.as_nanos() + 2 {
                compute();
                tokio::task::yield_now().await;
                policies.push(policy());
            }
            policies
        };
        let (policies, had) = drive(long, &weight).await;
        assert!(had >= ENDLESS && policies[1] != idle && policies.last() == Some(&idle), "{policies:?}");
        assert_eq!(drive(async move { policy() }, &weight).await.0, idle);
        assert_ne!(drive(async move { policy() }, &weight).await.0, idle, "the one before was light");
    }
}
