//! What a message waits for before it is claimed: a permit of its key, then a slot of each rate. It
//! holds no permit of the host meanwhile. Its permits may take their time after that, so what it
//! has is looked at again before the run.

use std::sync::Arc;

use wasq_core::message::Message;

use super::plugin_attempt::PluginAttempt;
use super::{key_limit, rate_limit};
use crate::admission::fleet_pools::FleetPool;
use crate::admission::key_limits::KeyPermit;
use crate::admission::permits::{Needs, RunPermits};
use crate::admission::rates::Slot;
use crate::exit::Exit;
use crate::plugins::Plugin;

/// What a message has waited for. It is boxed, because few messages have it.
#[derive(Default)]
pub struct Paced {
    key: Option<KeyPermit>,
    slots: Vec<Slot>,
}

/// What the message needs of its plugin's limits, once there is all of it. Nothing where it would
/// not run anyway: it gets that later, if it does.
pub async fn pace(plugin_attempt: &PluginAttempt<'_>, message: &Message, plugin: &Plugin) -> Result<Box<Paced>, Exit> {
    let (services, manifest) = (plugin_attempt.services, &plugin.manifest);
    let is_expired = manifest.max_age.is_some_and(|max_age| plugin_attempt.age() > max_age);
    let scope = rate_limit::breaker_scope(services, message, plugin);
    if is_expired || services.breakers.is_open(&scope, services.clock.now()) {
        return Ok(Box::default());
    }
    // A slot is lost soon, and a permit is not.
    let key = key_limit::permit_for(plugin_attempt, message, plugin).await?;
    let slots = rate_limit::slots_for(plugin_attempt, message, plugin).await?;
    Ok(Box::new(Paced { key, slots }))
}

/// The permits of a run that keeps to its plugin's limits.
pub async fn permits(
    plugin_attempt: &PluginAttempt<'_>,
    message: &Message,
    plugin: &Plugin,
    fleet: &[Arc<FleetPool>],
    paced: Option<Box<Paced>>,
) -> Result<RunPermits, Exit> {
    let Paced { mut key, mut slots } = paced.map(|paced| *paced).unwrap_or_default();
    loop {
        let held = match key.take() {
            Some(permit) => Some(permit),
            None => key_limit::permit_for(plugin_attempt, message, plugin).await?,
        };
        let queue = plugin_attempt.runtime.number;
        let permits = plugin_attempt.services.permits.acquire(Needs { fleet, queue, ..plugin.into() }).await;
        let slots = std::mem::take(&mut slots);
        let mut permits = rate_limit::in_time(plugin_attempt, message, plugin, fleet, permits, slots).await?;
        match held.map(KeyPermit::into_held) {
            None => return Ok(permits),
            Some(Some(permit)) => {
                permits.hold(permit);
                return Ok(permits);
            }
            // The lease that it was of has ended meanwhile.
            Some(None) => {}
        }
    }
}
