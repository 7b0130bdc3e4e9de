//! The ingress port: where producers send messages by HTTP, and where callbacks come in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;
use wasq_core::schema::{Size, Time};

use super::Config;
use super::rate::Rate;
use crate::http_port::PortLimits;

/// The ingress port.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ingress {
    /// Where it listens, such as `0.0.0.0:8080`. Default: nowhere.
    pub listen: Option<SocketAddr>,
    /// The queue of types that name none: a name in `queues` or `outlets`. Default: the only one of
    /// `queues`.
    pub queue: Option<String>,
    /// Whether messages are taken without a token. Default: true where `listen` is this machine
    /// alone (loopback) and no token is named, false elsewhere.
    pub anonymous: Option<bool>,
    /// A request's body: 1 KiB to 64 MiB. Default 1 MiB.
    #[schemars(with = "Size")]
    pub max_body: ByteSize,
    /// Messages of one request: 1 to 10,000. Default 1,000.
    pub max_messages: usize,
    /// The body of a callback: 1 B to 256 KiB. Default 64 KiB.
    #[schemars(with = "Size")]
    pub max_callback: ByteSize,
    /// Connections at once: 1 to 100,000. Default 1,024. What is over it waits.
    pub max_connections: usize,
    /// How long a request's head may take, and how long an idle connection stays open: 100 ms to 1
    /// h. Default 10 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub header_timeout: Duration,
    /// How long a request may take as a whole, with its body and its answer: 1 s to 1 h. Default 30
    /// s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub request_timeout: Duration,
    /// How long one connection is used; then the client makes another: 1 s to 1 day. Default 10
    /// min.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub connection_time: Duration,
    /// A PEM file with the port's certificate and those that vouch for it. With it the port speaks
    /// TLS alone.
    pub tls_certificate: Option<PathBuf>,
    /// A PEM file with the certificate's private key.
    pub tls_key: Option<PathBuf>,
    /// Who may send, by the names that the log has for them.
    pub tokens: BTreeMap<String, TokenConfig>,
    /// What is said of single types.
    pub types: BTreeMap<String, IngressTypeConfig>,
}

/// A bearer token.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// The token: a name in `secrets`.
    pub secret: String,
    /// The types that it may send, exactly or with a `*` at the end. Default: all.
    #[serde(default = "all_types")]
    pub types: Vec<String>,
    /// How many messages it may send, such as `100/s`. Default: any number.
    pub rate: Option<Rate>,
}

fn all_types() -> Vec<String> {
    vec!["*".into()]
}

/// A type of messages.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IngressTypeConfig {
    /// The queue that its messages go to. Default: the port's `queue`.
    pub queue: Option<String>,
    /// A file with the JSON Schema of its bodies. Default: any body is taken.
    pub schema: Option<PathBuf>,
    /// The media types of its bodies. Default `["application/json"]`.
    pub content_types: Vec<String>,
    /// Messages that may wait in its queue, by the last sample of it. Default: any number.
    pub max_depth: Option<u64>,
    /// How old the message may be that the host has received last from its queue. Default: as old
    /// as it likes.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<Time>")]
    pub max_lag: Option<Duration>,
    /// How a webhook signs its requests. It stands for a token.
    pub signature: Option<SignatureConfig>,
}

impl Default for IngressTypeConfig {
    fn default() -> Self {
        Self {
            queue: None,
            schema: None,
            content_types: vec!["application/json".into()],
            max_depth: None,
            max_lag: None,
            signature: None,
        }
    }
}

/// An HMAC with SHA-256 over the body as it came, in hexadecimal.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignatureConfig {
    /// The key: a name in `secrets`.
    pub secret: String,
    /// The header that has the signature. Default `x-hub-signature-256`.
    #[serde(default = "signature_header")]
    pub header: String,
    /// What stands before it there. Default `sha256=`.
    #[serde(default = "signature_prefix")]
    pub prefix: String,
    /// The header that has the time of the request, in seconds since 1970. With it, what is signed
    /// is the time, a full stop, and the body. Default: none.
    pub timestamp_header: Option<String>,
    /// How far that time may be from the host's: 1 s to 1 day. Default 5 min.
    #[serde(default = "tolerance", with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub tolerance: Duration,
}

fn signature_header() -> String {
    "x-hub-signature-256".into()
}

fn signature_prefix() -> String {
    "sha256=".into()
}

fn tolerance() -> Duration {
    Duration::from_secs(5 * 60)
}

impl Default for Ingress {
    fn default() -> Self {
        Self {
            listen: None,
            queue: None,
            anonymous: None,
            max_body: ByteSize::mib(1),
            max_messages: 1_000,
            max_callback: ByteSize::kib(64),
            max_connections: 1_024,
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            connection_time: Duration::from_secs(10 * 60),
            tls_certificate: None,
            tls_key: None,
            tokens: BTreeMap::new(),
            types: BTreeMap::new(),
        }
    }
}

impl Ingress {
    /// Whether messages are taken without a token.
    pub fn takes_anonymous(&self) -> bool {
        let is_loopback = self.listen.is_some_and(|addr| addr.ip().is_loopback());
        self.anonymous.unwrap_or(is_loopback && self.tokens.is_empty())
    }

    /// What its clients may take of the host.
    pub fn limits(&self) -> PortLimits {
        PortLimits {
            table: "ingress",
            max_connections: self.max_connections,
            header_timeout: self.header_timeout,
            request_timeout: self.request_timeout,
            connection_time: self.connection_time,
        }
    }

    /// Counts relative paths from the config's directory.
    pub(super) fn rebase(&mut self, base: &Path) {
        let schemas = self.types.values_mut().filter_map(|kind| kind.schema.as_mut());
        for path in schemas.chain(&mut self.tls_certificate).chain(&mut self.tls_key) {
            *path = base.join(&*path);
        }
    }
}

impl Config {
    /// The queue that the ingress port sends a type's messages to: a name in the config.
    pub fn ingress_queue(&self, kind: &str) -> Option<&str> {
        let of_type = self.ingress.types.get(kind).and_then(|kind| kind.queue.as_deref());
        let only = || self.queues.keys().next().filter(|_| self.queues.len() == 1).map(String::as_str);
        of_type.or(self.ingress.queue.as_deref()).or_else(only)
    }

    /// What is wrong with the ingress port: key, value and rule.
    pub(super) fn ingress_fault(&self) -> Option<(String, String, String)> {
        let ingress = &self.ingress;
        let fault = |field: &str, value: String, rule: &str| Some((format!("ingress.{field}"), value, rule.to_owned()));
        let is_queue = |name: &str| self.queues.contains_key(name) || self.outlets.contains_key(name);
        let no_queue = |name: &str| format!("add [queues.{name}], or [outlets.{name}] if it is only sent to");
        let is_between = |time: Duration, least_ms: u64, most_s: u64| {
            (Duration::from_millis(least_ms)..=Duration::from_secs(most_s)).contains(&time)
        };
        if let Some(queue) = ingress.queue.as_deref().filter(|queue| !is_queue(queue)) {
            return fault("queue", format!("{queue:?}"), &no_queue(queue));
        }
        if !(ByteSize::kib(1)..=ByteSize::mib(64)).contains(&ingress.max_body) {
            return fault("max_body", ingress.max_body.to_string(), "use 1 KiB to 64 MiB");
        }
        if !(1..=10_000).contains(&ingress.max_messages) {
            return fault("max_messages", ingress.max_messages.to_string(), "use 1 to 10000");
        }
        if !(ByteSize::b(1)..=ByteSize::kib(256)).contains(&ingress.max_callback) {
            return fault("max_callback", ingress.max_callback.to_string(), "use 1 B to 256 KiB");
        }
        if !(1..=100_000).contains(&ingress.max_connections) {
            return fault("max_connections", ingress.max_connections.to_string(), "use 1 to 100000");
        }
        for (field, time, least_ms, most_s, rule) in [
            ("header_timeout", ingress.header_timeout, 100, 3_600, "use 100 ms to 1 h"),
            ("request_timeout", ingress.request_timeout, 1_000, 3_600, "use 1 s to 1 h"),
            ("connection_time", ingress.connection_time, 1_000, 86_400, "use 1 s to 1 day"),
        ] {
            if !is_between(time, least_ms, most_s) {
                return fault(field, format!("{time:?}"), rule);
            }
        }
        if ingress.tls_certificate.is_some() != ingress.tls_key.is_some() {
            let rule = "TLS needs both `tls_certificate` and `tls_key`";
            return fault("tls_certificate", "one of the two is not there".into(), rule);
        }
        for (name, token) in &ingress.tokens {
            if !self.secrets.contains_key(&token.secret) {
                let rule = format!("add [secrets.{}]", token.secret);
                return fault(&format!("tokens.{name}.secret"), format!("{:?}", token.secret), &rule);
            }
            if let Some(kind) = token.types.iter().find(|kind| !is_pattern(kind)) {
                let rule = "name a type, or write a `*` at the end for all that begin so";
                return fault(&format!("tokens.{name}.types"), format!("{kind:?}"), rule);
            }
        }
        for (name, kind) in &ingress.types {
            let key = |field: &str| format!("types.{name}.{field}");
            if let Some(queue) = kind.queue.as_deref().filter(|queue| !is_queue(queue)) {
                return fault(&key("queue"), format!("{queue:?}"), &no_queue(queue));
            }
            let is_polled = self.ingress_queue(name).is_some_and(|queue| self.queues.contains_key(queue));
            if (kind.max_depth.is_some() || kind.max_lag.is_some()) && !is_polled {
                let field = if kind.max_depth.is_some() { "max_depth" } else { "max_lag" };
                let rule = "a host knows it of the queues that it polls alone: those in `queues`";
                return fault(&key(field), "set for another queue".into(), rule);
            }
            if let Some(signature) = &kind.signature {
                if !self.secrets.contains_key(&signature.secret) {
                    let rule = format!("add [secrets.{}]", signature.secret);
                    return fault(&key("signature.secret"), format!("{:?}", signature.secret), &rule);
                }
                let headers = [Some(&signature.header), signature.timestamp_header.as_ref()];
                let bad = headers.into_iter().flatten().find(|name| name.parse::<http::HeaderName>().is_err());
                if let Some(header) = bad {
                    return fault(&key("signature.header"), format!("{header:?}"), "use the name of a header");
                }
                if !is_between(signature.tolerance, 1_000, 86_400) {
                    let value = format!("{:?}", signature.tolerance);
                    return fault(&key("signature.tolerance"), value, "use 1 s to 1 day");
                }
            }
        }
        let types_have_queues = ingress.types.keys().all(|kind| self.ingress_queue(kind).is_some());
        if ingress.listen.is_some()
            && (!types_have_queues || (ingress.types.is_empty() && self.ingress_queue("").is_none()))
        {
            let rule = "there are several queues; say which one messages go to, here or as ingress.types.TYPE.queue";
            return fault("queue", "not there".into(), rule);
        }
        let has_signatures = ingress.types.values().any(|kind| kind.signature.is_some());
        let nobody = ingress.tokens.is_empty() && !has_signatures && !ingress.takes_anonymous();
        if let Some(listen) = ingress.listen.filter(|_| nobody && ingress.anonymous.is_none()) {
            let rule =
                "other machines can reach it; name who may send in [ingress.tokens.NAME], or say `anonymous = true`";
            return fault("listen", listen.to_string(), rule);
        }
        None
    }
}

fn is_pattern(kind: &str) -> bool {
    !kind.is_empty() && kind.find('*').is_none_or(|at| at == kind.len() - 1)
}

#[cfg(test)]
mod tests;
