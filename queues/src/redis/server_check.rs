//! What is asked of a server before it is trusted with messages.

use redis::cmd;

use super::store::Store;
use crate::queue::QueueError;

/// The first version whose streams can be read in the way that the scripts do.
const VERSION_MIN: (u32, u32) = (6, 2);

/// A server that drops streams when its memory is full is refused. One that may lose messages when
/// it goes down is warned about.
///
/// # Errors
/// What to change, or why the server does not answer.
pub async fn check(store: &Store) -> Result<(), QueueError> {
    let target = store.target();
    let permanent = |code: &str, message: String| QueueError::Permanent { code: code.into(), message };
    let Some(server) = info(store, "server").await? else { return Ok(()) };
    if let Some(version) = field(&server, "redis_version").filter(|version| is_too_old(version)) {
        let message = format!("{target} has version {version}; use Redis 6.2 or later, or Valkey");
        return Err(permanent("Version", message));
    }
    let Some(memory) = info(store, "memory").await? else { return Ok(()) };
    match field(&memory, "maxmemory_policy") {
        Some(policy) if policy.starts_with("allkeys-") => {
            let message = format!(
                "{target} has maxmemory-policy {policy}: when its memory is full, it would drop streams with all their \
                 messages; set it to noeviction (CONFIG SET maxmemory-policy noeviction, or in redis.conf, or in the \
                 service's parameter group), or give the queues a Redis of their own"
            );
            return Err(permanent("Evicts", message));
        }
        Some(_) => {}
        None => tracing::warn!(%target, "Redis does not tell its maxmemory-policy; it must be noeviction"),
    }
    let Some(persistence) = info(store, "persistence").await? else { return Ok(()) };
    if field(&persistence, "aof_enabled") == Some("0") {
        tracing::warn!(
            %target,
            "Redis has appendonly off: when it goes down, messages that were sent since its last snapshot are lost, and \
             messages that were done since then come again"
        );
    }
    Ok(())
}

/// None where it may not be asked.
async fn info(store: &Store, section: &str) -> Result<Option<String>, QueueError> {
    let target = store.target();
    match store.ask(&target, cmd("INFO").arg(section)).await {
        Ok(info) => Ok(Some(info)),
        Err(error) if error.to_string().to_lowercase().contains("noperm") => {
            tracing::warn!(%target, %error, "cannot see whether Redis keeps what it is sent");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A line `name:value` of what INFO tells.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
}

fn is_too_old(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < VERSION_MIN,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_info_is_found_by_its_name() {
        let info = "# Server\r\nredis_version:7.0.15\r\nredis_version_extra:1\r\n";
        assert_eq!((field(info, "redis_version"), field(info, "version")), (Some("7.0.15"), None));
        for (version, expect) in [("6.0.16", true), ("5.0", true), ("6.2.0", false), ("10.0.1", false), ("x", false)] {
            assert_eq!(is_too_old(version), expect, "{version}");
        }
    }
}
