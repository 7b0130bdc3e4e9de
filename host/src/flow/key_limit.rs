//! Keyed concurrency: a message waits for a permit of its key before it is claimed, and holds no
//! permit of the host meanwhile.

use wasq_core::clock;
use wasq_core::message::Message;

use super::plugin_attempt::PluginAttempt;
use crate::admission::key_limits::{KeyId, KeyPermit};
use crate::admission::limit_key::LimitKey;
use crate::exit::Exit;
use crate::plugins::Plugin;

/// A permit of the message's key, once there is one. None where its plugin has no keyed
/// concurrency.
pub async fn permit_for(
    plugin_attempt: &PluginAttempt<'_>,
    message: &Message,
    plugin: &Plugin,
) -> Result<Option<KeyPermit>, Exit> {
    let PluginAttempt { services, lease, .. } = *plugin_attempt;
    let Some(keyed) = &plugin.manifest.keyed_concurrency else { return Ok(None) };
    let key = LimitKey::of(keyed.key.render_plain(&message.body, &message.attributes));
    let id = KeyId { plugin: plugin.manifest.name.clone(), max: keyed.max, scope: keyed.scope, key };
    let permit = tokio::select! {
        biased;
        () = lease.lost().cancelled() => return Err(Exit::LeaseLost),
        () = services.interrupt.cancelled() => return Err(Exit::Interrupted),
        permit = services.key_limits.acquire(&id, plugin_attempt.claimant()) => permit,
    };
    permit.map(Some).map_err(|remaining| {
        plugin_attempt.runtime.meters.limited(format!("key:{}", plugin.manifest.name), clock::now());
        Exit::KeyLimited { remaining }
    })
}
