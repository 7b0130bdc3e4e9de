//! What a plugin asks for, and what the operator grants: both have to fit.
//!
//! Nothing is granted by itself. A manifest's lists are requests; the operator's config answers
//! them plugin by plugin, or accepts them all with `grant_all`. A secret is granted by the header
//! that the operator puts it into. Files and sockets are never granted. A component may import
//! them, and whatever else it was not granted: no directory is open, and every call is denied.

use std::collections::BTreeSet;
use std::fmt::Display;

use super::manifest::Manifest;
use super::reason::Reason;
use crate::config::{Config, PluginConfig};
use crate::sandbox::Grants;
use crate::sandbox::egress::secrets_in;

/// What the operator makes of the manifest's requests.
///
/// # Errors
/// The request that is not answered, with the lines to add.
pub fn granted(manifest: &Manifest, operator: &PluginConfig, config: &Config) -> Result<Grants, Reason> {
    let (asks, all) = (manifest, config.grant_all);
    let refused = |(key, verb, list)| Reason::NotGranted { name: manifest.name.clone(), verb, key, list };
    let hosts = answer(&asks.allowed_outbound_hosts, &operator.allowed_outbound_hosts, all);
    let queues = answer(&asks.queues, &operator.queues, all);
    let grants = Grants {
        hosts: hosts.map_err(|list| refused(("allowed_outbound_hosts", "call", list)))?,
        queues: queues.map_err(|list| refused(("queues", "send to", list)))?,
        secrets: secrets_of(operator),
    };
    check_secrets(manifest, &grants, config.grant_all)?;
    match grants.queues.iter().find(|queue| !config.is_sent_to(queue)) {
        // Where everything is accepted, a queue that is not there is found out by `wasq check`, or
        // when it is sent to.
        Some(queue) if !config.grant_all => Err(Reason::NoQueue { queue: queue.clone() }),
        Some(_) | None => Ok(grants),
    }
}

/// The operator's answer to a list of requests, or the list if there is none.
fn answer<T: Clone + Display>(asked: &[T], granted: &Option<Vec<T>>, grant_all: bool) -> Result<Vec<T>, String> {
    match granted {
        Some(granted) => Ok(granted.clone()),
        None if grant_all || asked.is_empty() => Ok(asked.to_vec()),
        None => Err(in_quotes(asked)),
    }
}

/// The secrets that the operator's own headers name: who writes a secret into one grants it, to
/// that destination.
fn secrets_of(operator: &PluginConfig) -> Vec<String> {
    let templates = operator.headers.values().flat_map(|headers| headers.values());
    let names: BTreeSet<_> = templates.flat_map(|template| secrets_in(&template.0)).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// Whether the plugin gets the secrets that it asks for. Where everything is granted, it runs
/// without them too.
fn check_secrets(manifest: &Manifest, grants: &Grants, grant_all: bool) -> Result<(), Reason> {
    let Some(secret) = manifest.secrets.iter().find(|asked| !grants.secrets.contains(asked)) else { return Ok(()) };
    if grant_all {
        return Ok(());
    }
    let destination = grants.hosts.first().map_or("https://api.example:443", String::as_str);
    Err(Reason::NoSecret { name: manifest.name.clone(), secret: secret.clone(), destination: destination.to_owned() })
}

/// The import of `wasi:http` of a component that may call nobody. Its calls are denied: libraries
/// and language runtimes import it without need.
pub fn denied_import<'a>(grants: &Grants, imports: &'a [String]) -> Option<&'a String> {
    imports.iter().find(|import| grants.hosts.is_empty() && import.starts_with("wasi:http/outgoing-handler@"))
}

fn in_quotes(list: &[impl Display]) -> String {
    list.iter().map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
