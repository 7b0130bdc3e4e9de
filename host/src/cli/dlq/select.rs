//! Which letters a command means: the filters that all of them have.

use std::time::Duration;

use clap::Args;
use wasq_core::message::UnixMs;

use crate::dlq::filter::Filter;

/// The names of the filters, for commands that want one of them.
pub const FILTERS: [&str; 8] =
    ["kind", "class", "plugin", "reason", "older_than", "newer_than", "group_id", "fingerprint"];

#[derive(Args, Clone)]
#[command(next_help_heading = "Filters (a letter must meet all that are given)")]
pub struct Filters {
    /// Letters of this type.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Letters of this class: retry, reject, timeout, trap, …; `moved-by-sqs` for those without an
    /// envelope.
    #[arg(long)]
    class: Option<String>,
    /// Letters of this plugin.
    #[arg(long)]
    plugin: Option<String>,
    /// Letters whose reason contains this text.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Letters that failed last longer ago than this: 90s, 15m, 2h, 3d. Without an envelope: that
    /// were sent so long ago.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    older_than: Option<Duration>,
    /// Letters that failed last within this time.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    newer_than: Option<Duration>,
    /// Letters of this message group.
    #[arg(long, value_name = "GROUP")]
    group_id: Option<String>,
    /// Letters with this fingerprint, as `wasq dlq groups` shows it.
    #[arg(long, value_name = "FINGERPRINT")]
    fingerprint: Option<String>,
}

impl Filters {
    /// The filter, with its ages counted from `now`.
    pub fn at(&self, now: UnixMs) -> Filter {
        let ago = |age: &Duration| UnixMs(now.0.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)));
        Filter {
            kind: self.kind.clone(),
            class: self.class.clone(),
            plugin: self.plugin.clone(),
            reason: self.reason.clone(),
            group: self.group_id.clone(),
            fingerprint: self.fingerprint.as_ref().map(|text| text.to_ascii_lowercase()),
            failed_by: self.older_than.as_ref().map(ago),
            failed_since: self.newer_than.as_ref().map(ago),
        }
    }
}

/// `90s`, `15m`, `2h 30m`, `3d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime_serde::re::humantime::parse_duration(text).map_err(|error| format!("{error}; write 90s, 15m, 2h or 3d"))
}

/// `50` or `50/s`: a second.
pub fn rate(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    match number.parse() {
        Ok(per_s @ 1..) => Ok(per_s),
        Ok(0) | Err(_) => Err("write letters a second, from 1: 50 or 50/s".into()),
    }
}

/// A share from 0 to 1.
pub fn ratio(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("write a share from 0 to 1: 0.1 is one of ten".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_ratios_are_read() {
        assert_eq!((rate("50"), rate("50/s")), (Ok(50), Ok(50)));
        assert!(["0", "", "x", "1.5", "5/m", "-1"].iter().all(|text| rate(text).is_err()));
        assert_eq!((ratio("0"), ratio("0.25"), ratio("1")), (Ok(0.0), Ok(0.25), Ok(1.0)));
        assert!(["-0.1", "1.1", "nan", "10%"].iter().all(|text| ratio(text).is_err()));
    }
}
