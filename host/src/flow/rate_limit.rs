//! The rates that a plugin's runs keep to: a message waits for its start before it is claimed, and
//! holds nothing meanwhile.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use wasq_core::clock;
use wasq_core::message::Message;

use super::plugin_attempt::PluginAttempt;
use crate::admission::fleet_pools::FleetPool;
use crate::admission::permits::Needs;
use crate::admission::rates::{BucketId, Claimant, Limited, RateKey, Slot};
use crate::exit::Exit;
use crate::plugins::Plugin;
use crate::plugins::rate_use::RateUse;

/// A slot of each rate, once there is one. None where the message would not run anyway: it gets
/// them later, if it does.
pub async fn slots_for(
    plugin_attempt: &PluginAttempt<'_>,
    message: &Message,
    plugin: &Plugin,
) -> Result<Vec<Slot>, Exit> {
    let (services, manifest) = (plugin_attempt.services, &plugin.manifest);
    let is_expired = manifest.max_age.is_some_and(|max_age| plugin_attempt.age() > max_age);
    if is_expired || services.breakers.is_open(&manifest.name, services.clock.now()) {
        return Ok(Vec::new());
    }
    wait(plugin_attempt, &buckets(plugin_attempt, message, plugin)).await
}

/// The permits of a run whose slots are still good. Permits may have taken their time, and a slot is
/// lost soon: who needs a new one and does not get it at once lets go of its permits meanwhile.
pub async fn in_time(
    plugin_attempt: &PluginAttempt<'_>,
    message: &Message,
    plugin: &Plugin,
    fleet: &[Arc<FleetPool>],
    mut permits: Vec<OwnedSemaphorePermit>,
    mut slots: Vec<Slot>,
) -> Result<Vec<OwnedSemaphorePermit>, Exit> {
    let services = plugin_attempt.services;
    let buckets = buckets(plugin_attempt, message, plugin);
    loop {
        let now = clock::now();
        let are_good = slots.len() == buckets.len() && slots.iter().all(|slot| slot.good_until > now);
        if are_good || services.rates.try_acquire(&buckets, plugin_attempt.delivery.sent_at).is_some() {
            return Ok(permits);
        }
        drop(permits);
        slots = wait(plugin_attempt, &buckets).await?;
        permits = services.permits.acquire(Needs { fleet, ..plugin.into() }).await;
    }
}

async fn wait(plugin_attempt: &PluginAttempt<'_>, buckets: &[BucketId]) -> Result<Vec<Slot>, Exit> {
    let PluginAttempt { services, runtime, delivery, lease, in_hand, .. } = *plugin_attempt;
    let is_returned = delivery.receive_count > 1;
    let claimant = Claimant { sent_at: delivery.sent_at, is_returned, in_hand, room: &runtime.waiting_room };
    tokio::select! {
        biased;
        () = lease.lost().cancelled() => Err(Exit::LeaseLost),
        () = services.interrupt.cancelled() => Err(Exit::Interrupted),
        slots = services.rates.acquire(buckets, claimant) => {
            slots.map_err(|Limited { rate, remaining }| Exit::RateLimited { rate, remaining })
        }
    }
}

/// What its rates are for this message. One that the config does not have bounds nothing.
fn buckets(plugin_attempt: &PluginAttempt<'_>, message: &Message, plugin: &Plugin) -> Vec<BucketId> {
    let bucket = |used: &RateUse| {
        let key = match &used.key {
            None => RateKey::All,
            Some(template) => RateKey::of(template.render_plain(&message.body, &message.attributes)),
        };
        plugin_attempt.services.rates.bucket(&used.rate, key)
    };
    let mut buckets: Vec<_> = plugin.manifest.rates.iter().filter_map(bucket).collect();
    // Two templates may come to one key: a run takes one slot of it.
    buckets.sort();
    buckets.dedup();
    buckets
}
