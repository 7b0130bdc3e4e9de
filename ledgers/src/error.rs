//! Why a store did not do what it was asked.

/// Why the ledger did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LedgerError {
    /// Permanent: another claim was given out since; this one's outcome is void.
    #[error("the claim is no longer ours: another delivery of this message has taken it")]
    Stale,
    /// Transient: the store did not answer or could not write.
    #[error("ledger unavailable: {0}")]
    Unavailable(String),
    /// Permanent, for this key: what the store holds under it cannot be read. Other keys are not
    /// concerned.
    #[error("ledger entry is damaged: {0}")]
    Damaged(String),
    /// Permanent, for this value: the store takes none of its size.
    #[error("too large for the ledger: {0}")]
    TooLarge(String),
}
