//! What a ledger counts of itself.

use wasq_core::meters::Gauge;

/// The local ledger's meters.
#[derive(Default)]
pub struct LedgerMeters {
    /// Entries that there are. One that has changed since it left the log may count twice.
    pub entries: Gauge,
    /// For how long the most overdue of the entries that were removed in the last second could have
    /// been gone.
    pub overdue_s: Gauge,
}
