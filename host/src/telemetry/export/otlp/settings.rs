//! Where to send, from OpenTelemetry's own environment variables and the config.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::config::Telemetry;

/// OTLP's default for one call.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What to send, where and how.
#[derive(Debug)]
pub struct Settings {
    pub metrics_url: Option<String>,
    pub traces_url: Option<String>,
    /// Often a token: never shown.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub timeout: Duration,
    pub export_interval: Duration,
}

/// What is wrong with a setting.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("{name} is `{value}`; {rule}")]
    Value { name: &'static str, value: String, rule: &'static str },
    #[error("OTEL_EXPORTER_OTLP_HEADERS cannot be read; write it as name=value,name=value")]
    Headers,
}

impl Settings {
    /// `env` looks a variable up. An empty one counts as none, as OpenTelemetry has it.
    ///
    /// # Errors
    /// When a value cannot be used.
    pub fn new(config: &Telemetry, env: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let env = |name: &str| env(name).filter(|value| !value.trim().is_empty());
        let is_off = env("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let base = env("OTEL_EXPORTER_OTLP_ENDPOINT").or_else(|| config.otlp_endpoint.clone());
        let url = |signal: &'static str, own: &'static str, exporter: &str, path: &str| {
            if is_off || env(exporter).is_some_and(|value| value == "none") {
                return Ok(None);
            }
            let under = |base: &String| format!("{}/{path}", base.trim_end_matches('/'));
            let url = env(own).or_else(|| base.as_ref().map(under));
            url.map(|url| checked(signal, url)).transpose()
        };
        let settings = Self {
            metrics_url: url(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
                "OTEL_METRICS_EXPORTER",
                "v1/metrics",
            )?,
            traces_url: url(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "OTEL_TRACES_EXPORTER",
                "v1/traces",
            )?,
            headers: env("OTEL_EXPORTER_OTLP_HEADERS").map_or(Ok(Vec::new()), |text| headers(&text))?,
            timeout: millis("OTEL_EXPORTER_OTLP_TIMEOUT", &env)?.unwrap_or(TIMEOUT),
            export_interval: millis("OTEL_METRIC_EXPORT_INTERVAL", &env)?.unwrap_or(config.export_interval),
        };
        match env("OTEL_EXPORTER_OTLP_PROTOCOL") {
            Some(value) if value != "http/protobuf" && settings.sends() => Err(SettingsError::Value {
                name: "OTEL_EXPORTER_OTLP_PROTOCOL",
                value,
                rule: "the host speaks http/protobuf, on a collector's port 4318",
            }),
            Some(_) | None => Ok(settings),
        }
    }

    fn sends(&self) -> bool {
        self.metrics_url.is_some() || self.traces_url.is_some()
    }
}

fn checked(name: &'static str, url: String) -> Result<String, SettingsError> {
    match url::Url::parse(&url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => Ok(url),
        Ok(_) | Err(_) => {
            Err(SettingsError::Value { name, value: url, rule: "use a URL such as http://localhost:4318" })
        }
    }
}

fn millis(name: &'static str, env: &impl Fn(&str) -> Option<String>) -> Result<Option<Duration>, SettingsError> {
    let Some(value) = env(name) else { return Ok(None) };
    match value.parse::<u64>() {
        Ok(ms) if (1..=3_600_000).contains(&ms) => Ok(Some(Duration::from_millis(ms))),
        Ok(_) | Err(_) => Err(SettingsError::Value { name, value, rule: "use milliseconds, 1 to 3600000" }),
    }
}

fn headers(text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, SettingsError> {
    let header = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let value = url::form_urlencoded::parse(format!("v={}", value.trim().replace('+', "%2B")).as_bytes())
            .next()?
            .1
            .into_owned();
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::from_bytes(name.trim().as_bytes()).ok()?, value))
    };
    text.split(',').map(|pair| header(pair).ok_or(SettingsError::Headers)).collect()
}

#[cfg(test)]
mod tests;
