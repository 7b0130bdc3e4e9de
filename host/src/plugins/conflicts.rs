//! Settings that one part grants and another takes back.
//!
//! Each part is valid by itself, so nothing refuses them; a message would find out. The loader
//! looks for them with every plugin that it loads: the host logs each as a warning, `wasq dev`
//! shows that, and `wasq check` takes it for a problem.

use std::time::Duration;

use bytesize::ByteSize;
use humantime_serde::re::humantime::format_duration;

use super::manifest::{KeyedConcurrency, Manifest, Retry, default_memory, default_timeout};
use crate::admission::permits::Permits;
use crate::config::{Config, PluginConfig, PoolScope};
use crate::sandbox::Grants;
use crate::sandbox::egress::{Destination, DialError};

/// What is granted in vain, with the setting that takes it back and the way out.
#[derive(Debug, thiserror::Error)]
pub enum Conflict {
    #[error("it is granted {destination}, to which egress is closed: {reason}")]
    Closed { destination: Destination, reason: DialError },
    #[error(
        "headers are set for {destination}, which it may not call; grant it in plugins.{plugin}.allowed_outbound_hosts, or take \
         plugins.{plugin}.headers.\"{destination}\" away"
    )]
    Headers { plugin: String, destination: Destination },
    #[error(
        "{key} signs requests to where it may not call; grant that in plugins.{plugin}.allowed_outbound_hosts, or take {key} away"
    )]
    Sign { plugin: String, key: String },
    #[error("it is granted {what}, and {limit} = 0 lets it have none; raise the limit, or take the grant away")]
    NoRoom { what: &'static str, limit: &'static str },
    #[error(
        "it wants {key} = {wanted}, and {limit} cuts that to {most}; raise the limit, or accept it with plugins.{plugin}.{key} = {most}"
    )]
    Cut { plugin: String, key: &'static str, wanted: String, limit: &'static str, most: String },
    #[error(
        "its first retry comes after {most}, not {wanted}: retry.maximum_interval is below retry.initial_interval; change one of \
         them in the manifest"
    )]
    Interval { wanted: String, most: String },
    #[error(
        "keyed_concurrency.max = {max} bounds nothing: {limit} lets {most} of its runs be at once on a host; change one of them, or \
         set keyed_concurrency.scope = \"fleet\""
    )]
    Keyed { max: usize, limit: &'static str, most: usize },
    #[error("pool `{pool}` is not defined in the config: it runs without; set pools.{pool}")]
    NoPool { pool: String },
    #[error("rate `{rate}` is not defined in the config: it runs without; add [rates.{rate}] with a limit")]
    NoRate { rate: String },
    #[error(
        "it asks for the secret `{secret}`, which no header of its requests has: it runs without; set a header with \
         `{{secret:{secret}}}` in plugins.{plugin}.headers"
    )]
    NoSecret { plugin: String, secret: String },
}

/// Looks through all that is said of one plugin. `closed`, `unused_headers` and `unused_signing`
/// are egress's.
pub fn conflicts(
    manifest: &Manifest,
    operator: &PluginConfig,
    config: &Config,
    grants: &Grants,
    closed: Vec<(Destination, DialError)>,
    unused_headers: impl Iterator<Item = Destination>,
    unused_signing: impl Iterator<Item = String>,
) -> Vec<Conflict> {
    let (plugin, limits) = (&manifest.name, &config.limits);
    let mut found = Vec::new();
    found.extend(closed.into_iter().map(|(destination, reason)| Conflict::Closed { destination, reason }));
    found.extend(unused_headers.map(|destination| Conflict::Headers { plugin: plugin.clone(), destination }));
    found.extend(unused_signing.map(|key| Conflict::Sign { plugin: plugin.clone(), key }));
    for (granted, what, room, limit) in [
        (&grants.hosts, "hosts to call", limits.requests, "limits.requests"),
        (&grants.queues, "queues to send to", limits.outbox_messages, "limits.outbox_messages"),
    ] {
        if !granted.is_empty() && room == 0 {
            found.push(Conflict::NoRoom { what, limit });
        }
    }
    let cut =
        |key, wanted: String, limit, most: String| Conflict::Cut { plugin: plugin.clone(), key, wanted, limit, most };
    // What nobody wrote, nobody asked for: a limit below a default is no contradiction.
    let timeout = asked(manifest.timeout, default_timeout(), operator.timeout);
    if let Some(timeout) = timeout.filter(|timeout| *timeout > limits.max_timeout) {
        let [wanted, most] = [timeout, limits.max_timeout].map(in_quotes);
        found.push(cut("timeout", wanted, "limits.max_timeout", most));
    }
    let memory = asked(manifest.memory, default_memory(), operator.memory);
    if let Some(memory) = memory.filter(|memory| *memory > limits.max_memory) {
        let [wanted, most] = [memory, limits.max_memory].map(|size: ByteSize| format!("\"{size}\""));
        found.push(cut("memory", wanted, "limits.max_memory", most));
    }
    let concurrency = manifest.max_concurrency.into_iter().chain(operator.max_concurrency).min();
    let room = Permits::room(limits, manifest.priority);
    if let Some(concurrency) = concurrency.filter(|concurrency| *concurrency > room) {
        found.push(cut("max_concurrency", concurrency.to_string(), "limits.max_instances", room.to_string()));
    }
    if let Some(KeyedConcurrency { max, scope: PoolScope::Host, .. }) = manifest.keyed_concurrency {
        let (limit, most) = match concurrency.filter(|concurrency| *concurrency <= room) {
            Some(concurrency) => ("max_concurrency", concurrency),
            None => ("limits.max_instances", room),
        };
        found.extend((max > most).then_some(Conflict::Keyed { max, limit, most }));
    }
    let Retry { initial_interval, maximum_interval, .. } = manifest.retry;
    if initial_interval > maximum_interval {
        let [wanted, most] = [initial_interval, maximum_interval].map(|time| format_duration(time).to_string());
        found.push(Conflict::Interval { wanted, most });
    }
    // Without `grant_all` these are refused.
    let pools = manifest.pools.iter().filter(|pool| !config.pools.contains_key(*pool));
    found.extend(pools.map(|pool| Conflict::NoPool { pool: pool.clone() }));
    let rates = manifest.rates.iter().filter(|used| !config.rates.contains_key(&used.rate));
    found.extend(rates.map(|used| Conflict::NoRate { rate: used.rate.clone() }));
    let secrets = manifest.secrets.iter().filter(|secret| !grants.secrets.contains(secret));
    found.extend(secrets.map(|secret| Conflict::NoSecret { plugin: plugin.clone(), secret: secret.clone() }));
    found
}

/// What manifest and operator want, if one of them says it. The stricter one holds.
fn asked<T: Ord + Copy>(manifest: T, default: T, operator: Option<T>) -> Option<T> {
    let manifest = (manifest != default).then_some(manifest);
    manifest.into_iter().chain(operator).min()
}

fn in_quotes(time: Duration) -> String {
    format!("\"{}\"", format_duration(time))
}

#[cfg(test)]
mod tests;
