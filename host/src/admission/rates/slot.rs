//! A slot of a rate, in a host's hand.

use tokio::time::Instant;

/// The right to start one run, now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// After that it is lost.
    pub good_until: Instant,
}
