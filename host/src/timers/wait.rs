//! What a stored message waits for, besides its time.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasq_core::message::Key;
use wasq_ledgers::timers::TimerId;
use wasq_ledgers::{Ledger, LedgerError};

/// How long what came of a wait is kept: SQS's longest retention.
const OUTCOME_KEPT: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// What a message waits for: of its key, under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Where what comes of it is kept.
    pub id: String,
    /// The answer, if it has come, in base64.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub answer: Option<String>,
}

/// What came of a wait, as the ledger keeps it.
#[derive(Serialize, Deserialize)]
pub struct Outcome {
    /// None where no answer came in time.
    pub answer: Option<String>,
}

impl Wait {
    pub fn new(key: Key, name: &str) -> Self {
        Self { id: Key::derive(&[b"wait", &key.0, name.as_bytes()]).to_hex(), answer: None }
    }

    pub fn timer(&self) -> TimerId {
        TimerId(format!("wait/{}", self.id))
    }

    /// What came of it; none so far.
    ///
    /// # Errors
    /// The ledger does not answer, or what it has cannot be read.
    pub async fn outcome(&self, ledger: &dyn Ledger) -> Result<Option<Outcome>, LedgerError> {
        let Some(json) = ledger.get_envelope(&self.id).await? else { return Ok(None) };
        let outcome = serde_json::from_slice(&json);
        outcome.map(Some).map_err(|error| LedgerError::Damaged(format!("what came of a wait: {error}")))
    }

    /// Keeps what came of it, before its message is sent again. The first word on it stands.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn keep_outcome(&self, ledger: &dyn Ledger) -> Result<(), LedgerError> {
        if self.outcome(ledger).await?.is_some() {
            return Ok(());
        }
        let json = serde_json::to_vec(&Outcome { answer: self.answer.clone() }).expect("it is text");
        ledger.put_envelope(&self.id, &json, OUTCOME_KEPT).await
    }
}
