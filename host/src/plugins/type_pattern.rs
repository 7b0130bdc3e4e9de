//! The types that a manifest names: exactly, or with a `*` at the end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wasq_core::message::MessageType;

/// One of a manifest's `types`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("minLength" = 1, "pattern" = r"^[^*]*\*?$"))]
pub enum TypePattern {
    Exactly(MessageType),
    /// Every type that begins so: `s3:ObjectCreated:*`; all, where nothing is before the `*`.
    Prefix(String),
}

/// Bytes of a type in a manifest at most.
const TYPE_MAX_BYTES: usize = 256;

impl TypePattern {
    pub fn matches(&self, kind: &MessageType) -> bool {
        match self {
            Self::Exactly(exact) => exact == kind,
            Self::Prefix(prefix) => kind.0.starts_with(prefix),
        }
    }

    /// The type, where it is one.
    pub fn exact(&self) -> Option<&MessageType> {
        match self {
            Self::Exactly(kind) => Some(kind),
            Self::Prefix(_) => None,
        }
    }
}

impl TryFrom<String> for TypePattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() || text.len() > TYPE_MAX_BYTES {
            return Err(format!("types: `{text}` has {} bytes; a type has 1 to {TYPE_MAX_BYTES}", text.len()));
        }
        match text.find('*') {
            None => Ok(Self::Exactly(MessageType(text))),
            Some(at) if at + 1 == text.len() => Ok(Self::Prefix(text[..at].to_owned())),
            Some(at) => {
                let shorter = &text[..=at];
                Err(format!("types: `{text}` has a `*` before its end; a `*` stands for any rest, as in `{shorter}`"))
            }
        }
    }
}

impl From<TypePattern> for String {
    fn from(pattern: TypePattern) -> String {
        pattern.to_string()
    }
}

impl std::fmt::Display for TypePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(kind) => kind.fmt(f),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}
