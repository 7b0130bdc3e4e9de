//! How Kafka's client is set up: what all of its uses have in common, and where its log goes.

use std::path::Path;

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::address::Address;
use super::config::{KafkaConfig, SaslMechanism};

/// How long a broker may leave a request unanswered. A commit at the end of an assignment waits no
/// longer than this either.
const SOCKET_TIMEOUT_MS: u32 = 10_000;
/// The waits between connections to a broker that does not answer: librdkafka's first, and a bound
/// that lets a host come back soon.
const RECONNECT_MS: u32 = 100;
const RECONNECT_MAX_MS: u32 = 2_000;
/// The longest line of librdkafka's log that is passed on, in characters.
const LOG_MAX_CHARS: usize = 500;

/// What every client of one Kafka is made with.
pub fn common(config: &KafkaConfig, address: &Address) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("client.id", "wasq")
        .set("bootstrap.servers", &address.brokers)
        .set("socket.timeout.ms", SOCKET_TIMEOUT_MS.to_string())
        .set("socket.connection.setup.timeout.ms", config.connect_timeout.as_millis().max(1_000).to_string())
        .set("reconnect.backoff.ms", RECONNECT_MS.to_string())
        .set("reconnect.backoff.max.ms", RECONNECT_MAX_MS.to_string())
        .set("allow.auto.create.topics", "false")
        .set_log_level(RDKafkaLogLevel::Warning);
    let protocol = match (&address.user, address.is_tls) {
        (None, false) => "plaintext",
        (None, true) => "ssl",
        (Some(_), false) => "sasl_plaintext",
        (Some(_), true) => "sasl_ssl",
    };
    client.set("security.protocol", protocol);
    if let Some(user) = &address.user {
        let mechanism = match config.sasl_mechanism {
            SaslMechanism::Plain => "PLAIN",
            SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
            SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
        };
        client.set("sasl.mechanism", mechanism).set("sasl.username", &user.name);
        client.set("sasl.password", &user.password.0);
    }
    if address.is_tls {
        // Where the system has its certificates, also for an OpenSSL that was linked into the host.
        client.set("ssl.ca.location", "probe");
    }
    let files = [
        ("ssl.ca.location", &config.ca_file),
        ("ssl.certificate.location", &config.certificate_file),
        ("ssl.key.location", &config.key_file),
    ];
    for (name, file) in files {
        if let Some(file) = file {
            client.set(name, shown(file));
        }
    }
    client
}

fn shown(file: &Path) -> String {
    file.to_string_lossy().into_owned()
}

/// Takes what a client says beside its answers.
#[derive(Default)]
pub struct Listener {
    /// Why it cannot reach brokers, in its own words: the last time that it said so.
    reason: Mutex<Option<String>>,
}

impl Listener {
    /// What it said last.
    pub fn reason(&self) -> Option<String> {
        self.reason.lock().clone()
    }

    /// A line of its log.
    pub fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, "librdkafka: {}", bounded(message));
    }

    pub fn error(&self, error: &KafkaError, reason: &str) {
        let reason = bounded(reason);
        tracing::debug!(%error, "librdkafka: {reason}");
        // That all are away says nothing of why.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.reason.lock() = Some(reason);
        }
    }
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.error(&error, reason);
    }
}

/// A text of librdkafka's as it is passed on: one line, and not too long.
fn bounded(text: &str) -> String {
    text.chars().take(LOG_MAX_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
