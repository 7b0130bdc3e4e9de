//! The way of a delivery: decode, route, claim, run, decide, record, settle.

/// A record of the log about an attempt: which message, of which type, in which plugin, in which
/// attempt; then what is said of it.
macro_rules! log_attempt {
    ($level:ident, $plugin_attempt:expr, $attempt:expr, $($said:tt)*) => {{
        let (kind, plugin) = $plugin_attempt.names();
        let message_id = &$plugin_attempt.delivery.message_id;
        tracing::$level!(%message_id, "type" = kind, plugin, attempt = $attempt, $($said)*)
    }};
}

pub mod batch;
mod claim;
pub mod decide;
pub mod decode;
mod fair_turn;
mod held_back;
mod insist;
mod joining;
mod key_limit;
mod leftover;
mod member_end;
mod notice;
mod outbox;
mod owed;
mod pace;
mod payload;
mod pending;
mod plugin_attempt;
mod rate_limit;
pub mod recent;
mod record;
pub mod retry;
mod run;
mod services;
pub mod settle;
mod settled;
pub mod unroutable;
mod wait;
mod work;

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;
use wasq_core::aws::CALL_TIMEOUT;
use wasq_core::message::{Delivery, Message, MessageId, UnixMs};
use wasq_ledgers::LedgerError;

pub use services::{QueueRuntime, Services};

use batch::Batch;
use claim::Claimed;
use decide::{DecisionInput, HELD_BACK, PARK, QueueAction, Settlement, decide, within_retention};
use plugin_attempt::{AttemptEnd, PluginAttempt};
use settled::Settled;
use wait::Wait;
use work::Work;

use crate::admission::in_hand::InHand;
use crate::dlq::{self, LetterError};
use crate::exit::Exit;
use crate::groups::Membership;
use crate::lease::Lease;
use crate::plugins::manifest::{Idempotency, Retry};
use crate::plugins::rollout::Version;
use crate::plugins::{Plugin, Serving};
use crate::telemetry::spans::{DeliveryTrace, Span};
use crate::timers::parked::{self, Why};

/// Takes a delivery of a batch all its way. The answer is what was settled.
pub async fn handle(
    services: &Services,
    runtime: &QueueRuntime,
    batch: &Batch<'_>,
    delivery: &Delivery,
    lease: Lease,
    in_hand: &InHand,
) -> QueueAction {
    let limits = &services.limits;
    let keep_until = || services.clock.now() + limits.in_hand_beside_run();
    // Calls to AWS before the message is known.
    let calls = if runtime.s3.is_some() || runtime.sns.is_some() { CALL_TIMEOUT } else { Duration::ZERO };
    lease.keep_until(keep_until() + calls);
    let raw = delivery;
    let restored = parked::restore(raw);
    let reopened = dlq::reopen(restored.as_ref().unwrap_or(raw), &services.ledger).await;
    let delivery = reopened.as_ref().ok().and_then(Option::as_ref).or(restored.as_ref()).unwrap_or(raw);
    let whole = PluginAttempt {
        services,
        runtime,
        batch,
        delivery,
        lease: &lease,
        in_hand,
        message: None,
        plugin: None,
        is_only_plugin: true,
        span: &Span::NONE,
    };

    let fetched = match &reopened {
        // What few messages need is not part of what each one's task carries.
        Ok(_) if runtime.s3.is_some() => Box::pin(payload::fetch(services, runtime, delivery)).await,
        Ok(_) => Ok(None),
        Err(error) => Err(not_reopened(services, error)),
    };
    let work = match &fetched {
        Ok(fetched) => {
            let whole = fetched.as_ref().map_or(delivery, |fetched| &fetched.delivery);
            Work::of(whole, &runtime.config)
        }
        Err(exit) => Err(exit.clone()),
    };
    // What was parked has waited for its time.
    let not_due = |at: UnixMs| if restored.is_some() { None } else { work::not_due(at, services.clock.unix_ms()) };
    let (decoded, wanted) = match work {
        Ok((work, wanted)) => match wanted.and_then(not_due) {
            Some(exit) => (Err(exit), None),
            None => (Ok(work), wanted),
        },
        Err(exit) => (Err(exit), None),
    };
    let first = decoded.as_ref().ok().and_then(Work::message);
    // What its producer wanted then is as new then.
    let dated = wanted.filter(|at| *at > delivery.sent_at).map(|sent_at| Delivery { sent_at, ..delivery.clone() });
    let whole = PluginAttempt { delivery: dated.as_ref().unwrap_or(delivery), ..whole };
    let trace =
        services.tracing.delivery(runtime.queue.name(), runtime.queue.broker().messaging_system(), delivery, first);
    let Settled { mut action, mut name, has_letter, to_hide } = match &decoded {
        Err(exit) => whole.refuse(exit.clone()).await,
        Ok(Work::One(message)) => whole.with(message).route(message, &trace, keep_until()).await,
        Ok(Work::Records(records)) => {
            let each = records.iter().map(|(delivery, message)| {
                PluginAttempt { delivery, ..whole }.with(message).route(message, &trace, keep_until())
            });
            let settled = Settled::of_all(Box::pin(join_all(each)).await.into_iter());
            whole.settled_batch(settled).await
        }
        Ok(Work::Notice(notice, message)) => {
            let exit = Box::pin(notice::take(runtime, notice)).await;
            whole.with(message).refuse(exit).await
        }
    };
    let mut is_parked = name == PARK;
    if let QueueAction::Hide(delay) = action {
        let why = match &decoded {
            Err(Exit::NotDue { at, .. }) => Why::DeliverAt(*at),
            Ok(_) | Err(_) => Why::Waits,
        };
        is_parked = Box::pin(wait::wait(&whole, raw, why, delay)).await == Wait::Parked;
        if is_parked {
            (action, name) = (QueueAction::Delete, PARK);
        }
    }
    let span = trace.settle();
    span.set("wasq.settlement", name);
    // A dead letter points to the body still, and so does what is sent again.
    let is_over = action == QueueAction::Delete && !has_letter && !is_parked;
    let payload = fetched.ok().flatten().filter(|_| is_over).and_then(|fetched| fetched.leftover(runtime));
    runtime.settler.settle(lease, action, to_hide, span, payload).await;
    action
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
    /// Hands the message to its plugins, side by side; or refuses it, where none may have it now.
    /// The answer is what is told to the queue, and its name in traces.
    async fn route(self, message: &Arc<Message>, trace: &DeliveryTrace, keep_until: Instant) -> Settled {
        let Self { services, runtime, delivery, lease, .. } = self;
        let now = || services.clock.unix_ms();
        if let Some((pause, now)) = services.pauses.of_message(&runtime.name, &message.kind.0, now) {
            return self
                .refuse(Exit::Paused { target: pause.target.to_string(), remaining: pause.remaining(now) })
                .await;
        }
        let (depth, limit) = (message.depth(), services.limits.outbox_depth);
        if depth > limit {
            return self.refuse(Exit::OutboxDepth { depth, limit }).await;
        }
        let catalog = services.catalogs.current();
        let all = catalog.route(&message.kind);
        if all.is_empty() {
            let after = runtime.config.unroutable_after;
            services.recent.unroutable.met(&runtime.name, &message.kind.0, after, now());
            return self.refuse(Exit::Unroutable { kind: message.kind.0.clone() }).await;
        }
        if let Some(member) = Membership::of(&delivery.attributes) {
            match Box::pin(self.cancelled(&member)).await {
                Ok(None) => {}
                Ok(Some(exit)) => return self.refuse(exit).await,
                Err(error) => return self.refuse(pending::exit_of(&self, error)).await,
            }
        }
        if let Some(fair) = &runtime.fair
            && let Err(exit) = Box::pin(fair_turn::wait(&self, fair, message)).await
        {
            return self.refuse(exit).await;
        }
        let longest = all.iter().map(|serving| serving.timeout()).max().unwrap_or_default();
        lease.keep_until(keep_until + longest);
        let whole = PluginAttempt { is_only_plugin: all.len() == 1, ..self };
        let ended =
            join_all(all.iter().map(|serving| whole.of(&serving.stable).attempt(trace, message, serving))).await;
        let settled = whole.settled(all, &ended).await;
        if settled.action == QueueAction::Delete {
            count_duplicates(services, &delivery.message_id, message, all, &ended);
        }
        settled
    }

    /// Settles the delivery without any plugin.
    async fn refuse(&self, exit: Exit) -> Settled {
        let ended = self.without_a_run(exit).await;
        self.settled(&[], std::slice::from_ref(&ended)).await
    }

    /// What is told to the queue, once all of its plugins have ended. What a group waits for is
    /// recorded before: what cannot be is not deleted.
    async fn settled(&self, all: &[Arc<Serving>], ended: &[AttemptEnd]) -> Settled {
        let settled = Settled::of_all(ended.iter().map(Settled::of_attempt));
        let Some(member) = self.ended_member(&settled) else { return settled };
        let recorded = Box::pin(self.end_member(&member, all, ended)).await;
        self.once_recorded(settled, recorded)
    }

    /// As [`PluginAttempt::settled`], of a delivery that holds several records.
    async fn settled_batch(&self, settled: Settled) -> Settled {
        let Some(member) = self.ended_member(&settled) else { return settled };
        let recorded = Box::pin(self.end_batch(&member, settled.has_letter)).await;
        self.once_recorded(settled, recorded)
    }

    /// What the delivery is to a group, if it is a member that has ended.
    fn ended_member(&self, settled: &Settled) -> Option<Membership> {
        let is_over = settled.action == QueueAction::Delete && settled.name != PARK;
        Membership::of(&self.delivery.attributes).filter(|_| is_over)
    }

    fn once_recorded(&self, settled: Settled, recorded: Result<(), LedgerError>) -> Settled {
        match recorded {
            Ok(()) => settled,
            // Its own work is recorded, and no later try can read what stands there.
            Err(error @ (LedgerError::Damaged(_) | LedgerError::TooLarge(_))) => {
                log_attempt!(error, self, 0, %error, "a member has ended, and its group does not learn it");
                settled
            }
            Err(error @ (LedgerError::Unavailable(_) | LedgerError::Stale)) => {
                log_attempt!(error, self, 0, %error, "the end of a group's member could not be recorded; the message stays in its queue");
                let action = QueueAction::Hide(HELD_BACK);
                Settled { action, name: action.name(), ..settled }
            }
        }
    }

    /// Claim, run, decide, record.
    async fn attempt(self, trace: &DeliveryTrace, message: &Arc<Message>, serving: &Serving) -> AttemptEnd {
        let span = trace.process(&message.kind.0, &serving.stable.manifest.name);
        let whole = PluginAttempt { span: &span, ..self };
        if let Some(exit) = too_large(message, &serving.stable) {
            return whole.of(&serving.stable).without_a_run(exit).await;
        }
        let paced = match serving.stable.is_paced() {
            false => None,
            // Before the claim: who waits has none that its host's death would count.
            true => match Box::pin(pace::pace(&whole, message, &serving.stable)).await {
                Ok(paced) => Some(paced),
                Err(exit) => return whole.of(&serving.stable).without_a_run(exit).await,
            },
        };
        let mut claim = match claim::claim(&whole, message, &serving.stable).await {
            Ok(claim) => claim,
            Err(exit) => return whole.without_a_run(exit).await,
        };
        let (plugin, version) = serving.version(&message.kind, &claim.key, whole.delivery.receive_count);
        let plugin_attempt = whole.of(plugin);
        let (exit, admitted) = run::run(&plugin_attempt, message, plugin, &mut claim, paced).await;
        let (exit, settlement) = match plugin_attempt.failed_on_trial(serving, version, &exit) {
            true => {
                let settlement = Settlement::on_the_earlier_version(&exit);
                (exit, settlement)
            }
            false => {
                let next_probe = record::feed_breakers(&plugin_attempt, admitted, &exit);
                plugin_attempt.decide_claimed(exit, &plugin.manifest.retry, &mut claim, next_probe).await
            }
        };
        record::record(&plugin_attempt, Some(claim), exit, settlement).await
    }

    /// Tells the trial of a new version how a first run went, and asks whether it must be repeated
    /// on the earlier one.
    fn failed_on_trial(&self, serving: &Serving, version: Version, exit: &Exit) -> bool {
        let is_first = self.delivery.receive_count <= 1;
        serving.rollout.as_ref().is_some_and(|rollout| is_first && rollout.ran(version, exit))
    }

    /// The way of an attempt that no handler sees.
    async fn without_a_run(&self, exit: Exit) -> AttemptEnd {
        let retry = self.plugin.map_or_else(Retry::default, |plugin| plugin.manifest.retry.clone());
        let (exit, settlement) = self.decide(exit, &retry, None, Duration::ZERO);
        record::record(self, None, exit, settlement).await
    }

    /// As [`PluginAttempt::decide`]. A dead letter is recorded under a claim, which is made if
    /// there is none so far.
    async fn decide_claimed(
        &self,
        exit: Exit,
        retry: &Retry,
        claim: &mut Claimed,
        next_probe: Duration,
    ) -> (Exit, Settlement) {
        let (exit, settlement) = self.decide(exit, retry, Some(claim), next_probe);
        if settlement.is_dead_letter()
            && let Err(exit) = run::claim_late(self, claim).await
        {
            return self.decide(exit, retry, Some(claim), Duration::ZERO);
        }
        (exit, settlement)
    }

    fn decide(&self, exit: Exit, retry: &Retry, claim: Option<&Claimed>, next_probe: Duration) -> (Exit, Settlement) {
        let at = self.decision_input(retry, claim, next_probe);
        let settlement = decide(&exit, &at);
        let why = if let Exit::NotDue { at, .. } = exit { Why::DeliverAt(at) } else { Why::Waits };
        within_retention(exit, settlement, &at, || wait::place_to_park(self, why).is_some())
    }

    fn decision_input<'r>(
        &'r self,
        retry: &'r Retry,
        claim: Option<&Claimed>,
        next_probe: Duration,
    ) -> DecisionInput<'r> {
        let now = self.services.clock.unix_ms();
        DecisionInput {
            attempt: claim.map_or(0, |claim| claim.fresh.attempt),
            retry,
            draw: fastrand::f64(),
            receive_count: self.delivery.receive_count,
            age: now.since(self.delivery.sent_at),
            queue_age: now.since(self.delivery.enqueued_at),
            unroutable_after: self.runtime.config.unroutable_after,
            pause_hold: self.services.limits.pause_hold,
            retention: self.runtime.retention.get(),
            on_exhausted: self.runtime.config.on_exhausted,
            next_probe,
            message_id: &self.delivery.message_id,
            now,
            ttl: self.plugin.map_or_else(|| Idempotency::default().ttl, |plugin| plugin.manifest.idempotency.ttl),
        }
    }
}

/// A body that its plugin does not take: only what came by S3 is larger than the default.
fn too_large(message: &Message, plugin: &Plugin) -> Option<Exit> {
    let (bytes, most) = (message.body.len() as u64, plugin.manifest.max_body);
    (bytes > most.as_u64()).then(|| Exit::Reject {
        reason: format!("its body has {bytes} bytes; the manifest of {} takes {most} (max_body)", plugin.manifest.name),
    })
}

/// A duplicate is told and counted once, when its delivery is settled for good: another plugin's
/// retry may bring it several times.
fn count_duplicates(
    services: &Services,
    message_id: &MessageId,
    message: &Message,
    all: &[Arc<Serving>],
    ended: &[AttemptEnd],
) {
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
