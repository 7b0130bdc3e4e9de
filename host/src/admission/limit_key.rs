//! The key of a message by which a limit tells messages apart: an account, a tenant.

use std::fmt::{Display, Formatter};
use std::sync::Arc;

/// The longest key that stands in the ledger as it is, in bytes. Of a longer one its digest does.
const KEY_MAX_BYTES: usize = 64;

/// For which messages a limit is counted by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LimitKey {
    /// For all: its plugin names no key.
    All,
    /// For those that do not have the key.
    Missing,
    /// For those with this one, or this digest of one.
    Key(Arc<str>),
    Digest(Arc<str>),
}

impl LimitKey {
    /// The key of a message, which may be of any length.
    pub fn of(key: Option<String>) -> Self {
        match key {
            None => Self::Missing,
            Some(key) if key.len() <= KEY_MAX_BYTES => Self::Key(key.into()),
            Some(key) => Self::Digest(blake3::hash(key.as_bytes()).to_hex().as_str().into()),
        }
    }

    /// What stands behind the limit's name in the ledger.
    pub fn suffix(&self) -> String {
        match self {
            Self::All => String::new(),
            Self::Missing => "/-".into(),
            Self::Key(key) => format!("/={key}"),
            Self::Digest(digest) => format!("/#{digest}"),
        }
    }
}

/// As operators see it.
impl Display for LimitKey {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => formatter.write_str("(all)"),
            Self::Missing => formatter.write_str("(no key)"),
            Self::Key(key) => formatter.write_str(key),
            Self::Digest(digest) => write!(formatter, "blake3:{digest}"),
        }
    }
}
