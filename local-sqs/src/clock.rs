//! Time for the local queue, from one place.

use std::time::Duration;

use tokio::time::Instant;

/// Milliseconds on the queue's own time line: the wall clock at start, counted on by the monotonic
/// clock.
///
/// Deadlines (visibility, delays, the deduplication window) are points on it, so that a jump of the
/// wall clock ends no lease early; and since it starts at the wall clock, a deadline on disk still
/// means something after a restart.
pub type Ms = u64;

/// Where the local queue reads time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    started_ms: Ms,
}

impl Clock {
    /// A time line that begins now.
    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn start() -> Self {
        Self { started: Instant::now(), started_ms: wall_ms() }
    }

    /// Now, on the time line.
    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now(&self) -> Ms {
        self.started_ms + Instant::now().duration_since(self.started).as_millis() as Ms
    }

    /// The instant of a point on the time line, rounded up by a millisecond so that a sleep until
    /// it ends after it.
    pub fn instant(&self, at: Ms) -> Instant {
        self.started + Duration::from_millis(at.saturating_sub(self.started_ms) + 1)
    }
}

/// The wall clock in milliseconds since 1970, for the timestamps that clients see.
#[allow(clippy::disallowed_methods, reason = "this is the clock")]
pub fn wall_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
