//! What a ledger counts of itself.

use wasq_core::meters::Gauge;

/// The local ledger's meters. Its writer sets them when it has removed what has expired.
#[derive(Default)]
pub struct LedgerMeters {
    /// Entries that there are; known once all have been looked at.
    pub entries: Gauge,
    /// For how long the most overdue entry that was removed last could have been gone.
    pub overdue_s: Gauge,
}
