//! From a request's headers and parameters to what travels with its message.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, header};
use jiff::Timestamp;
use serde::Deserialize;
use wasq_core::message::{AttributeValue, Attributes, KEY_ATTRIBUTE, TYPE_ATTRIBUTE, UnixMs};

use super::failure::Failure;
use crate::timers::deliver_at::{self, DELIVER_AT_ATTRIBUTE};

/// What the header of an attribute begins with; what follows is the attribute's name.
pub const ATTRIBUTE_PREFIX: &str = "x-wasq-attribute-";
/// The message group, for a FIFO queue or a fair queue.
pub const GROUP: &str = "x-wasq-group";
/// The idempotency key.
pub const KEY: &str = "idempotency-key";
const TRACE: &str = "traceparent";
/// The attribute with a body's media type, where that is not JSON.
pub const CONTENT_TYPE: &str = "content-type";

/// The parameters behind `?`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Seconds, or with a unit.
    pub delay: Option<String>,
    /// A time, as RFC 3339 has it.
    pub at: Option<String>,
    /// Whether a JSON array is several messages.
    pub batch: Option<bool>,
}

/// What all messages of a request have.
#[derive(Debug)]
pub struct Envelope {
    pub attributes: Attributes,
    pub key: Option<String>,
    pub group: Option<String>,
    pub delay_s: u32,
}

impl Envelope {
    /// `delays_up_to` is the longest delay of the queue's own.
    pub fn read(
        kind: &str,
        headers: &HeaderMap,
        parameters: &Parameters,
        delays_up_to: Duration,
        now: UnixMs,
    ) -> Result<Self, Failure> {
        let mut attributes = Attributes::from([(TYPE_ATTRIBUTE.to_owned(), AttributeValue::string(kind))]);
        for (name, value) in headers {
            let named = name.as_str().strip_prefix(ATTRIBUTE_PREFIX).filter(|named| !named.is_empty());
            let own = (name.as_str() == TRACE).then_some(TRACE);
            let Some(attribute) = named.or(own) else { continue };
            let is_own = [TYPE_ATTRIBUTE, KEY_ATTRIBUTE, CONTENT_TYPE].contains(&attribute);
            if is_own || attribute.starts_with("wasq") {
                return Err(Failure::bad(format!("the header `{name}` names an attribute of the host's own")));
            }
            let value = AttributeValue::string(text(name, value.as_bytes())?);
            if attributes.insert(attribute.to_owned(), value).is_some() {
                return Err(Failure::bad(format!("the attribute `{attribute}` is there twice")));
            }
        }
        if let Some(media) = headers.get(header::CONTENT_TYPE)
            && media != "application/json"
        {
            attributes
                .insert(CONTENT_TYPE.into(), AttributeValue::string(text(&header::CONTENT_TYPE, media.as_bytes())?));
        }
        let key = header_text(headers, KEY)?;
        let group = header_text(headers, GROUP)?;
        let wait = wait(parameters, now)?;
        let mut delay_s = 0;
        if wait > delays_up_to {
            let at = now.0.checked_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)).map(UnixMs);
            let at = at.and_then(deliver_at::value_of);
            let at = at.ok_or_else(|| Failure::bad("`delay`: a message is sent before the year 10000"))?;
            attributes.insert(DELIVER_AT_ATTRIBUTE.into(), at);
        } else {
            delay_s = wait.as_millis().div_ceil(1_000) as u32;
        }
        Ok(Self { attributes, key, group, delay_s })
    }
}

fn header_text(headers: &HeaderMap, name: &'static str) -> Result<Option<String>, Failure> {
    let name = HeaderName::from_static(name);
    let value = headers.get(&name).map(|value| text(&name, value.as_bytes())).transpose()?;
    match value {
        Some(value) if value.is_empty() => Err(Failure::bad(format!("the header `{name}` is empty"))),
        value => Ok(value),
    }
}

fn text(name: &HeaderName, value: &[u8]) -> Result<String, Failure> {
    let text = std::str::from_utf8(value).map_err(|_| Failure::bad(format!("the header `{name}` is not UTF-8")))?;
    Ok(text.trim().to_owned())
}

/// How long until the message is to be delivered. A time that has passed is now.
fn wait(parameters: &Parameters, now: UnixMs) -> Result<Duration, Failure> {
    match (&parameters.delay, &parameters.at) {
        (Some(_), Some(_)) => Err(Failure::bad("`delay` and `at` are two ways to say when; take one away")),
        (None, None) => Ok(Duration::ZERO),
        (Some(delay), None) => match delay.parse() {
            Ok(seconds) => Ok(Duration::from_secs(seconds)),
            Err(_) => humantime_serde::re::humantime::parse_duration(delay).map_err(|_| {
                Failure::bad("`delay` is no time; write seconds, or a unit with them, as 90s, 2h or 3days")
            }),
        },
        (None, Some(at)) => {
            let at: Timestamp = at
                .parse()
                .map_err(|_| Failure::bad("`at` is no time; write it as RFC 3339 has it: 2027-01-31T08:00:00Z"))?;
            let at_ms = u64::try_from(at.as_millisecond()).unwrap_or_default();
            Ok(Duration::from_millis(at_ms.saturating_sub(now.0)))
        }
    }
}
