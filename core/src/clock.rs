//! Time, from one place, so that tests can hold it still.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::message::UnixMs;

/// Where the host reads time. Leases and timeouts count in [`Instant`]s, which no change of the
/// wall clock moves; only what leaves the process (envelopes, `max_age`, logs) is in wall-clock
/// time.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Instant;
    fn unix_ms(&self) -> UnixMs;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        now()
    }

    fn unix_ms(&self) -> UnixMs {
        unix_ms()
    }
}

/// A shared clock.
pub type SharedClock = Arc<dyn Clock>;

/// The one place that reads the monotonic clock.
#[allow(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// The one place that reads the wall clock.
#[allow(clippy::disallowed_methods, reason = "this is the clock")]
pub fn unix_ms() -> UnixMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UnixMs(since.as_millis() as u64)
}

/// A uniform draw from [wait, 1.5 wait]: what failed together is not tried again together.
pub fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(1.0 + fastrand::f64() / 2.0)
}

/// The processor time that this thread has had.
pub fn thread_cpu() -> Duration {
    cpu(rustix::time::ClockId::ThreadCPUTime)
}

/// The processor time that all threads of this process have had.
pub fn process_cpu() -> Duration {
    cpu(rustix::time::ClockId::ProcessCPUTime)
}

fn cpu(clock: rustix::time::ClockId) -> Duration {
    let had = rustix::time::clock_gettime(clock);
    Duration::new(u64::try_from(had.tv_sec).unwrap_or_default(), u32::try_from(had.tv_nsec).unwrap_or_default())
}
