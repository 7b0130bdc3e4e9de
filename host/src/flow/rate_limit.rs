//! The rates that a plugin's runs keep to: a message waits for its start before it is claimed, and
//! holds no permit of the host meanwhile.

use std::borrow::Cow;
use std::sync::Arc;

use wasq_core::clock;
use wasq_core::message::Message;

use super::plugin_attempt::PluginAttempt;
use super::services::Services;
use crate::admission::breaker;
use crate::admission::fleet_pools::FleetPool;
use crate::admission::limit_key::LimitKey;
use crate::admission::permits::{Needs, RunPermits};
use crate::admission::rates::{BucketId, Limited, Slot};
use crate::exit::Exit;
use crate::plugins::Plugin;
use crate::plugins::manifest::Manifest;
use crate::plugins::rate_use::RateUse;

/// A slot of each rate, once there is one.
pub async fn slots_for(
    plugin_attempt: &PluginAttempt<'_>,
    message: &Message,
    plugin: &Plugin,
) -> Result<Vec<Slot>, Exit> {
    wait(plugin_attempt, &buckets(plugin_attempt.services, message, plugin)).await
}

/// What the breakers of a plugin are told apart by for this message: the plugin, and the keys of
/// its rates.
pub fn breaker_scope<'p>(services: &Services, message: &Message, plugin: &'p Plugin) -> Cow<'p, str> {
    let Manifest { name, rates, .. } = &plugin.manifest;
    if rates.iter().all(|used| used.key.is_none()) {
        return breaker::scope(name, None);
    }
    let keyed = buckets(services, message, plugin).into_iter().filter(|bucket| bucket.has_key());
    let keys: Vec<_> = keyed.map(|bucket| services.rates.label(&bucket)).collect();
    breaker::scope(name, (!keys.is_empty()).then(|| keys.join(", ")))
}

/// The rate of this name, as it is for this message.
pub fn bucket_of(services: &Services, message: &Message, plugin: &Plugin, rate: &str) -> Option<BucketId> {
    buckets(services, message, plugin).into_iter().find(|bucket| services.rates.name(bucket) == rate)
}

/// The permits of a run whose slots are still good. Permits may have taken their time, and a slot
/// is lost soon: who needs a new one and does not get it at once lets go of its permits meanwhile.
pub async fn in_time(
    plugin_attempt: &PluginAttempt<'_>,
    message: &Message,
    plugin: &Plugin,
    fleet: &[Arc<FleetPool>],
    mut permits: RunPermits,
    mut slots: Vec<Slot>,
) -> Result<RunPermits, Exit> {
    let services = plugin_attempt.services;
    let buckets = buckets(services, message, plugin);
    loop {
        let now = clock::now();
        let are_good = slots.len() == buckets.len() && slots.iter().all(|slot| slot.good_until > now);
        if are_good || services.rates.try_acquire(&buckets, plugin_attempt.delivery.sent_at).is_some() {
            return Ok(permits);
        }
        drop(permits);
        slots = wait(plugin_attempt, &buckets).await?;
        permits =
            services.permits.acquire(Needs { fleet, queue: plugin_attempt.runtime.number, ..plugin.into() }).await;
    }
}

async fn wait(plugin_attempt: &PluginAttempt<'_>, buckets: &[BucketId]) -> Result<Vec<Slot>, Exit> {
    let PluginAttempt { services, runtime, delivery, lease, .. } = *plugin_attempt;
    if let Some(slots) = services.rates.try_acquire(buckets, delivery.sent_at) {
        return Ok(slots);
    }
    for bucket in buckets {
        runtime.meters.limited(format!("rate:{}", services.rates.name(bucket)), clock::now());
    }
    tokio::select! {
        biased;
        () = lease.lost().cancelled() => Err(Exit::LeaseLost),
        () = services.interrupt.cancelled() => Err(Exit::Interrupted),
        slots = services.rates.acquire(buckets, plugin_attempt.claimant()) => {
            slots.map_err(|Limited { rate, remaining }| Exit::RateLimited { rate, remaining })
        }
    }
}

/// What its rates are for this message. One that the config does not have bounds nothing.
fn buckets(services: &Services, message: &Message, plugin: &Plugin) -> Vec<BucketId> {
    let bucket = |used: &RateUse| {
        let key = match &used.key {
            None => LimitKey::All,
            Some(template) => LimitKey::of(template.render_plain(&message.body, &message.attributes)),
        };
        services.rates.bucket(&used.rate, key)
    };
    let mut buckets: Vec<_> = plugin.manifest.rates.iter().filter_map(bucket).collect();
    // Two templates may come to one key: a run takes one slot of it.
    buckets.sort();
    buckets.dedup();
    buckets
}
