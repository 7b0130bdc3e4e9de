//! Fairness between the keys of one queue: a message waits for its key's turn ([`super::turns`])
//! before anything else is done with it, and holds nothing but a place in the waiting room. What a
//! key has too much of is hidden for a while, so that the queue goes on receiving, and others'
//! messages come to hand.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasq_core::clock;
use wasq_core::message::Message;

use super::in_hand::Claimant;
use super::limit_key::LimitKey;
use super::line::{Answer, InLine};
use super::turns::{Asking, KeyTurn, Turns};
use crate::config::{KeyTemplate, Limits, QueueConfig};

/// Keys of a queue that are listed: those of which most wait, then those with most turns.
const KEYS_SHOWN: usize = 10;

/// The turns of a queue with `fair_by`.
pub struct FairQueue {
    key: KeyTemplate,
    wait: Duration,
    hold: Duration,
    turns: Arc<Turns>,
}

/// A queue with `fair_by`, as this host has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FairStatus {
    pub queue: String,
    /// Messages that have their turn, and how many can have.
    pub running: usize,
    pub limit: usize,
    /// Messages that wait in hand.
    pub waiting: usize,
    /// Messages that are hidden now, as far as this host knows, and that were since it began.
    pub hidden: usize,
    pub hidden_total: u64,
    /// Keys that this host remembers.
    pub keys: usize,
    pub top: Vec<FairTop>,
}

/// One key of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FairTop {
    /// The key, the digest of a long one, or `(no key)`.
    pub key: String,
    pub running: usize,
    pub waiting: usize,
    pub started: u64,
    pub hidden: u64,
}

impl FairQueue {
    /// None where the queue's messages go as they come.
    pub fn of(config: &QueueConfig, limits: &Limits) -> Option<Self> {
        let key = config.fair_by.clone()?;
        let turns = Arc::new(Turns::new(config.concurrency.max(), limits.concurrency_keys, limits.fair_hidden));
        Some(Self { key, wait: limits.rate_wait, hold: limits.rate_hold, turns })
    }

    /// The turns of its keys.
    pub fn turns(&self) -> &Arc<Turns> {
        &self.turns
    }

    /// The key of a message.
    pub fn key(&self, message: &Message) -> LimitKey {
        LimitKey::of(self.key.render_plain(&message.body, &message.attributes))
    }

    /// The message's turn. Waits in hand, where that is not for long.
    ///
    /// # Errors
    /// For how long the message is to be hidden.
    pub async fn acquire(&self, key: &LimitKey, claimant: Claimant<'_>) -> Result<KeyTurn, Duration> {
        let until = clock::now() + self.wait;
        let turn = (claimant.sent_at, self.turns.next());
        let asking = Asking { key, turn, is_returned: claimant.is_returned, until, hold: self.hold };
        let answer = match self.turns.take(asking, || claimant.in_hand.wait_in(claimant.room))? {
            Ok(turn) => return Ok(turn),
            Err(answer) => answer,
        };
        let in_line = InLine(|| self.turns.leave(key, turn));
        let answer = tokio::time::timeout_at(until, claimant.waits_for(answer)).await;
        drop(in_line);
        match answer {
            Ok(Ok(Answer::Granted(turn))) => Ok(turn),
            Ok(Ok(Answer::Hide) | Err(_)) | Err(_) => Err(self.turns.hide(asking)),
        }
    }

    /// What there is of it, for the queue of this name.
    pub fn status(&self, queue: &str) -> FairStatus {
        let limit = self.turns.limit();
        self.turns.read(|active, past, hidden| {
            let mut top: Vec<_> = past
                .iter()
                .map(|(key, past)| {
                    let (running, waiting) = active.get(key).map_or((0, 0), |key| (key.running, key.line.len()));
                    FairTop { key: key.to_string(), running, waiting, started: past.started, hidden: past.hidden }
                })
                .collect();
            top.sort_by(|a, b| {
                (b.waiting, b.running, b.started, &a.key).cmp(&(a.waiting, a.running, a.started, &b.key))
            });
            let hidden_total = top.iter().map(|key| key.hidden).sum();
            top.truncate(KEYS_SHOWN);
            FairStatus {
                queue: queue.to_owned(),
                running: active.values().map(|key| key.running).sum(),
                limit,
                waiting: active.values().map(|key| key.line.len()).sum(),
                hidden,
                hidden_total,
                keys: past.len(),
                top,
            }
        })
    }
}

#[cfg(test)]
mod tests;
