//! Settings that one part grants and another takes back.
//!
//! Each part is valid by itself, so nothing refuses them; a message would find out. The loader
//! looks for them with every plugin that it loads: the host logs each as a warning, `wasq dev`
//! shows that, and `wasq check` takes it for a problem.

use std::time::Duration;

use bytesize::ByteSize;
use humantime_serde::re::humantime::format_duration;

use super::manifest::{Manifest, Retry, default_memory, default_timeout};
use crate::admission::permits::Permits;
use crate::config::{Config, PluginConfig};
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
    #[error("pool `{pool}` is not defined in the config: it runs without; set pools.{pool}")]
    NoPool { pool: String },
    #[error(
        "it asks for the secret `{secret}`, which no header of its requests has: it runs without; set a header with \
         `{{secret:{secret}}}` in plugins.{plugin}.headers"
    )]
    NoSecret { plugin: String, secret: String },
}

/// Looks through all that is said of one plugin. `closed` and `unused_headers` are egress's.
pub fn conflicts(
    manifest: &Manifest,
    operator: &PluginConfig,
    config: &Config,
    grants: &Grants,
    closed: Vec<(Destination, DialError)>,
    unused_headers: impl Iterator<Item = Destination>,
) -> Vec<Conflict> {
    let (plugin, limits) = (&manifest.name, &config.limits);
    let mut found = Vec::new();
    found.extend(closed.into_iter().map(|(destination, reason)| Conflict::Closed { destination, reason }));
    found.extend(unused_headers.map(|destination| Conflict::Headers { plugin: plugin.clone(), destination }));
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
    let Retry { initial_interval, maximum_interval, .. } = manifest.retry;
    if initial_interval > maximum_interval {
        let [wanted, most] = [initial_interval, maximum_interval].map(|time| format_duration(time).to_string());
        found.push(Conflict::Interval { wanted, most });
    }
    // Without `grant_all` these are refused.
    let pools = manifest.pools.iter().filter(|pool| !config.pools.contains_key(*pool));
    found.extend(pools.map(|pool| Conflict::NoPool { pool: pool.clone() }));
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
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plugins::grants::granted;
    use crate::sandbox::egress::Dialer;

    #[test]
    fn what_one_part_grants_and_another_takes_back_is_said_with_the_setting_that_does() {
        let check = |manifest: &str, config: &str, expect: &[&[&str]]| {
            let manifest = Manifest::parse(&format!("name = 'p'\ntypes = ['t']\n{manifest}")).unwrap();
            let text = format!("grant_all = true\n[queues.jobs]\n{config}");
            let config = Arc::new(Config::parse(&text, std::path::Path::new("wasq.toml")).unwrap());
            let own = PluginConfig::default();
            let operator = config.plugins.get("p").unwrap_or(&own);
            let grants = granted(&manifest, operator, &config).unwrap();
            let dialer = Dialer::new(&config).unwrap();
            let egress = dialer.egress("p", &grants.hosts).unwrap();
            let unused = egress.unused_headers().cloned();
            let found = conflicts(&manifest, operator, &config, &grants, dialer.closed(&egress), unused);
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found.len(), expect.len(), "{found:?}");
            for (found, expect) in found.iter().zip(expect) {
                assert!(expect.iter().all(|part| found.contains(part)), "{found:?} has not all of {expect:?}");
            }
        };
        check("", "", &[]);
        let local =
            "allowed_outbound_hosts = ['http://127.0.0.1:7799', 'https://api.example', 'http://localhost:7799']";
        let closed: [&[&str]; 2] = [
            &["http://127.0.0.1:7799", "egress.open_hosts = [\"127.0.0.1:7799\"]"],
            &["http://localhost:7799", "egress.open_hosts = [\"localhost:7799\"]"],
        ];
        check(local, "", &closed);
        check(local, "[egress]\nopen_hosts = ['127.0.0.1:7799']", &closed[1..]);
        check(local, "[egress]\nopen_hosts = ['127.0.0.1:7799', 'localhost:7799']", &[]);
        let headers = "[plugins.p.headers.'https://other.example']\nx = 'y'";
        let named = ["https://other.example:443", "plugins.p.allowed_outbound_hosts"];
        check("allowed_outbound_hosts = ['https://api.example']", headers, &[&named]);
        check(
            "allowed_outbound_hosts = ['https://api.example']",
            "[limits]\nrequests = 0",
            &[&["limits.requests = 0"]],
        );
        check("queues = ['self']", "[limits]\noutbox_messages = 0", &[&["limits.outbox_messages = 0"]]);

        let minute = "[limits]\nmax_timeout = '1m'";
        check("", "[limits]\nmax_timeout = '1s'\nmax_memory = '1MiB'", &[]);
        check("timeout = '1h'", minute, &[&["timeout = \"1h\"", "limits.max_timeout", "plugins.p.timeout = \"1m\""]]);
        check("timeout = '1h'", &format!("{minute}\n[plugins.p]\ntimeout = '1m'"), &[]);
        check("", &format!("{minute}\n[plugins.p]\ntimeout = '2m'"), &[&["\"2m\"", "limits.max_timeout"]]);
        check("memory = '1GiB'", "", &[&["memory", "limits.max_memory", "plugins.p.memory = \"256.0 MiB\""]]);
        check("memory = '1GiB'", "[plugins.p]\nmemory = '256.0 MiB'", &[]);
        let eight = "[limits]\nmax_instances = 8";
        check("max_concurrency = 7", eight, &[&["max_concurrency = 7", "limits.max_instances", "= 6"]]);
        check("max_concurrency = 5\npriority = 'low'", eight, &[&["max_concurrency = 5", "= 4"]]);
        check("max_concurrency = 8\npriority = 'high'", eight, &[]);
        check("[retry]\ninitial_interval = '1h'", "", &[&["15m", "1h", "retry.maximum_interval"]]);
        check("pools = ['db']", "", &[&["`db`", "set pools.db"]]);
        check("secrets = ['TOKEN']", "", &[&["`TOKEN`", "plugins.p.headers"]]);
    }
}
