//! What the operator says about outbound HTTP: where it may go, its secrets, and the bounds of its
//! limits.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use wasq_core::schema::Time;

use super::{Limits, Secret};

/// What holds for every plugin's outbound HTTP.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Egress {
    /// `host:port` pairs that may be reached although they resolve to a private or loopback
    /// address.
    pub open_hosts: Vec<String>,
    /// A PEM file of certificate authorities that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// The proxy for guests' requests: its URL, or `env` for HTTPS_PROXY, HTTP_PROXY and NO_PROXY.
    /// Default: none, whatever the environment says.
    pub proxy: Option<Secret>,
    /// For finding an address and connecting to it, each address's share included: 1 ms to 1 min.
    /// Default 10 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub connect_timeout: Duration,
    /// How long a connection is kept that nobody uses: 1 s to 1 h. Default 60 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub idle_timeout: Duration,
    /// Unused connections that a plugin keeps to one host: 0 to 1,000. Default 32.
    pub idle_connections: usize,
    /// How often secrets that are with AWS are fetched again: 1 s to 1 day. Default 5 min.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub secrets_refresh: Duration,
}

impl Default for Egress {
    fn default() -> Self {
        Self {
            open_hosts: Vec::new(),
            ca_file: None,
            proxy: None,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            idle_connections: 32,
            secrets_refresh: Duration::from_secs(5 * 60),
        }
    }
}

/// Where a secret is: one of the four.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SecretSource {
    /// A variable of the host's environment, read at its start.
    pub env: Option<String>,
    /// A file. It is read again, at most every two seconds, while requests need it.
    pub file: Option<PathBuf>,
    /// A secret's name or ARN in AWS Secrets Manager.
    pub secretsmanager: Option<String>,
    /// With `secretsmanager`: the secret is a JSON object, and this is the key in it.
    pub field: Option<String>,
    /// A parameter's name or ARN in SSM Parameter Store.
    pub ssm: Option<String>,
}

/// Where a secret is, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretLocation {
    Env(String),
    File(PathBuf),
    /// The `field`, if any, is a key of the JSON object there.
    Aws {
        at: AwsSecretLocation,
        field: Option<String>,
    },
}

/// What one call to AWS gets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AwsSecretLocation {
    SecretsManager(String),
    Ssm(String),
}

impl std::fmt::Display for AwsSecretLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SecretsManager(name) => write!(f, "the secret `{name}` in Secrets Manager"),
            Self::Ssm(name) => write!(f, "the parameter `{name}` in Parameter Store"),
        }
    }
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
        let refresh = Duration::from_secs(1)..=Duration::from_secs(24 * 3_600);
        let connections = (self.idle_connections > 1_000)
            .then(|| ("egress.idle_connections".into(), self.idle_connections.to_string(), "use 0 to 1000"));
        duration("connect_timeout", self.connect_timeout, connect, "use 1 ms to 1 min")
            .or_else(|| duration("idle_timeout", self.idle_timeout, idle, "use 1 s to 1 h"))
            .or_else(|| duration("secrets_refresh", self.secrets_refresh, refresh, "use 1 s to 1 day"))
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

    /// Where the secret is; none if that is said not at all, or more than once.
    pub fn location(&self) -> Option<SecretLocation> {
        let field = self.field.clone();
        match (&self.env, &self.file, &self.secretsmanager, &self.ssm) {
            (Some(name), None, None, None) if field.is_none() => Some(SecretLocation::Env(name.clone())),
            (None, Some(path), None, None) if field.is_none() => Some(SecretLocation::File(path.clone())),
            (None, None, Some(name), None) => {
                Some(SecretLocation::Aws { at: AwsSecretLocation::SecretsManager(name.clone()), field })
            }
            (None, None, None, Some(name)) if field.is_none() => {
                Some(SecretLocation::Aws { at: AwsSecretLocation::Ssm(name.clone()), field })
            }
            _ => None,
        }
    }

    /// `with_aws` says whether this build can ask AWS for secrets.
    pub(super) fn fault(&self, name: &str, with_aws: bool) -> Option<Fault> {
        let name_ok = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(name_ok) {
            return Some(("secrets".into(), format!("`{name}`"), "name a secret with a-z, A-Z, 0-9, `_` and `-`"));
        }
        let fault = |value: &str, rule| Some((format!("secrets.{name}"), value.to_owned(), rule));
        match self.location() {
            None => fault(
                "not said, or said twice",
                "write one of { env = \"NAME\" }, { file = \"/path\" }, { secretsmanager = \"NAME\" }, with a `field` if it \
                 is JSON, or { ssm = \"/path/name\" }",
            ),
            Some(SecretLocation::Env(_) | SecretLocation::File(_)) => None,
            Some(SecretLocation::Aws { .. }) if !with_aws => fault(
                "with AWS",
                "this build cannot ask there: build it with `--features aws-secrets`, or use env or file",
            ),
            // ECS writes the JSON key, a stage and a version behind the ARN.
            Some(SecretLocation::Aws { at: AwsSecretLocation::SecretsManager(arn), .. })
                if arn.matches(':').count() > 6 =>
            {
                fault(&format!("`{arn}`"), "end the ARN with the secret's name, and write the JSON key as `field`")
            }
            Some(SecretLocation::Aws {
                at: AwsSecretLocation::SecretsManager(id) | AwsSecretLocation::Ssm(id),
                ..
            }) => {
                if id.is_empty() {
                    fault("empty", "write the name or the ARN")
                } else {
                    None
                }
            }
        }
    }
}

const MS: Duration = Duration::from_millis(1);
const HOURS_12: Duration = Duration::from_secs(12 * 60 * 60);
const GIB: usize = 1024 * 1024 * 1024;
const TIB: usize = 1024 * GIB;

impl Limits {
    /// The first limit of outbound HTTP that is out of its bounds.
    pub(super) fn http_fault(&self) -> Option<Fault> {
        let numbers = [
            ("requests", self.requests, 0..=100_000, "use 0 to 100000"),
            ("requests_at_once", self.requests_at_once, 1..=1_000, "use 1 to 1000"),
            ("request_bytes", self.request_bytes, 0..=GIB, "use 0 to 1073741824 (1 GiB)"),
            ("signed_bytes", self.signed_bytes, 0..=GIB, "use 0 to 1073741824 (1 GiB)"),
            ("signed_total_bytes", self.signed_total_bytes, 0..=TIB, "use 0 to 1099511627776 (1 TiB)"),
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

    /// Memory for the headers that a guest makes: what the engine counts for each is more than its
    /// bytes.
    pub fn header_memory_bytes(&self) -> usize {
        2 * self.header_bytes + HEADER_OVERHEAD_BYTES * self.headers
    }
}

/// What a header takes beside its name's and value's bytes; about twice what it is on 64-bit
/// machines.
const HEADER_OVERHEAD_BYTES: usize = 256;
