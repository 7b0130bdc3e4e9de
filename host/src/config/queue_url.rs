//! The `url` of a queue or an outlet.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

/// The `url` of a queue. It may have a password, which is not shown.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct QueueUrl(pub String);

impl fmt::Debug for QueueUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
            Some((scheme, place)) => write!(f, "{:?}", format!("{scheme}://***@{place}")),
            None => self.0.fmt(f),
        }
    }
}
