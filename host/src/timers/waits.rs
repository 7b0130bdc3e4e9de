//! A message that waits for an answer from outside. It is one timer, set before the handler gives
//! the token away: due when the wait is over, or at once when the answer has come. Of two answers
//! one counts, because each is a change under the timer's fence. What came of the wait is in the
//! ledger before the message is in its queue again.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wasq_core::message::Key;
use wasq_ledgers::timers::{NewTimer, Set, TimerId, Update, When};
use wasq_ledgers::{Ledger, LedgerError};
use wasq_queues::Outgoing;

use super::store::TimerStore;
use super::stored_message::{self, StoredMessage};
use super::wait::{Outcome, Wait};

/// How much longer than the wait a token is known.
const TOKEN_KEPT: Duration = Duration::from_secs(60 * 60);
/// How often an answer is tried while the timer is changed by others.
const TRIES: u32 = 5;

/// Where a wait stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Whoever has this token may answer.
    Pending(String),
    Answered(Vec<u8>),
    TimedOut,
}

/// What is to be sent again when the wait is over.
#[derive(Debug)]
pub struct Waiter {
    /// The queue's name in the config.
    pub queue: String,
    pub message: Outgoing,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    Accepted,
    /// There is no such token, it was used, or the wait is over.
    Gone,
}

/// What a token leads to.
#[derive(Serialize, Deserialize)]
struct Lead {
    timer: String,
}

impl Outcome {
    fn waiting(self, name: &str) -> Result<Waiting, LedgerError> {
        let Some(answer) = self.answer else { return Ok(Waiting::TimedOut) };
        let answer = BASE64_STANDARD.decode(answer);
        answer.map(Waiting::Answered).map_err(|error| LedgerError::Damaged(format!("the answer to `{name}`: {error}")))
    }
}

impl TimerStore {
    /// Where a wait stands. A wait that nobody has begun begins: it ends after `timeout`, and each
    /// call gives another token for it.
    ///
    /// # Errors
    /// The ledger does not answer, or the message is too large for it.
    pub async fn wait(
        &self,
        ledger: &dyn Ledger,
        key: Key,
        name: &str,
        timeout: Duration,
        waiter: &Waiter,
    ) -> Result<Waiting, LedgerError> {
        let wait = Wait::new(key, name);
        if let Some(outcome) = wait.outcome(ledger).await? {
            return outcome.waiting(name);
        }
        let mut token = [0; 16];
        getrandom::fill(&mut token).map_err(|error| LedgerError::Unavailable(format!("no random bytes: {error}")))?;
        let token = BASE64_URL_SAFE_NO_PAD.encode(token);
        let timer = wait.timer();
        let lead = serde_json::to_vec(&Lead { timer: timer.0.clone() }).expect("it is text");
        ledger.put_envelope(&lead_id(&token), &lead, timeout.saturating_add(TOKEN_KEPT)).await?;
        // Each wait of the message is sent again as a message of its own.
        let deduplication_id = waiter.message.deduplication_id.as_ref().map(|_| wait.id.clone());
        let message = Outgoing { deduplication_id, ..waiter.message.clone() };
        let message = stored_message::encode(&message, Some(&wait));
        let timer = NewTimer { id: timer, due: When::In(timeout), queue: waiter.queue.clone(), message };
        let id = timer.id.clone();
        let set = self.timers.set(timer).await?;
        // An earlier attempt's timer may have gone since the first look: then its outcome is there.
        if set == Set::New
            && let Some(outcome) = wait.outcome(ledger).await?
        {
            self.timers.cancel(&id).await?;
            return outcome.waiting(name);
        }
        self.meters.parked.add(u64::from(set == Set::New));
        Ok(Waiting::Pending(token))
    }

    /// Takes an answer: the message is sent again at once.
    ///
    /// # Errors
    /// The ledger does not answer. Nothing is known of the answer then.
    pub async fn answer(&self, ledger: &dyn Ledger, token: &str, body: &[u8]) -> Result<Answered, LedgerError> {
        let Some(lead) = ledger.get_envelope(&lead_id(token)).await? else { return Ok(Answered::Gone) };
        let lead = serde_json::from_slice(&lead);
        let Lead { timer } = lead.map_err(|error| LedgerError::Damaged(format!("what a token leads to: {error}")))?;
        let id = TimerId(timer);
        for _ in 0..TRIES {
            let Some(timer) = self.timers.get(&id).await? else { return Ok(Answered::Gone) };
            let Some(fence) = timer.fence else { return Ok(Answered::Gone) };
            let stored = stored_message::decode(&timer.message);
            let StoredMessage { message, wait } =
                stored.map_err(|error| LedgerError::Damaged(format!("the message of a wait: {error}")))?;
            let wait = wait.ok_or_else(|| LedgerError::Damaged("the message of a wait waits for nothing".into()))?;
            if wait.answer.is_some() || wait.outcome(ledger).await?.is_some() {
                return Ok(Answered::Gone);
            }
            let wait = Wait { answer: Some(BASE64_STANDARD.encode(body)), ..wait };
            let message: Bytes = stored_message::encode(&message, Some(&wait));
            let update = Update { id: id.clone(), fence, due: When::NOW, message: Some(message) };
            match self.timers.update(update).await {
                Ok(true) => {
                    self.soon.notify_one();
                    return Ok(Answered::Accepted);
                }
                Ok(false) => return Ok(Answered::Gone),
                Err(LedgerError::Stale) => {}
                Err(error) => return Err(error),
            }
        }
        Err(LedgerError::Unavailable("others change the wait all the time; try again".into()))
    }
}

/// Under which id the ledger has what a token leads to: it keeps no token.
fn lead_id(token: &str) -> String {
    Key::derive(&[b"callback", token.as_bytes()]).to_hex()
}

#[cfg(test)]
mod tests;
