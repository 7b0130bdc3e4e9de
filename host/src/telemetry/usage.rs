//! What a handler's run uses.

use std::time::Duration;

/// The calls into the host that are counted, by name.
pub const CALLS: [&str; 4] = ["http", "outbox", "step", "log"];

/// How often a run called the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Outbound requests.
    pub http: u32,
    /// Messages for the outbox.
    pub outbox: u32,
    /// Reads and writes of steps.
    pub step: u32,
    /// Records of the log, and lines of stdout and stderr.
    pub log: u32,
}

impl Calls {
    /// In the order of [`CALLS`].
    pub fn counts(&self) -> [u32; CALLS.len()] {
        [self.http, self.outbox, self.step, self.log]
    }
}

/// What a run used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunUsage {
    pub elapsed: Duration,
    /// The processor time that the guest had, its calls into the host included; none where nothing
    /// is weighed.
    pub cpu: Duration,
    /// The most linear memory that its instance had.
    pub memory_bytes: u64,
    pub calls: Calls,
    /// Bytes of the bodies of its outbound requests, and of their answers.
    pub sent_bytes: u64,
    pub received_bytes: u64,
}
