//! Guests that compute for long go on in threads of their own, which the kernel serves after all
//! others.
//!
//! A runtime has as many workers as the machine has cores, and a computing guest holds one of them
//! for a whole tick at a time: a few such guests would have every other message wait for its turn
//! behind them. So each poll of a run is weighed. The one in which the guest computed for most of a
//! tick is its last among the others, and the plugin's next runs begin in threads of their own,
//! until one of them shows that it was light. The kernel shares what
//! is left of the cores among those threads. After a run that computed until its timeout, the
//! plugin's next ones go one by one.
//!
//! The runs of one receive share a task. A plugin whose runs take a part of a tick has a task for
//! each, so that they are not one after the other.
//!
//! None of these threads is idle to the kernel (`SCHED_IDLE`), although that would keep them
//! further back: a run takes locks that others need (the instance pool, standard output, the
//! connections), and on a busy machine an idle thread may not come to give one back for as long as
//! others compute.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use wasq_core::clock;

use super::engine::EPOCH_TICK;
use super::processor;
use crate::telemetry::stats::Line;

/// The longest poll from which on a plugin's runs have tasks of their own: the runs of one receive
/// share a task, and would wait for each other.
const OWN_TASK_AFTER: Duration = Duration::from_micros(200);
/// Processor time of one poll from which on a run is heavy.
const OFFLOAD_AFTER: Duration = Duration::from_millis(EPOCH_TICK.as_millis() as u64 / 2);
/// A run that was timed out is endless if it had this share of its time on a processor. Less is no
/// sign of it: on a host that has no processor to spare, a thread that steps back waits more than
/// it computes.
const ENDLESS_SHARE: u32 = 100;
/// How far a heavy run steps back: where cores are short, ten steps of niceness leave it about a
/// tenth of one. More would time out an honest run on a busy machine, whose other processes it
/// steps behind too.
const NICENESS: i32 = 10;

/// What a plugin's last run weighed.
#[derive(Clone)]
pub struct CpuClass {
    class: Arc<AtomicU8>,
    /// One permit, for the next run where the last was endless.
    alone: Arc<Semaphore>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
enum Class {
    Light,
    Moderate,
    Heavy,
    Endless,
}

impl Default for CpuClass {
    fn default() -> Self {
        Self { class: Arc::default(), alone: Arc::new(Semaphore::new(1)) }
    }
}

impl CpuClass {
    /// What the next run needs a permit of, if it must go alone: several endless ones would each
    /// keep a core from others for what is left of its slice.
    pub fn alone(&self) -> Option<&Arc<Semaphore>> {
        match self.get() {
            Class::Endless => Some(&self.alone),
            Class::Light | Class::Moderate | Class::Heavy => None,
        }
    }

    fn get(&self) -> Class {
        match self.class.load(Ordering::Relaxed) {
            0 => Class::Light,
            1 => Class::Moderate,
            2 => Class::Heavy,
            _ => Class::Endless,
        }
    }

    fn set(&self, class: Class) {
        if self.get() != class {
            self.class.store(class as u8, Ordering::Relaxed);
        }
    }
}

/// Puts this thread, which is a run's own, behind others.
fn lower_priority() {
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "a thread cannot step back; it runs beside the others");
    }
}

/// Drives a run to its end, here, in a task or in a thread of its own, and tells how much processor
/// time its polls had, which `line` is told of each. Dropping the future ends the run, at the
/// latest with its next tick. `timed_out` tells whether what it ended with is a timeout.
pub async fn drive<T: Send + 'static>(
    run: impl Future<Output = T> + Send + 'static,
    cpu_class: &CpuClass,
    line: Arc<Line>,
    timed_out: fn(&T) -> bool,
) -> (T, Duration) {
    let run: Run<T> = Box::pin(run);
    let meter = CpuMeter::new(cpu_class.get(), line, timed_out);
    let driven = match meter.before {
        Class::Light => meter.until_heavy(run).await,
        Class::Moderate => {
            let own = AbortOnDropHandle::new(tokio::spawn(meter.until_heavy(run)));
            own.await.expect("a run ends with a value unless the host's own code panicked in it")
        }
        Class::Heavy | Class::Endless => Driven::Heavy(run, meter),
    };
    match driven {
        Driven::Ended(value, meter) => {
            cpu_class.set(meter.class(&value));
            (value, meter.had)
        }
        Driven::Heavy(run, meter) => on_own_thread(run, cpu_class, meter).await,
    }
}

type Run<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How far a run has come among the others.
enum Driven<T> {
    Ended(T, CpuMeter<T>),
    Heavy(Run<T>, CpuMeter<T>),
}

/// What a run has weighed until now.
struct CpuMeter<T> {
    /// The plugin's last run.
    before: Class,
    /// Whether one of its polls was.
    is_heavy: bool,
    longest: Duration,
    /// The processor time of all its polls.
    had: Duration,
    /// What counts it for all runs of its kind.
    line: Arc<Line>,
    began: Instant,
    timed_out: fn(&T) -> bool,
}

impl<T> CpuMeter<T> {
    fn new(before: Class, line: Arc<Line>, timed_out: fn(&T) -> bool) -> Self {
        let (longest, had) = (Duration::ZERO, Duration::ZERO);
        Self { before, is_heavy: false, longest, had, line, began: clock::now(), timed_out }
    }

    fn measure(&mut self, run: &mut Run<T>, context: &mut Context<'_>) -> Poll<T> {
        let (polled, spent) = processor::weighed(|| run.as_mut().poll(context));
        self.line.cpu_ns.add(spent.as_nanos() as u64);
        self.is_heavy |= spent >= OFFLOAD_AFTER;
        self.longest = self.longest.max(spent);
        self.had += spent;
        polled
    }

    /// Drives the run until it ends or is heavy.
    async fn until_heavy(mut self, mut run: Run<T>) -> Driven<T> {
        let ended = poll_fn(|context| match self.measure(&mut run, context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if self.is_heavy => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        match ended.await {
            Some(value) => Driven::Ended(value, self),
            None => Driven::Heavy(run, self),
        }
    }

    fn class(&self, value: &T) -> Class {
        let computed = self.had >= (clock::now() - self.began) / ENDLESS_SHARE;
        // Behind others, one that computes may come to no heavy poll.
        let was_heavy = matches!(self.before, Class::Heavy | Class::Endless);
        if (self.is_heavy || was_heavy) && computed && (self.timed_out)(value) {
            return Class::Endless;
        }
        match self.is_heavy {
            true => Class::Heavy,
            false if self.longest >= OWN_TASK_AFTER => Class::Moderate,
            false => Class::Light,
        }
    }

    /// Drives the run to its end, and notes what it weighed.
    async fn finish(mut self, mut run: Run<T>, cpu_class: &CpuClass) -> (T, Duration) {
        let value = poll_fn(|context| self.measure(&mut run, context)).await;
        cpu_class.set(self.class(&value));
        (value, self.had)
    }
}

/// Goes on with a run in a thread of its own. The runtime is the same: whatever the run starts
/// there stays there.
async fn on_own_thread<T: Send + 'static>(run: Run<T>, cpu_class: &CpuClass, meter: CpuMeter<T>) -> (T, Duration) {
    let work = Arc::new(Mutex::new(Some((run, meter))));
    let take = |work: &Mutex<Option<(Run<T>, CpuMeter<T>)>>| work.lock().take();
    let (stop, runtime) = (CancellationToken::new(), Handle::current());
    let (done, ended) = oneshot::channel();
    let thread = std::thread::Builder::new().name("wasq-heavy".into()).spawn({
        let (work, stop, cpu_class) = (work.clone(), stop.clone(), cpu_class.clone());
        move || {
            let Some((run, meter)) = take(&work) else { return };
            lower_priority();
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    // Nobody listens any more when the run was dropped just now.
                    value = meter.finish(run, &cpu_class) => drop(done.send(value)),
                }
            });
        }
    });
    if let Err(error) = thread {
        tracing::warn!(%error, "no thread for a handler that computes; it goes on among the others");
        let (run, meter) = take(&work).expect("no thread has taken it");
        return meter.finish(run, cpu_class).await;
    }
    let _stops = stop.drop_guard();
    ended.await.expect("a run ends with a value unless the host's own code panicked in it")
}

#[cfg(test)]
mod tests;
