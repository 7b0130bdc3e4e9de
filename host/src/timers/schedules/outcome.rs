//! What became of a schedule's messages: whoever ends one of them says so in the ledger, for
//! `wasq schedules` and the dashboard.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasq_core::message::{Key, UnixMs};
use wasq_ledgers::{Ledger, LedgerError};

use super::{PREFIX, RUN_PREFIX};

/// How long it is kept.
const KEPT: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// How the last attempt at one of its messages ended, in one plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub plugin: String,
    /// The tick, or when it was run out of turn: a time as RFC 3339 has it.
    pub tick: String,
    pub exit: String,
    /// What was done with the message then.
    pub settlement: String,
    pub at: UnixMs,
    pub reason: String,
}

/// The schedule whose message has this key, and its tick.
pub fn schedule_of(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix(PREFIX).or_else(|| key.strip_prefix(RUN_PREFIX))?.rsplit_once('/')
}

/// Keeps an outcome. What cannot be kept is only not shown.
pub async fn keep(ledger: &dyn Ledger, scope: &str, schedule: &str, outcome: &Outcome) {
    let json = serde_json::to_vec(outcome).expect("it is text and numbers");
    if let Err(error) = ledger.put_envelope(&id(scope, schedule, &outcome.plugin), &json, KEPT).await {
        tracing::debug!(schedule, %error, "the outcome of a schedule's message is not kept");
    }
}

/// The last outcome in a plugin.
///
/// # Errors
/// The ledger does not answer.
pub async fn last(
    ledger: &dyn Ledger,
    scope: &str,
    schedule: &str,
    plugin: &str,
) -> Result<Option<Outcome>, LedgerError> {
    let json = ledger.get_envelope(&id(scope, schedule, plugin)).await?;
    Ok(json.and_then(|json| serde_json::from_slice(&json).ok()))
}

fn id(scope: &str, schedule: &str, plugin: &str) -> String {
    Key::derive(&[b"schedule outcome", scope.as_bytes(), schedule.as_bytes(), plugin.as_bytes()]).to_hex()
}
