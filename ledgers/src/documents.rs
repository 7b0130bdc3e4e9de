//! Small documents that hosts change one after another: compare and set.
//!
//! A document has an id, a value and a fence. Who changes it names the fence that it read; if
//! another host has changed it since, the change is refused, and is decided anew over what stands
//! there now. So what is decided over a document needs no lock and no operation of a store's own.
//! Groups and quotas are made of these ([`crate::timers`] are the other thing that is kept beside
//! claims).
//!
//! A document that is not put again for as long as it is kept is gone. Time is the store's own.

mod change;
mod document_map;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::LedgerError;
use crate::fence::Fence;

pub use self::change::{Change, change, parse};
pub use self::document_map::DocumentMap;

/// The longest id, in bytes.
pub const ID_MAX_BYTES: usize = 512;
/// The longest value, in bytes: what DynamoDB has room for, also where it is counted as base64.
pub const VALUE_MAX_BYTES: usize = 256 * 1024;
/// Documents that one call lists at most.
pub const LIST_MAX: usize = 1_000;

/// The documents of one service.
///
/// What a call answers with `Ok` is durable as a completion is. A change that fails as
/// [`LedgerError::Unavailable`] may have been made: whoever says it again reads first.
#[async_trait]
pub trait Documents: Send + Sync + 'static {
    /// The document as it stands.
    async fn get(&self, id: &str) -> Result<Option<Document>, LedgerError>;

    /// Writes the document, if it still is as the change expects: [`LedgerError::Stale`] if not.
    /// The answer is the fence that it has now.
    async fn put(&self, put: Put) -> Result<Fence, LedgerError>;

    /// Documents whose ids begin with `prefix`, in the order of their ids, behind `after`. At most
    /// `limit`, and never more than [`LIST_MAX`].
    async fn list(&self, prefix: &str, limit: usize, after: Option<&str>) -> Result<Vec<Listed>, LedgerError>;
}

/// A document as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub fence: Fence,
    pub value: Bytes,
}

/// A document in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub id: String,
    pub value: Bytes,
}

/// A change of a document.
#[derive(Clone, Debug)]
pub struct Put {
    pub id: String,
    /// The fence that it was read with; None is that there was none.
    pub expects: Option<Fence>,
    pub value: Bytes,
    /// For how long it is kept from now on.
    pub kept: Duration,
}

impl Put {
    /// # Errors
    /// [`LedgerError::TooLarge`] names what no store takes of its size.
    pub fn fits(&self) -> Result<(), LedgerError> {
        let fits = |what: &str, bytes: usize, max_bytes: usize| match bytes <= max_bytes {
            true => Ok(()),
            false => Err(LedgerError::TooLarge(format!("{what} has {bytes} bytes, and may have {max_bytes}"))),
        };
        fits("a document's id", self.id.len(), ID_MAX_BYTES)?;
        fits("a document", self.value.len(), VALUE_MAX_BYTES)
    }
}

/// The least id that is greater than all that begin with `prefix`; None where there is none.
#[cfg(any(feature = "local", feature = "postgres"))]
pub(crate) fn behind_all_with(prefix: &str) -> Option<Vec<u8>> {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}
