//! What a plugin asks for, what the operator grants, and what its component imports: all three have
//! to fit.
//!
//! Nothing is granted by itself. A manifest's lists are requests; the operator's config answers
//! them plugin by plugin, or accepts them all with `grant_all`. A secret is granted by the header
//! that the operator puts it into. Files and sockets are never granted; a component that imports
//! them all the same may be let do so, and finds none.

use std::collections::BTreeSet;
use std::fmt::Display;

use super::manifest::Manifest;
use super::reason::Reason;
use crate::config::{Config, EmptyInterface, PluginConfig};
use crate::sandbox::egress::secrets_in;
use crate::sandbox::{Grants, OWN_QUEUE};

/// What the operator makes of the manifest's requests.
///
/// # Errors
/// The request that is not answered, with the lines to add.
pub fn granted(manifest: &Manifest, operator: &PluginConfig, config: &Config) -> Result<Grants, Reason> {
    let (asks, all) = (manifest, config.grant_all);
    let refused = |(key, verb, list)| Reason::NotGranted { name: manifest.name.clone(), verb, key, list };
    let hosts = answer(&asks.allowed_outbound_hosts, &operator.allowed_outbound_hosts, all);
    let queues = answer(&asks.queues, &operator.queues, all);
    let empty = answer(&asks.empty_interfaces, &operator.empty_interfaces, all);
    let grants = Grants {
        hosts: hosts.map_err(|list| refused(("allowed_outbound_hosts", "call", list)))?,
        queues: queues.map_err(|list| refused(("queues", "send to", list)))?,
        empty_interfaces: empty.map_err(|list| refused(("empty_interfaces", "import the empty", list)))?,
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

/// Whether a component with these imports may run.
///
/// # Errors
/// The import for which nothing was granted, with the line to add.
pub fn check_imports(grants: &Grants, name: &str, imports: &[String]) -> Result<(), Reason> {
    let needs = [
        ("wasi:http/outgoing-handler@", "allowed_outbound_hosts", grants.hosts.is_empty(), "https://api.example:443"),
        ("wasq:worker/outbox@", "queues", grants.queues.is_empty(), OWN_QUEUE),
    ];
    let empty = EmptyInterface::ALL.map(|interface| {
        let granted = grants.empty_interfaces.contains(&interface);
        (interface.name(), "empty_interfaces", !granted, interface.name())
    });
    for (interface, key, nothing_granted, example) in needs.into_iter().chain(empty) {
        if let Some(import) = imports.iter().find(|import| nothing_granted && import.starts_with(interface)) {
            return Err(Reason::Import { import: import.clone(), name: name.to_owned(), key, example });
        }
    }
    Ok(())
}

fn in_quotes(list: &[impl Display]) -> String {
    list.iter().map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
