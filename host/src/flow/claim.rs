//! The claim: durable in the ledger before the handler starts.

use std::sync::Arc;

use wasq_core::message::{AttributeValue, BodyDigest, Key, Message};
use wasq_ledgers::{Claim, ClaimRequest, Fence, Fresh, LedgerError};

use super::owed::Owed;
use super::plugin_attempt::PluginAttempt;
use crate::dlq::{AGAIN_ATTRIBUTE, Letter};
use crate::exit::Exit;
use crate::plugins::Plugin;
use crate::plugins::manifest::IdempotencyMode;
use crate::telemetry::stats::Line;
use crate::telemetry::usage::RunUsage;

/// A claim that is ours; or what stands for it where the ledger has none.
pub struct Claimed {
    pub recorded: Recorded,
    pub key: Key,
    pub fresh: Fresh,
    pub body: BodyDigest,
    /// What the host has recorded under the key, as far as it still counts.
    pub owed: Owed,
    /// What an earlier delivery has decided, if it decided that the message is dead-lettered.
    pub verdict: Option<Box<Letter>>,
    /// Its run, once it has ended.
    pub ran: Option<Ran>,
}

/// What a run used, and the line of the statistics that it counts in.
pub struct Ran {
    pub usage: RunUsage,
    pub line: Arc<Line>,
}

/// What the ledger has of an attempt, or will have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The claim, and it is told how the claim ends.
    Claim,
    /// The completion alone, and the claim where an outbox or a dead letter needs one.
    Completion,
    Nothing,
}

impl Claimed {
    pub fn is_recorded(&self) -> bool {
        self.recorded == Recorded::Claim
    }

    /// Nothing is known of earlier attempts but how often the message was received.
    fn unrecorded(recorded: Recorded, key: Key, body: BodyDigest, receive_count: u32) -> Self {
        let fence = Fence(0);
        let fresh =
            Fresh { attempt: receive_count, crashes: 0, replays: 0, fence, first_failed_at: None, is_new: true };
        Self { recorded, key, fresh, body, owed: Owed::default(), verdict: None, ran: None }
    }

    /// Makes the claim that the attempt did without so far; or says why it is not ours. The attempt
    /// keeps its number.
    pub async fn make(&mut self, plugin_attempt: &PluginAttempt<'_>) -> Result<(), Exit> {
        let fresh = ask(plugin_attempt, self.key, self.body).await?;
        self.fresh = Fresh { attempt: self.fresh.attempt, ..fresh };
        self.recorded = Recorded::Claim;
        Ok(())
    }
}

/// Claims the message for one attempt of the plugin, or says why there is none.
pub async fn claim(plugin_attempt: &PluginAttempt<'_>, message: &Message, plugin: &Plugin) -> Result<Claimed, Exit> {
    let services = plugin_attempt.services;
    let text = plugin.key_text(message);
    let limit_bytes = services.limits.key_bytes;
    if text.len() > limit_bytes {
        return Err(Exit::OversizedKey { size_bytes: text.len(), limit_bytes });
    }
    let key = ledger_key(plugin_attempt, message, plugin, &text);
    // A claim that cannot hold would only count as a crash.
    if plugin_attempt.lease.is_over() {
        return Err(Exit::LeaseLost);
    }
    let body = BodyDigest::of(&message.body);
    let unrecorded = |recorded| Claimed::unrecorded(recorded, key, body, plugin_attempt.delivery.receive_count);
    match plugin.manifest.idempotency.mode {
        IdempotencyMode::None => return Ok(unrecorded(Recorded::Nothing)),
        IdempotencyMode::Completion if !is_known(plugin_attempt, key).await? => {
            return Ok(unrecorded(Recorded::Completion));
        }
        IdempotencyMode::Completion | IdempotencyMode::Full => {}
    }
    let fresh = ask(plugin_attempt, key, body).await?;
    Ok(Claimed { recorded: Recorded::Claim, key, fresh, body, owed: Owed::default(), verdict: None, ran: None })
}

/// Whether an earlier delivery has left anything under the key.
async fn is_known(plugin_attempt: &PluginAttempt<'_>, key: Key) -> Result<bool, Exit> {
    plugin_attempt.batch.is_known(key).await.map_err(|error| exit_of(plugin_attempt, error))
}

/// Asks the ledger for the claim.
async fn ask(plugin_attempt: &PluginAttempt<'_>, key: Key, body: BodyDigest) -> Result<Fresh, Exit> {
    let services = plugin_attempt.services;
    let request = ClaimRequest {
        body,
        message_id: plugin_attempt.delivery.message_id.clone(),
        lease: plugin_attempt.lease.remaining(),
        is_redelivery: plugin_attempt.delivery.receive_count > 1,
    };
    let ends_at = services.clock.now() + request.lease;
    match plugin_attempt.batch.claim(key, request).await {
        Ok(Claim::Fresh(fresh)) => {
            services.health.ledger_answered();
            plugin_attempt.lease.add_claim(key, fresh.fence, ends_at);
            // An answer that took longer than the lease says nothing about now.
            if plugin_attempt.lease.is_over() { Err(Exit::LeaseLost) } else { Ok(fresh) }
        }
        Ok(Claim::Done { same_message }) => Err(Exit::Duplicate { same_message }),
        Ok(Claim::DeadLettered) => Err(Exit::Duplicate { same_message: true }),
        Ok(Claim::Busy { remaining }) => Err(Exit::Busy { remaining }),
        Ok(Claim::Conflict) => Err(Exit::Conflict),
        Err(error) => Err(exit_of(plugin_attempt, error)),
    }
}

fn exit_of(plugin_attempt: &PluginAttempt<'_>, error: LedgerError) -> Exit {
    match error {
        // One row that cannot be read says nothing about the others.
        LedgerError::Damaged(reason) | LedgerError::TooLarge(reason) => Exit::LedgerDamaged { reason },
        LedgerError::Stale => Exit::LeaseLost,
        LedgerError::Unavailable(reason) => {
            plugin_attempt.services.health.ledger_failed(&reason);
            Exit::LedgerDown { reason }
        }
    }
}

/// The key as this plugin has it. What an operator replayed with `--again` has a key of its own,
/// the same for a twin of that replay: what is done under the first key is done once more, and only
/// once.
pub(super) fn ledger_key(plugin_attempt: &PluginAttempt<'_>, message: &Message, plugin: &Plugin, text: &str) -> Key {
    let key = Key::of(&plugin_attempt.services.scope, &plugin.manifest.name, &message.kind, text);
    match plugin_attempt.delivery.attributes.get(AGAIN_ATTRIBUTE).and_then(AttributeValue::text) {
        Some(run) => key.again(run),
        None => key,
    }
}
