//! The durable record of claims, attempts, completed steps and completions, by idempotency key.
//!
//! An entry is *claimed* while a delivery runs, *released* between attempts, *done* once its
//! handler has succeeded, and *dead-lettered* once its message was sent to the DLQ. Every change
//! but a claim names the fence that its claim gave out; a stale fence changes nothing.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use wasq_core::message::{BodyDigest, Key, MessageId, UnixMs};
use wasq_core::pause::{Pause, Target};

use crate::documents::Documents;
pub use crate::error::LedgerError;
pub use crate::fence::Fence;
use crate::meters::LedgerMeters;
use crate::timers::Timers;

/// Calls to one store at once, where a batch is a call for each of its parts.
pub const CALLS_AT_ONCE: usize = 16;

/// A store of claims and completions.
///
/// A claim survives the death of the process (kill -9); everything that [`Ledger::finish`],
/// [`Ledger::complete_batch`] and [`Ledger::put_step`] record survives the machine's (power) by the
/// time they return.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Claims `key` for one attempt, before the handler starts. Counts the attempt.
    async fn claim(&self, key: Key, request: &ClaimRequest) -> Result<Claim, LedgerError>;

    /// Claims each key as [`Ledger::claim`] does, in one call where the store has one. Each has an
    /// answer of its own, in their order: one that fails does not keep the others from theirs. Of
    /// a key that is named twice, one claim is made before the other.
    async fn claim_batch(&self, claims: &[(Key, ClaimRequest)]) -> Vec<Result<Claim, LedgerError>> {
        let calls: Vec<_> = claims.iter().map(|(key, request)| self.claim(*key, request)).collect();
        futures::stream::iter(calls).buffered(CALLS_AT_ONCE).collect().await
    }

    /// Makes each claim last `lease` from now. Each has an answer of its own, in their order:
    /// whether it is still ours, or why the store cannot say. One that cannot be extended does not
    /// keep the others from it.
    async fn extend(&self, claims: &[(Key, Fence)], lease: Duration) -> Vec<Result<bool, LedgerError>>;

    /// Ends the claim that `fence` was given for.
    async fn finish(&self, key: Key, fence: Fence, finish: Finish) -> Result<(), LedgerError>;

    /// Ends each claim as [`Ledger::finish`] does, in one call where the store has one. Each has an
    /// answer of its own, in their order.
    async fn finish_batch(&self, ends: Vec<(Key, Fence, Finish)>) -> Vec<Result<(), LedgerError>> {
        let calls: Vec<_> = ends.into_iter().map(|(key, fence, finish)| self.finish(key, fence, finish)).collect();
        futures::stream::iter(calls).buffered(CALLS_AT_ONCE).collect().await
    }

    /// Whether anything may be recorded under each key: a store that does not look says yes. Each
    /// has an answer of its own, in their order. It only reads, so another host may change what it
    /// says.
    async fn known_batch(&self, keys: &[Key]) -> Vec<Result<bool, LedgerError>> {
        vec![Ok(true); keys.len()]
    }

    /// Records each key as done, without a claim before it and in one write. A claim that another
    /// delivery holds is void from then on. What is done, dead-lettered or another body's stays as
    /// it is. Each has an answer of its own, in their order.
    ///
    /// Asked only where [`Ledger::known_batch`] knew nothing.
    async fn complete_batch(&self, completions: Vec<(Key, Completion)>) -> Vec<Result<(), LedgerError>> {
        let why = || LedgerError::Unavailable("this store records no completion without a claim".into());
        completions.iter().map(|_| Err(why())).collect()
    }

    /// How the key's work ended, if it has and is still known. None where the store does not say.
    async fn ended(&self, key: Key) -> Result<Option<Ended>, LedgerError> {
        let _ = key;
        Ok(None)
    }

    /// The bytes that the step recorded, in this attempt or an earlier one.
    async fn get_step(&self, key: Key, fence: Fence, name: &str) -> Result<Option<Vec<u8>>, LedgerError>;

    /// Records a step as finished.
    async fn put_step(&self, key: Key, fence: Fence, name: &str, value: &[u8]) -> Result<(), LedgerError>;

    /// Keeps a dead letter's envelope that did not fit into the message, for `ttl`.
    async fn put_envelope(&self, id: &str, json: &[u8], ttl: Duration) -> Result<(), LedgerError>;

    /// An envelope that [`Ledger::put_envelope`] kept.
    async fn get_envelope(&self, id: &str) -> Result<Option<Vec<u8>>, LedgerError>;

    /// Keeps a pause of a service, in place of an earlier one of the same target, until it is
    /// removed.
    async fn put_pause(&self, service: &str, pause: &Pause) -> Result<(), LedgerError>;

    /// Forgets the pause of this target, if there is one.
    async fn remove_pause(&self, service: &str, target: &Target) -> Result<(), LedgerError>;

    /// All pauses that a service has, in any order; those whose time is over among them.
    async fn pauses(&self, service: &str) -> Result<Vec<Pause>, LedgerError>;

    /// Whether the store can record something now; readiness asks.
    async fn ping(&self) -> Result<(), LedgerError>;

    /// A handle of the same store whose connections are driven by the runtime that asks, for a
    /// thread that must not wait for another runtime's tasks. None where this handle needs no
    /// runtime to be answered.
    async fn with_own_connections(&self) -> Option<Arc<dyn Ledger>> {
        None
    }

    /// The timers of a service; None where the store keeps none, as some of the tests'.
    fn timers(&self, service: &str) -> Option<Arc<dyn Timers>> {
        let _ = service;
        None
    }

    /// The documents of a service; None where the store keeps none.
    fn documents(&self, service: &str) -> Option<Arc<dyn Documents>> {
        let _ = service;
        None
    }

    /// What the store counts of itself; None where the store is a server with metrics of its own.
    fn meters(&self) -> Option<&LedgerMeters> {
        None
    }
}

/// The answer to a batch of one.
#[cfg(any(feature = "local", feature = "postgres", feature = "redis"))]
pub(crate) fn one<T>(mut answers: Vec<Result<T, LedgerError>>) -> Result<T, LedgerError> {
    answers.pop().unwrap_or_else(|| Err(LedgerError::Unavailable("it gave no answer".into())))
}

/// What a claim is made for.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// The same key with another digest is a conflict.
    pub body: BodyDigest,
    /// The delivery's message id: a message that was dead-lettered is recognised by it when SQS
    /// delivers it again.
    pub message_id: MessageId,
    /// How long the claim holds unless it is extended.
    pub lease: Duration,
    /// Whether the queue has delivered the message before. It changes no answer: a store may try
    /// first what is likely then, and be cheaper.
    pub is_redelivery: bool,
}

/// The end of work for which there was no claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// As in [`ClaimRequest`].
    pub body: BodyDigest,
    /// As in [`ClaimRequest`].
    pub message_id: MessageId,
    /// As in [`Finish::Done`], as what follows.
    pub result: Option<Vec<u8>>,
    pub discarded: bool,
    pub ttl: Duration,
}

/// How a key's work has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    Done { result: Option<Vec<u8>>, discarded: bool },
    DeadLettered,
}

/// The answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The key is ours.
    Fresh(Fresh),
    /// It is done already, by a delivery of this very message (by its message id) or of another:
    /// delete the delivery.
    Done { same_message: bool },
    /// This very message (by its message id) was dead-lettered already, whatever the key's other
    /// messages have done since: delete the delivery. The same key in another message, a replay for
    /// instance, is claimed afresh.
    DeadLettered,
    /// Another delivery holds it for so much longer.
    Busy { remaining: Duration },
    /// The key was claimed before for another body.
    Conflict,
}

/// A claim that is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// Counted attempts, this one included: 1 at first.
    pub attempt: u32,
    /// Claims that ended without a finish since the handler last ran to its end: their host died or
    /// lost its lease.
    pub crashes: u32,
    /// How often a dead letter of this key has come back.
    pub replays: u32,
    pub fence: Fence,
    /// When the first failed attempt ended, if one did.
    pub first_failed_at: Option<UnixMs>,
    /// Whether nothing was known of the key before this claim, so that no step can be recorded.
    pub is_new: bool,
}

/// How a claim ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The handler succeeded, or discarded the message. Kept for `ttl`; the steps are forgotten.
    Done { result: Option<Vec<u8>>, discarded: bool, ttl: Duration },
    /// The attempt failed and counts; the next claim is the next attempt. Crashes before it are
    /// forgotten.
    Failed { at: UnixMs },
    /// The attempt does not count: snoozed, interrupted, or a dependency was unavailable. Crashes
    /// before it are forgotten if the handler `ran` to its end: its host has lived through it.
    Released { ran: bool },
    /// The message is in the DLQ. Attempts, crashes and the body's digest start afresh for a
    /// replay, which is counted; steps are kept; all for `ttl`.
    DeadLettered { message_id: MessageId, ttl: Duration },
}
