//! Asking a ledger that does not answer.

use std::time::Duration;

use wasq_core::backoff::Backoff;
use wasq_ledgers::LedgerError;

use super::plugin_attempt::PluginAttempt;

/// The wait between two questions.
const TRY_AGAIN: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));

/// Asks the ledger again and again while it does not answer: what has been done is worth a record.
/// Ends with the lease, after `settle_grace`, or when the host must stop.
pub async fn insist<T, F>(plugin_attempt: &PluginAttempt<'_>, ask: impl Fn() -> F) -> Result<T, LedgerError>
where
    F: Future<Output = Result<T, LedgerError>>,
{
    let services = plugin_attempt.services;
    let until = services.clock.now() + services.limits.settle_grace;
    let mut failures = 0;
    loop {
        let reason = match ask().await {
            Err(LedgerError::Unavailable(reason)) => reason,
            answer => return answer,
        };
        failures += 1;
        let stopping = services.interrupt.is_cancelled();
        if plugin_attempt.lease.is_over() || stopping || services.clock.now() + TRY_AGAIN.after(failures) >= until {
            return Err(LedgerError::Unavailable(reason));
        }
        services.health.ledger_failed(&reason);
        tracing::warn!(reason, "the ledger does not answer; trying again");
        tokio::select! {
            biased;
            () = plugin_attempt.lease.lost().cancelled() => {}
            () = services.interrupt.cancelled() => {}
            () = tokio::time::sleep(TRY_AGAIN.jittered(failures)) => {}
        }
    }
}
