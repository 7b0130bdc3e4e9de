//! The way of a delivery: decode, route, claim, run, decide, settle.

mod breaker;
mod claim;
pub mod decide;
pub mod decode;
mod record;
pub mod retry;
mod run;
pub mod settle;

use std::sync::Arc;

use futures::future::join_all;

pub use breaker::{BreakerStatus, Breakers};
use decide::{Circumstances, Record, Settlement, decide};
use settle::Settler;

use crate::clock::SharedClock;
use crate::config::{Limits, QueueConfig};
use crate::exit::Exit;
use crate::health::Health;
use crate::lease::{Keeper, Lease};
use crate::ledger::Ledger;
use crate::message::{Delivery, Message};
use crate::plugins::{Catalogs, Plugin};
use crate::queue::Queue;
use crate::sandbox::Sandbox;
use crate::stats::Stats;

/// What every delivery's way needs.
pub struct Services {
    pub scope: String,
    pub limits: Limits,
    pub clock: SharedClock,
    pub catalogs: Arc<Catalogs>,
    pub sandbox: Sandbox,
    pub ledger: Arc<dyn Ledger>,
    pub breakers: Breakers,
    pub stats: Stats,
    pub health: Health,
    /// Where outboxes may send, by the names in the config.
    pub outlets: std::collections::HashMap<String, Arc<dyn Queue>>,
    /// Cancelled when the drain has taken too long: what runs is stopped, uncounted.
    pub interrupt: tokio_util::sync::CancellationToken,
}

/// One queue, and what settles its deliveries.
pub struct Lane {
    pub name: String,
    pub config: QueueConfig,
    pub queue: Arc<dyn Queue>,
    pub dlq: Arc<dyn Queue>,
    pub keeper: Keeper,
    pub settler: Settler,
}

/// Takes a delivery all its way. The answer is what was settled; none when the same message was in hand already.
pub async fn handle(services: &Services, lane: &Lane, delivery: &Delivery) -> Option<Settlement> {
    let limits = &services.limits;
    let keep_until = services.clock.now() + limits.permit_wait + limits.settle_grace;
    let lease = lane.keeper.track(delivery, keep_until)?;

    let settlement = match decode::decode(delivery, lane.config.envelope, lane.config.default_type.as_deref()) {
        Err(reason) => nobody(services, lane, delivery, &lease, None, Exit::Invalid { reason }).await,
        Ok(message) => {
            let catalog = services.catalogs.current();
            match catalog.route(&message.kind) {
                [] => {
                    let exit = Exit::Unroutable { kind: message.kind.0.clone() };
                    nobody(services, lane, delivery, &lease, Some(&message), exit).await
                }
                plugins => {
                    let longest = plugins.iter().map(|plugin| plugin.policy.timeout).max().unwrap_or_default();
                    lease.keep_until(keep_until + longest);
                    let shares = plugins.iter().map(|plugin| share(services, lane, delivery, &lease, &message, plugin));
                    combine(join_all(shares).await)
                }
            }
        }
    };
    lane.settler.settle(lease, &settlement).await;
    Some(settlement)
}

/// One plugin's share of a delivery: claim, run, decide, record.
async fn share(
    services: &Services,
    lane: &Lane,
    delivery: &Delivery,
    lease: &Lease,
    message: &Message,
    plugin: &Plugin,
) -> Settlement {
    let (claim, exit) = match claim::claim(services, delivery, lease, message, plugin).await {
        Err(exit) => (None, exit),
        Ok(claim) => {
            let exit = run::run(services, lane, delivery, lease, message, plugin, &claim).await;
            (Some(claim), exit)
        }
    };
    let next_probe = record::feed_breakers(services, plugin, &exit);
    let at = circumstances(services, lane, delivery, &plugin.manifest.retry, claim.as_ref(), next_probe);
    let settlement = decide(&exit, &at);
    record::record(services, lane, delivery, lease, message, Some(plugin), claim, exit, settlement).await
}

/// The way of a delivery that no plugin sees.
async fn nobody(
    services: &Services,
    lane: &Lane,
    delivery: &Delivery,
    lease: &Lease,
    message: Option<&Message>,
    exit: Exit,
) -> Settlement {
    let retry = crate::plugins::manifest::Retry::default();
    let at = circumstances(services, lane, delivery, &retry, None, std::time::Duration::ZERO);
    let settlement = decide(&exit, &at);
    record::record_nobody(services, lane, delivery, lease, message, exit, settlement).await
}

fn circumstances<'a>(
    services: &Services,
    lane: &Lane,
    delivery: &Delivery,
    retry: &'a crate::plugins::manifest::Retry,
    claim: Option<&claim::Claimed>,
    next_probe: std::time::Duration,
) -> Circumstances<'a> {
    Circumstances {
        attempt: claim.map_or(0, |claim| claim.fresh.attempt),
        retry,
        draw: fastrand::f64(),
        receive_count: delivery.receive_count,
        age: claim::age(services.clock.unix_ms(), delivery.sent_at),
        unroutable_after: lane.config.unroutable_after,
        next_probe,
    }
}

/// From the plugins' shares to the delivery's settlement: deleted when all are settled, else hidden for the shortest delay.
fn combine(shares: Vec<Settlement>) -> Settlement {
    shares
        .into_iter()
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_delivery_is_deleted_when_all_its_plugins_are_settled() {
        let delete = || Settlement::Delete { record: Record::Done };
        let delay = |s| Settlement::Delay { delay: Duration::from_secs(s), record: Record::Nothing };
        assert_eq!(combine(vec![delete(), delete()]), delete());
        assert_eq!(combine(vec![delete(), Settlement::DeadLetter]), delete());
        assert_eq!(combine(vec![Settlement::DeadLetter, delay(3)]), delay(3));
        assert_eq!(combine(vec![delay(9), delete(), delay(2)]), delay(2));
        assert_eq!(combine(vec![delay(9), Settlement::Leave, delete()]), Settlement::Leave);
    }
}
