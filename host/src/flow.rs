//! The way of a delivery: decode, route, claim, run, decide, record, settle.

/// A record of the log about a attempt: which message, of which type, in which plugin, in which attempt; then what is said of it.
macro_rules! log_attempt {
    ($level:ident, $plugin_attempt:expr, $attempt:expr, $($said:tt)*) => {{
        let (kind, plugin) = $plugin_attempt.names();
        let message_id = &$plugin_attempt.delivery.message_id;
        tracing::$level!(%message_id, "type" = kind, plugin, attempt = $attempt, $($said)*)
    }};
}

mod claim;
pub mod decide;
pub mod decode;
mod insist;
mod outbox;
mod owed;
mod pending;
mod plugin_attempt;
pub mod recent;
mod record;
pub mod retry;
mod run;
mod services;
pub mod settle;
pub mod unroutable;

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use wasq_core::message::{Delivery, Message, MessageId};
use wasq_ledgers::LedgerError;

pub use services::{QueueRuntime, Services};

use claim::Claimed;
use decide::{DecisionInput, Record, Settlement, decide, within_retention};
use plugin_attempt::{AttemptEnd, PluginAttempt};

use crate::dlq::{self, LetterError};
use crate::exit::Exit;
use crate::lease::Lease;
use crate::plugins::Serving;
use crate::plugins::manifest::Retry;
use crate::plugins::rollout::Version;
use crate::telemetry::spans::{DeliveryTrace, Span};

/// Takes a delivery all its way. The answer is what was settled.
pub async fn handle(services: &Services, runtime: &QueueRuntime, delivery: &Delivery, lease: Lease) -> Settlement {
    let limits = &services.limits;
    let keep_until = services.clock.now() + limits.permit_wait + limits.settle_grace;
    lease.keep_until(keep_until);
    let reopened = dlq::reopen(delivery, &services.ledger).await;
    let delivery = reopened.as_ref().ok().and_then(Option::as_ref).unwrap_or(delivery);
    let whole = PluginAttempt {
        services,
        runtime,
        delivery,
        lease: &lease,
        message: None,
        plugin: None,
        is_only_plugin: true,
        span: &Span::NONE,
    };

    let decoded = match &reopened {
        Ok(_) => decode::decode(delivery, runtime.config.envelope, runtime.config.default_type.as_deref())
            .map(|message| Arc::new(decode::with_key_of_queue(message, delivery, &runtime.config)))
            .map_err(|reason| Exit::Invalid { reason }),
        Err(error) => Err(not_reopened(services, error)),
    };
    let trace = services.tracing.delivery(runtime.queue.name(), delivery, decoded.as_deref().ok());
    let settlement = match &decoded {
        Err(exit) => whole.without_a_run(exit.clone()).await.settlement,
        Ok(message) => {
            let whole = PluginAttempt { message: Some(message), ..whole };
            let now = || services.clock.unix_ms();
            let paused = services.pauses.of_message(&runtime.name, &message.kind.0, now);
            if let Some((pause, now)) = paused {
                let exit = Exit::Paused { target: pause.target.to_string(), remaining: pause.remaining(now) };
                let settlement = whole.without_a_run(exit).await.settlement;
                runtime.settler.settle(lease, &settlement, trace.settle()).await;
                return settlement;
            }
            let catalog = services.catalogs.current();
            match catalog.route(&message.kind) {
                _ if message.depth() > limits.outbox_depth => {
                    let (depth, limit) = (message.depth(), limits.outbox_depth);
                    whole.without_a_run(Exit::OutboxDepth { depth, limit }).await.settlement
                }
                [] => {
                    let after = runtime.config.unroutable_after;
                    services.recent.unroutable.met(&runtime.name, &message.kind.0, after, now());
                    whole.without_a_run(Exit::Unroutable { kind: message.kind.0.clone() }).await.settlement
                }
                all => {
                    let longest = all.iter().map(|serving| serving.timeout()).max().unwrap_or_default();
                    lease.keep_until(keep_until + longest);
                    let whole = PluginAttempt { is_only_plugin: all.len() == 1, ..whole };
                    let plugin_attempts =
                        all.iter().map(|serving| whole.of(&serving.stable).attempt(&trace, message, serving));
                    let ended = join_all(plugin_attempts).await;
                    let settlement = combine(ended.iter().map(|ended| &ended.settlement));
                    count_duplicates(services, &delivery.message_id, message, all, &ended, &settlement);
                    settlement
                }
            }
        }
    };
    runtime.settler.settle(lease, &settlement, trace.settle()).await;
    settlement
}

/// Why a dead letter that came back cannot be taken for the message that it was.
fn not_reopened(services: &Services, error: &LetterError) -> Exit {
    let reason = error.to_string();
    match error {
        LetterError::Ledger(LedgerError::Unavailable(why)) => {
            services.health.ledger_failed(why);
            Exit::LedgerDown { reason }
        }
        LetterError::Ledger(LedgerError::Stale | LedgerError::Damaged(_) | LedgerError::TooLarge(_))
        | LetterError::Queue(_)
        | LetterError::Envelope(_)
        | LetterError::NoHost(_)
        | LetterError::Gone(_) => Exit::Invalid { reason },
    }
}

impl PluginAttempt<'_> {
    /// Claim, run, decide, record.
    async fn attempt(self, trace: &DeliveryTrace, message: &Arc<Message>, serving: &Serving) -> AttemptEnd {
        let span = trace.process(&message.kind.0, &serving.stable.manifest.name);
        let whole = PluginAttempt { span: &span, ..self };
        let mut claim = match claim::claim(&whole, message, &serving.stable).await {
            Ok(claim) => claim,
            Err(exit) => return whole.without_a_run(exit).await,
        };
        let (plugin, version) = serving.version(&message.kind, &claim.key, whole.delivery.receive_count);
        let plugin_attempt = whole.of(plugin);
        let (exit, admitted) = run::run(&plugin_attempt, message, plugin, &mut claim).await;
        let (exit, settlement) = match plugin_attempt.failed_on_trial(serving, version, &exit) {
            true => (exit, Settlement::ON_THE_EARLIER_VERSION),
            false => {
                let next_probe = record::feed_breakers(&plugin_attempt, admitted, &exit);
                plugin_attempt.decide(exit, &plugin.manifest.retry, Some(&claim), next_probe)
            }
        };
        record::record(&plugin_attempt, Some(claim), exit, settlement).await
    }

    /// Tells the trial of a new version how a first run went, and asks whether it must be repeated on the earlier one.
    fn failed_on_trial(&self, serving: &Serving, version: Version, exit: &Exit) -> bool {
        let is_first = self.delivery.receive_count <= 1;
        serving.rollout.as_ref().is_some_and(|rollout| is_first && rollout.ran(version, exit))
    }

    /// The way of a attempt that no handler sees.
    async fn without_a_run(&self, exit: Exit) -> AttemptEnd {
        let retry = self.plugin.map_or_else(Retry::default, |plugin| plugin.manifest.retry.clone());
        let (exit, settlement) = self.decide(exit, &retry, None, Duration::ZERO);
        record::record(self, None, exit, settlement).await
    }

    fn decide(&self, exit: Exit, retry: &Retry, claim: Option<&Claimed>, next_probe: Duration) -> (Exit, Settlement) {
        let at = self.circumstances(retry, claim, next_probe);
        let settlement = decide(&exit, &at);
        within_retention(exit, settlement, &at)
    }

    fn circumstances<'r>(&self, retry: &'r Retry, claim: Option<&Claimed>, next_probe: Duration) -> DecisionInput<'r> {
        DecisionInput {
            attempt: claim.map_or(0, |claim| claim.fresh.attempt),
            retry,
            draw: fastrand::f64(),
            receive_count: self.delivery.receive_count,
            age: self.age(),
            unroutable_after: self.runtime.config.unroutable_after,
            pause_hold: self.services.limits.pause_hold,
            retention: self.runtime.retention.get(),
            on_exhausted: self.runtime.config.on_exhausted,
            next_probe,
        }
    }
}

/// From the attempts to the delivery's settlement: deleted when all are settled, else hidden for the shortest delay.
fn combine<'s>(plugin_attempts: impl Iterator<Item = &'s Settlement>) -> Settlement {
    plugin_attempts
        .cloned()
        .reduce(|a, b| match (a, b) {
            (Settlement::Leave, _) | (_, Settlement::Leave) => Settlement::Leave,
            (Settlement::Delay { delay: a, .. }, Settlement::Delay { delay: b, .. }) => {
                Settlement::Delay { delay: a.min(b), record: Record::Nothing }
            }
            (delay @ Settlement::Delay { .. }, Settlement::Delete { .. } | Settlement::DeadLetter)
            | (Settlement::Delete { .. } | Settlement::DeadLetter, delay @ Settlement::Delay { .. }) => delay,
            (Settlement::Delete { record }, Settlement::Delete { .. } | Settlement::DeadLetter)
            | (Settlement::DeadLetter, Settlement::Delete { record }) => Settlement::Delete { record },
            (Settlement::DeadLetter, Settlement::DeadLetter) => Settlement::DeadLetter,
        })
        .unwrap_or(Settlement::Leave)
}

/// A duplicate is told and counted once, when its delivery is settled for good: another plugin's
/// retry may bring it several times.
fn count_duplicates(
    services: &Services,
    message_id: &MessageId,
    message: &Message,
    all: &[Arc<Serving>],
    ended: &[AttemptEnd],
    settlement: &Settlement,
) {
    if !matches!(settlement, Settlement::Delete { .. } | Settlement::DeadLetter) {
        return;
    }
    for (serving, ended) in all.iter().zip(ended) {
        if ended.exit == (Exit::Duplicate { same_message: false }) {
            let plugin = &serving.stable;
            let key_from = plugin.key_source(message).name();
            tracing::info!(%message_id, "type" = message.kind.0, plugin = plugin.manifest.name, key_from,
                "a duplicate is deleted: another message with its key is done");
            services.stats.duplicate(&message.kind.0, &plugin.manifest.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_deleted_when_all_its_plugins_are_settled() {
        let delete = || Settlement::Delete { record: Record::Done };
        let delay = |s| Settlement::Delay { delay: Duration::from_secs(s), record: Record::Nothing };
        let check = |plugin_attempts: Vec<Settlement>, expect| {
            assert_eq!(combine(plugin_attempts.iter()), expect, "{plugin_attempts:?}")
        };
        check(vec![delete(), delete()], delete());
        check(vec![delete(), Settlement::DeadLetter], delete());
        check(vec![Settlement::DeadLetter, delay(3)], delay(3));
        check(vec![delay(9), delete(), delay(2)], delay(2));
        check(vec![delay(9), Settlement::Leave, delete()], Settlement::Leave);
    }
}
