//! The admin port: where it listens, who may change anything through it, and what its clients may
//! take of the host.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use wasq_core::schema::Time;

use super::ADMIN_PORT;
use crate::http_port::PortLimits;

/// The admin port.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Where it listens. Default `127.0.0.1:9325`.
    pub listen: SocketAddr,
    /// Whether its dashboard may change anything: pause, resume, replay, discard. Default: true
    /// where `listen` is this machine alone (loopback), false elsewhere.
    pub actions: Option<bool>,
    /// Connections at once: 1 to 10,000. Default 64. What is over it waits.
    pub max_connections: usize,
    /// How long a request's head may take, and how long an idle connection stays open: 100 ms to 1
    /// h. Default 10 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub header_timeout: Duration,
    /// How long a request may take as a whole, with its body and its answer: 1 s to 1 h. Default 2
    /// min.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub request_timeout: Duration,
    /// How long one connection is used; then the client makes another: 1 s to 1 day. Default 10
    /// min.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub connection_time: Duration,
    /// A file with the token that the dashboard asks for. `WASQ_ADMIN_TOKEN` goes before it.
    /// Without one, a dashboard that listens on more than loopback shows nothing.
    pub token_file: Option<PathBuf>,
}

impl Admin {
    /// What its clients may take of the host.
    pub fn limits(&self) -> PortLimits {
        PortLimits {
            table: "admin",
            max_connections: self.max_connections,
            header_timeout: self.header_timeout,
            request_timeout: self.request_timeout,
            connection_time: self.connection_time,
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], ADMIN_PORT)),
            actions: None,
            max_connections: 64,
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(2 * 60),
            connection_time: Duration::from_secs(10 * 60),
            token_file: None,
        }
    }
}
