//! Headers that the operator has the host set, with secrets in them, for one destination each.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use wasq_core::clock;

use super::destination::Destination;
use super::secrets::Secrets;
use crate::config::Secret;

/// What a template's secret begins with; a brace ends it.
const MARK: &str = "{secret:";

/// Headers that belong to HTTP itself. Set by the operator, they would break the request or send it
/// astray.
const RESERVED: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// One plugin's headers, by destination.
#[derive(Clone)]
pub struct Headers {
    destinations: Vec<(Destination, Vec<Header>)>,
    secrets: Arc<Secrets>,
}

#[derive(Clone)]
struct Header {
    name: HeaderName,
    parts: Vec<Part>,
}

#[derive(Clone)]
enum Part {
    Text(String),
    Secret(String),
}

/// A header that cannot be set. Its value is never shown: it may have a secret in it.
#[derive(Debug, thiserror::Error)]
#[error("plugins.{plugin}.headers.\"{destination}\"{header}: {reason}")]
pub struct HeaderError {
    plugin: String,
    destination: String,
    /// With a dot before it, if it is about one.
    header: String,
    reason: String,
}

/// A secret that the host does not have yet. The words are for the handler, whose failure has them
/// as its reason.
#[derive(Debug, thiserror::Error)]
#[error("the host could not fetch the secret `{name}` yet, which belongs to this request; its log and /readyz say why")]
pub struct NoSecret {
    name: String,
}

impl NoSecret {
    /// What the request depends on in vain, as breakers name it.
    pub fn dependency(&self) -> String {
        format!("secret {}", self.name)
    }
}

impl Headers {
    /// Reads a plugin's templates.
    ///
    /// # Errors
    /// When a destination is not one, or stands for several; when a header's name or text is none;
    /// when a secret is not among the config's.
    pub fn new(
        plugin: &str,
        config: &BTreeMap<String, BTreeMap<String, Secret>>,
        secrets: Arc<Secrets>,
    ) -> Result<Self, HeaderError> {
        let mut destinations = Vec::new();
        for (text, templates) in config {
            let refuse = |header: &str, reason: String| HeaderError {
                plugin: plugin.to_owned(),
                destination: text.clone(),
                header: if header.is_empty() { String::new() } else { format!(".{header}") },
                reason,
            };
            let destination = Destination::parse(text).map_err(|error| refuse("", error.to_string()))?;
            if destination.has_wildcard() {
                return Err(refuse(
                    "",
                    "name one host; a wildcard would send a secret to hosts that nobody named".into(),
                ));
            }
            let headers = templates.iter().map(|(name, template)| {
                Header::parse(name, &template.0, &secrets).map_err(|reason| refuse(name, reason))
            });
            destinations.push((destination, headers.collect::<Result<_, _>>()?));
        }
        Ok(Self { destinations, secrets })
    }

    /// The destinations that no rule of `allowed` covers: their headers are never sent.
    pub fn unused<'a>(&'a self, allowed: &'a [Destination]) -> impl Iterator<Item = &'a Destination> {
        let named = self.destinations.iter().map(|(destination, _)| destination);
        named.filter(|named| !allowed.iter().any(|rule| rule.covers(named)))
    }

    /// Sets the headers for this destination, in place of the guest's own of the same name.
    ///
    /// # Errors
    /// When a secret in them was never fetched: without it the request must not go out.
    pub async fn set(&self, scheme: &str, host: &str, port: u16, headers: &mut HeaderMap) -> Result<(), NoSecret> {
        let mut matching = Vec::new();
        for (named, set) in &self.destinations {
            if named.matches(scheme, host, port) {
                matching.extend(set);
            }
        }
        if matching.is_empty() {
            return Ok(());
        }
        let now = clock::now();
        if self.secrets.is_stale(now) {
            let secrets = self.secrets.clone();
            if let Err(error) = tokio::task::spawn_blocking(move || secrets.reread(now)).await {
                tracing::warn!(%error, "the secrets' files were not read again");
            }
        }
        for header in matching {
            headers.insert(header.name.clone(), header.value(&self.secrets)?);
        }
        Ok(())
    }
}

/// The names of the secrets in a template. One that is no template has names too, as far as it can
/// be read.
pub fn secrets_in(template: &str) -> impl Iterator<Item = &str> {
    template.split(MARK).skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
}

impl Header {
    fn parse(name: &str, template: &str, secrets: &Secrets) -> Result<Self, String> {
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "that is no header's name".to_owned())?;
        if RESERVED.contains(&parsed.as_str()) {
            return Err("this header is HTTP's own".into());
        }
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((text, after)) = rest.split_once(MARK) {
            let (secret, after) = after.split_once('}').ok_or("a `{secret:` has no `}`")?;
            if !secrets.contains(secret) {
                return Err(format!(
                    "no secret is named `{secret}`; add to the config:\n  [secrets]\n  {secret} = {{ env = \"{secret}\" }}"
                ));
            }
            parts.extend([Part::Text(text.to_owned()), Part::Secret(secret.to_owned())]);
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        let is_value = |part: &Part| match part {
            Part::Text(text) => HeaderValue::from_bytes(text.as_bytes()).is_ok(),
            Part::Secret(_) => true,
        };
        if !parts.iter().all(is_value) {
            return Err("its value has a line end or another control character in it".into());
        }
        Ok(Self { name: parsed, parts })
    }

    fn value(&self, secrets: &Secrets) -> Result<HeaderValue, NoSecret> {
        let mut bytes = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => bytes.extend_from_slice(text.as_bytes()),
                Part::Secret(name) => {
                    bytes.extend_from_slice(&secrets.value(name).ok_or_else(|| NoSecret { name: name.clone() })?);
                }
            }
        }
        let mut value = HeaderValue::from_bytes(&bytes).expect("each part was checked, and so is a header's value");
        // Shown as `Sensitive`, and kept out of HTTP/2's tables.
        value.set_sensitive(true);
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
