//! What plugins ask of a queue: it is checked against what its broker allows.

use std::time::Duration;

use super::manifest::{Manifest, Retry, default_timeout};

/// The most that any plugin asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demands {
    /// Attempts that a message may take.
    pub attempts: u32,
    /// How long a run may take.
    pub timeout: Duration,
}

/// Those of a manifest that says nothing.
impl Default for Demands {
    fn default() -> Self {
        Self { attempts: Retry::default().max_attempts, timeout: default_timeout() }
    }
}

impl Demands {
    pub fn of(manifest: &Manifest) -> Self {
        Self { attempts: manifest.retry.max_attempts, timeout: manifest.timeout }
    }

    pub fn max(self, other: Self) -> Self {
        Self { attempts: self.attempts.max(other.attempts), timeout: self.timeout.max(other.timeout) }
    }
}
