//! What the operator says about outbound HTTP: where it may go, its secrets, and the bounds of its limits.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::Limits;

/// What holds for every plugin's outbound HTTP.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Egress {
    /// `host:port` pairs that may be reached although they resolve to a private or loopback address.
    pub open_hosts: Vec<String>,
    /// A PEM file of certificate authorities that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// For finding an address and connecting to it, each address's share included: 1 ms to 1 min. Default 10 s.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long a connection is kept that nobody uses: 1 s to 1 h. Default 60 s.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// Unused connections that a plugin keeps to one host: 0 to 1,000. Default 32.
    pub idle_connections: usize,
}

impl Default for Egress {
    fn default() -> Self {
        Self {
            open_hosts: Vec::new(),
            ca_file: None,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            idle_connections: 32,
        }
    }
}

/// Where a secret is: one of the two.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecretSource {
    /// A variable of the host's environment, read at its start.
    pub env: Option<String>,
    /// A file. It is read again, at most every two seconds, while requests need it.
    pub file: Option<PathBuf>,
}

/// A key, its value, and the rule that it breaks.
pub(super) type Fault = (String, String, &'static str);

impl Egress {
    /// Counts relative paths from the config's directory.
    pub(super) fn rebase(&mut self, base: &Path) {
        if let Some(file) = &mut self.ca_file {
            *file = base.join(&*file);
        }
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        let duration = |key: &str, value: Duration, range: RangeInclusive<Duration>, rule| {
            (!range.contains(&value)).then(|| (format!("egress.{key}"), format!("{value:?}"), rule))
        };
        let connect = MS..=Duration::from_secs(60);
        let idle = Duration::from_secs(1)..=Duration::from_secs(3_600);
        let connections = (self.idle_connections > 1_000)
            .then(|| ("egress.idle_connections".into(), self.idle_connections.to_string(), "use 0 to 1000"));
        duration("connect_timeout", self.connect_timeout, connect, "use 1 ms to 1 min")
            .or_else(|| duration("idle_timeout", self.idle_timeout, idle, "use 1 s to 1 h"))
            .or(connections)
    }
}

impl SecretSource {
    /// Counts relative paths from the config's directory.
    pub(super) fn rebase(&mut self, base: &Path) {
        if let Some(file) = &mut self.file {
            *file = base.join(&*file);
        }
    }

    pub(super) fn fault(&self, name: &str) -> Option<Fault> {
        let name_ok = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(name_ok) {
            return Some(("secrets".into(), format!("`{name}`"), "name a secret with a-z, A-Z, 0-9, `_` and `-`"));
        }
        let rule = "write { env = \"NAME\" } or { file = \"/path\" }";
        match (&self.env, &self.file) {
            (Some(_), None) | (None, Some(_)) => None,
            (Some(_), Some(_)) => Some((format!("secrets.{name}"), "both env and file".into(), rule)),
            (None, None) => Some((format!("secrets.{name}"), "empty".into(), rule)),
        }
    }
}

const MS: Duration = Duration::from_millis(1);
const HOURS_12: Duration = Duration::from_secs(12 * 60 * 60);
const GIB: usize = 1024 * 1024 * 1024;

impl Limits {
    /// The first limit of outbound HTTP that is out of its bounds.
    pub(super) fn http_fault(&self) -> Option<Fault> {
        let numbers = [
            ("requests", self.requests, 0..=100_000, "use 0 to 100000"),
            ("requests_at_once", self.requests_at_once, 1..=1_000, "use 1 to 1000"),
            ("request_bytes", self.request_bytes, 0..=GIB, "use 0 to 1073741824 (1 GiB)"),
            ("response_bytes", self.response_bytes, 0..=GIB, "use 0 to 1073741824 (1 GiB)"),
            ("headers", self.headers, 1..=1_000, "use 1 to 1000"),
            ("header_bytes", self.header_bytes, 1_024..=1_048_576, "use 1024 to 1048576 (1 MiB)"),
            ("url_bytes", self.url_bytes, 64..=65_000, "use 64 to 65000"),
        ];
        let times = [
            ("first_byte", self.first_byte),
            ("between_bytes", self.between_bytes),
            ("request_time", self.request_time),
        ];
        let number = numbers.into_iter().find(|(_, value, range, _)| !range.contains(value));
        let number = number.map(|(key, value, _, rule)| (format!("limits.{key}"), value.to_string(), rule));
        number.or_else(|| {
            let (key, value) = times.into_iter().find(|(_, value)| !(MS..=HOURS_12).contains(value))?;
            Some((format!("limits.{key}"), format!("{value:?}"), "use 1 ms to 12 h"))
        })
    }

    /// Memory for the headers that a guest makes: what the engine counts for each is more than its bytes.
    pub fn header_memory_bytes(&self) -> usize {
        2 * self.header_bytes + HEADER_OVERHEAD_BYTES * self.headers
    }
}

/// What a header takes beside its name's and value's bytes; about twice what it is on 64-bit machines.
const HEADER_OVERHEAD_BYTES: usize = 256;
