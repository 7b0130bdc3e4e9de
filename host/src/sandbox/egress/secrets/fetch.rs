//! Secrets that are with AWS: fetched beside the requests that use them, and again and again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;

#[cfg(feature = "aws-secrets")]
use super::stores::Stores;
use super::{Secrets, Stored, checked, lock, without_line_end};
use crate::config::{AwsConfig, AwsSecretLocation};

/// Calls to AWS at once.
const CALLS_AT_ONCE: usize = 8;
/// The first wait of a secret that was never fetched; it doubles up to `egress.secrets_refresh`.
const RETRY_FIRST: Duration = Duration::from_secs(1);

/// Keeps the secrets that are with AWS as they are there.
pub struct Fetcher {
    secrets: Arc<Secrets>,
    /// None where no secret is with AWS.
    stores: Option<Stores>,
    every: Duration,
}

/// A build without AWS's SDKs. Its config has no secret that would be asked for here.
#[cfg(not(feature = "aws-secrets"))]
struct Stores;

#[cfg(not(feature = "aws-secrets"))]
impl Stores {
    async fn connect(_: &AwsConfig) -> Self {
        Self
    }

    async fn fetch(&self, location: &AwsSecretLocation) -> Result<Vec<u8>, String> {
        Err(format!("this build cannot ask for {location}; build it with `--features aws-secrets`"))
    }
}

impl Fetcher {
    /// Fetches each secret once.
    pub async fn start(secrets: Arc<Secrets>, aws: &AwsConfig, every: Duration) -> Self {
        let stores = if secrets.locations().is_empty() { None } else { Some(Stores::connect(aws).await) };
        let fetcher = Self { secrets, stores, every };
        fetcher.fetch().await;
        fetcher
    }

    /// Fetches them again whenever it is time, and tells each time which are still missing. Ends
    /// when none is with AWS.
    pub async fn run(self, report: impl Fn(Vec<String>)) {
        let mut retry = RETRY_FIRST;
        while self.stores.is_some() {
            let missing = self.secrets.missing();
            let is_whole = missing.is_empty();
            report(missing);
            let wait = if is_whole { self.every } else { retry.min(self.every) };
            retry = if is_whole { RETRY_FIRST } else { (retry * 2).min(self.every) };
            tokio::time::sleep(wait).await;
            self.fetch().await;
        }
    }

    /// One round. What cannot be fetched keeps its last value, and the log says so.
    async fn fetch(&self) {
        let Some(stores) = &self.stores else { return };
        let calls = self.secrets.locations().into_iter().map(|(location, names)| async move {
            let answer = stores.fetch(&location).await;
            for name in names {
                self.secrets.note(&name, &location, &answer);
            }
        });
        futures::stream::iter(calls).buffer_unordered(CALLS_AT_ONCE).collect::<()>().await;
    }
}

impl Secrets {
    /// Where to ask, and whose value the answer is: the fields of one secret are of one version.
    fn locations(&self) -> BTreeMap<AwsSecretLocation, Vec<String>> {
        let mut locations: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, stored) in &self.0 {
            if let Stored::Aws { at, .. } = stored {
                locations.entry(at.clone()).or_default().push(name.clone());
            }
        }
        locations
    }

    /// The secrets that were never fetched, each with the reason.
    pub fn missing(&self) -> Vec<String> {
        let missing = self.0.iter().filter_map(|(name, stored)| match stored {
            Stored::Aws { kept, .. } => Some(format!("secret {name}: {}", lock(kept).as_ref().err()?)),
            Stored::Fixed(_) | Stored::File { .. } => None,
        });
        missing.collect()
    }

    fn note(&self, name: &str, location: &AwsSecretLocation, answer: &Result<Vec<u8>, String>) {
        let Some(Stored::Aws { kept, field, .. }) = self.0.get(name) else { return };
        let value = answer.clone().and_then(|bytes| match field {
            Some(field) => checked(picked(&bytes, field, location)?, &format!("`{field}` of {location}")),
            None => checked(without_line_end(bytes), &location.to_string()),
        });
        let mut kept = lock(kept);
        match (value, kept.is_ok()) {
            (Err(reason), true) => {
                tracing::warn!(secret = name, %reason, "a secret cannot be fetched again; its last value is used on");
            }
            (Err(reason), false) => {
                tracing::error!(secret = name, %reason, "a secret cannot be fetched; the requests that need it wait");
                *kept = Err(reason);
            }
            (Ok(value), _) => *kept = Ok(value),
        }
    }
}

/// The value of a key in a JSON object.
fn picked(bytes: &[u8], field: &str, location: &AwsSecretLocation) -> Result<Vec<u8>, String> {
    // The parser's own words could quote the secret.
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(bytes)
        .map_err(|_| format!("{location} is no JSON object; leave `field` out to take all of it"))?;
    match object.get(field) {
        Some(serde_json::Value::String(text)) => Ok(text.clone().into_bytes()),
        Some(serde_json::Value::Number(number)) => Ok(number.to_string().into_bytes()),
        Some(_) => Err(format!("`{field}` of {location} is neither a text nor a number")),
        None => Err(format!("{location} has no key `{field}`; correct `field`, or the secret")),
    }
}

#[cfg(test)]
mod tests;
