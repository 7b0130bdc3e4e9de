//! What the ledger has of a schedule: its timer's message.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wasq_core::message::UnixMs;

/// A schedule as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The next one; none if no more follow.
    pub tick: Option<UnixMs>,
    /// A digest of what decides over the ticks.
    pub spec: String,
    /// When the host first looked whose config it is, by the store's clock.
    pub since: UnixMs,
    #[serde(default)]
    pub is_paused: bool,
    pub last: Option<Last>,
}

/// The last tick whose message was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    pub tick: UnixMs,
    pub sent_at: UnixMs,
}

impl Record {
    pub fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).expect("it is text and numbers").into()
    }

    /// None where somebody else has written it.
    pub fn read(message: &[u8]) -> Option<Self> {
        serde_json::from_slice(message).ok()
    }
}
