//! What the host tells of itself, and to whom.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wasq_core::schema::Time;

/// Metrics, traces and logs. `/metrics` on the admin port is always there.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// How logs are written to stderr, unless `--log-format` or `WASQ_LOG_FORMAT` says so.
    pub log_format: Option<LogFormat>,
    /// How often the queues are asked for their counts: 1 s to 1 h. Default 15 s: two calls a
    /// queue.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub sample_interval: Duration,
    /// Whether a sample looks into a DLQ that is not empty, for the age of its letters: a receive
    /// that hides nothing. Default true.
    pub peek_dlq: bool,
    /// Where metrics and traces are sent by OTLP over HTTP: the collector's base, such as
    /// `http://localhost:4318`. Default: what `OTEL_EXPORTER_OTLP_ENDPOINT` says, which goes before
    /// this; nothing is sent where neither does.
    pub otlp_endpoint: Option<String>,
    /// How often metrics are sent: 1 s to 1 h. Default 60 s. `OTEL_METRIC_EXPORT_INTERVAL`, in
    /// milliseconds, goes before it.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub export_interval: Duration,
    /// In what time a backlog is to be worked off: `/scale` wants as many hosts as that takes. 10 s
    /// to 1 day. Default 2 min.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub backlog_target: Duration,
    /// Whether metrics are written to stdout every minute for CloudWatch, in its embedded metric
    /// format. Default false.
    pub emf: bool,
}

/// How a log's records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log_format: None,
            sample_interval: Duration::from_secs(15),
            peek_dlq: true,
            otlp_endpoint: None,
            export_interval: Duration::from_secs(60),
            backlog_target: Duration::from_secs(120),
            emf: false,
        }
    }
}
