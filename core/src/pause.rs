//! What an operator has paused: a type or a queue, by whom, since when, and until when.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::message::UnixMs;

/// The longest name of a type or queue that can be paused, in bytes.
pub const NAME_MAX_BYTES: usize = 256;
/// What is kept of the name of whoever paused it, in characters.
const BY_MAX_CHARS: usize = 128;

/// What is paused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Target {
    /// A message type.
    Type(String),
    /// A queue, by its name in the config.
    Queue(String),
}

/// A pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub target: Target,
    pub by: String,
    pub at: UnixMs,
    /// When it passes by itself; never, where there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<UnixMs>,
}

/// Why something is no pause.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PauseError {
    #[error("`{0}` is no target; write type:NAME or queue:NAME")]
    Target(String),
    #[error("a name has 1 to {NAME_MAX_BYTES} bytes; this one has {0}")]
    Name(usize),
    #[error("it would end before it begins; give a time in the future")]
    Past,
}

impl Target {
    pub fn name(&self) -> &str {
        match self {
            Self::Type(name) | Self::Queue(name) => name,
        }
    }

    /// `type` or `queue`.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Type(_) => "type",
            Self::Queue(_) => "queue",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.what(), self.name())
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl FromStr for Target {
    type Err = PauseError;

    fn from_str(text: &str) -> Result<Self, PauseError> {
        let target = match text.split_once(':') {
            Some(("type", name)) => Self::Type(name.to_owned()),
            Some(("queue", name)) => Self::Queue(name.to_owned()),
            Some(_) | None => return Err(PauseError::Target(text.chars().take(NAME_MAX_BYTES).collect())),
        };
        match target.name().len() {
            1..=NAME_MAX_BYTES => Ok(target),
            bytes => Err(PauseError::Name(bytes)),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = PauseError;

    fn try_from(text: String) -> Result<Self, PauseError> {
        text.parse()
    }
}

impl Pause {
    /// # Errors
    /// See [`PauseError`].
    pub fn new(target: Target, by: &str, at: UnixMs, until: Option<UnixMs>) -> Result<Self, PauseError> {
        if until.is_some_and(|until| until <= at) {
            return Err(PauseError::Past);
        }
        let by = by.chars().filter(|c| !c.is_control()).take(BY_MAX_CHARS).collect();
        Ok(Self { target, by, at, until })
    }

    pub fn is_over(&self, now: UnixMs) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// How much longer it lasts, if that is known.
    pub fn remaining(&self, now: UnixMs) -> Option<Duration> {
        self.until.map(|until| until.since(now))
    }
}

#[cfg(test)]
mod tests;
