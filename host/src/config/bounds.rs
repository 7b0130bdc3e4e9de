//! The least and the most that each limit may be. What a limit guards is said beside its field.
//!
//! The upper bounds keep a slip of the keyboard from being no limit at all, and sums of durations
//! from overflowing.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::Config;

/// A value outside its bounds.
pub struct OutOfBounds {
    pub key: String,
    pub value: String,
    pub rule: String,
}

/// The most that `limits.key_bytes` and `limits.reason_bytes` may be. A dead letter has both.
pub const KEY_BYTES_MAX: usize = 256 * 1024;
pub const REASON_BYTES_MAX: usize = 64 * 1024;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOURS_12: Duration = Duration::from_secs(12 * 60 * 60);

/// Checks the limits, and what the operator says of single plugins. Those of HTTP are checked where
/// they are used.
pub fn check(config: &Config) -> Result<(), OutOfBounds> {
    let limits = &config.limits;
    for (name, value, bounds) in [
        ("max_instances", u64::from(limits.max_instances), 1..=10_000),
        ("max_memory", limits.max_memory.as_u64(), 64 * KIB..=4 * GIB),
        ("max_component", limits.max_component.as_u64(), KIB..=GIB),
        ("compile_memory", limits.compile_memory.as_u64(), 64 * MIB..=1024 * GIB),
        ("core_instances", u64::from(limits.core_instances), 1..=1_000),
        ("memories", u64::from(limits.memories), 1..=16),
        ("tables", u64::from(limits.tables), 1..=64),
        ("table_elements", limits.table_elements as u64, 1..=1_000_000),
        ("open_handles", limits.open_handles as u64, 16..=1_000_000),
        ("key_bytes", limits.key_bytes as u64, 36..=KEY_BYTES_MAX as u64),
        ("result_bytes", limits.result_bytes as u64, 0..=256 * KIB),
        ("reason_bytes", limits.reason_bytes as u64, 16..=REASON_BYTES_MAX as u64),
        ("log_bytes", limits.log_bytes as u64, 0..=64 * MIB),
        ("log_records", limits.log_records as u64, 0..=1_000_000),
        ("random_bytes", limits.random_bytes, 1..=64 * MIB),
        // A message and what it comes with must fit.
        ("hostcall_bytes", limits.hostcall_bytes as u64, 2 * MIB..=GIB),
        ("steps", limits.steps as u64, 0..=10_000),
        ("waits", limits.waits as u64, 0..=1_000),
        ("step_bytes", limits.step_bytes as u64, 0..=64 * MIB),
        ("step_total_bytes", limits.step_total_bytes as u64, 0..=GIB),
        ("payload_bytes", limits.payload_bytes as u64, 0..=GIB),
        ("outbox_messages", limits.outbox_messages as u64, 0..=10_000),
        ("outbox_bytes", limits.outbox_bytes as u64, 0..=GIB),
        ("outbox_depth", u64::from(limits.outbox_depth), 1..=10_000),
        ("group_members", limits.group_members as u64, 1..=10_000),
        ("max_crashes", u64::from(limits.max_crashes), 1..=1_000),
        ("breaker_failures", u64::from(limits.breaker_failures), 1..=1_000_000),
        ("rate_waiting", limits.rate_waiting as u64, 1..=100_000),
        ("rate_keys", limits.rate_keys as u64, 100..=1_000_000),
        ("hidden_messages", limits.hidden_messages as u64, 0..=1_000_000),
        ("concurrency_keys", limits.concurrency_keys as u64, 100..=1_000_000),
        ("fair_hidden", limits.fair_hidden as u64, 100..=100_000),
        ("cost_keys", limits.cost_keys as u64, 1..=1_000),
        ("breaker_dependencies", limits.breaker_dependencies as u64, 1..=1_024),
    ] {
        within(&format!("limits.{name}"), value, bounds)?;
    }
    // What no call can lift out of the guest, no step can record.
    let steps = limits.step_bytes as u64;
    within("limits.step_bytes", steps, 0..=limits.hostcall_bytes as u64)
        .map_err(|out| OutOfBounds { rule: format!("{} (limits.hostcall_bytes)", out.rule), ..out })?;
    for (name, value, bounds) in [
        ("max_timeout", limits.max_timeout, MS..=HOURS_12),
        ("compile_time", limits.compile_time, Duration::from_secs(1)..=60 * MINUTE),
        ("permit_wait", limits.permit_wait, Duration::ZERO..=HOURS_12),
        ("settle_grace", limits.settle_grace, Duration::ZERO..=HOURS_12),
        ("breaker_probe", limits.breaker_probe, MS..=MINUTE),
        ("pause_refresh", limits.pause_refresh, Duration::from_millis(100)..=MINUTE),
        ("pause_hold", limits.pause_hold, Duration::from_secs(1)..=HOURS_12),
        ("rate_wait", limits.rate_wait, Duration::ZERO..=60 * MINUTE),
        ("rate_hold", limits.rate_hold, Duration::from_secs(1)..=HOURS_12),
    ] {
        within_time(&format!("limits.{name}"), value, bounds)?;
    }
    within("drain_s", config.drain_s, 0..=3_600)?;
    let admin = &config.admin;
    within("admin.max_connections", admin.max_connections as u64, 1..=10_000)?;
    within_time("admin.header_timeout", admin.header_timeout, Duration::from_millis(100)..=60 * MINUTE)?;
    within_time("admin.request_timeout", admin.request_timeout, Duration::from_secs(1)..=60 * MINUTE)?;
    within_time("admin.connection_time", admin.connection_time, Duration::from_secs(1)..=2 * HOURS_12)?;
    for (name, value) in
        [("sample_interval", config.telemetry.sample_interval), ("export_interval", config.telemetry.export_interval)]
    {
        within_time(&format!("telemetry.{name}"), value, Duration::from_secs(1)..=60 * MINUTE)?;
    }
    let target = config.telemetry.backlog_target;
    within_time("telemetry.backlog_target", target, Duration::from_secs(10)..=2 * HOURS_12)?;
    for (name, plugin) in &config.plugins {
        let key = |field: &str| format!("plugins.{name}.{field}");
        if let Some(timeout) = plugin.timeout {
            within_time(&key("timeout"), timeout, MS..=HOURS_12)?;
        }
        if let Some(memory) = plugin.memory {
            within(&key("memory"), memory.as_u64(), 64 * KIB..=4 * GIB)?;
        }
        if let Some(max_concurrency) = plugin.max_concurrency {
            within(&key("max_concurrency"), max_concurrency as u64, 1..=10_000)?;
        }
    }
    Ok(())
}

fn within(key: &str, value: u64, bounds: RangeInclusive<u64>) -> Result<(), OutOfBounds> {
    let is_inside = bounds.contains(&value);
    inside(is_inside, key, value, format!("use {} to {}", bounds.start(), bounds.end()))
}

fn within_time(key: &str, value: Duration, bounds: RangeInclusive<Duration>) -> Result<(), OutOfBounds> {
    let is_inside = bounds.contains(&value);
    let [value, min, max] =
        [value, *bounds.start(), *bounds.end()].map(humantime_serde::re::humantime::format_duration);
    inside(is_inside, key, value, format!("use {min} to {max}"))
}

fn inside(is_inside: bool, key: &str, value: impl Display, rule: String) -> Result<(), OutOfBounds> {
    if is_inside { Ok(()) } else { Err(OutOfBounds { key: key.to_owned(), value: value.to_string(), rule }) }
}

#[cfg(test)]
mod tests;
