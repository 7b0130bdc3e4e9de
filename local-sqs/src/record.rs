//! What the log keeps: queues, messages and their states, move tasks. The short names are the
//! format on disk.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{address::Home, attributes::QueueAttributes, clock::Ms};

/// One change of the store. The short names are the format on disk.
#[derive(Debug, Serialize, Deserialize)]
pub enum Record {
    /// A queue, new or changed, whole.
    #[serde(rename = "q")]
    Queue(Definition),
    /// The queue of this number is gone, with its messages.
    #[serde(rename = "x")]
    DropQueue(u64),
    /// A message was sent; its content follows the records.
    #[serde(rename = "p")]
    Put(MessageRecord),
    /// Messages of a queue were received, or hidden, or shown.
    #[serde(rename = "s")]
    State(u64, Vec<MovedState>),
    /// Messages of a queue are gone.
    #[serde(rename = "d")]
    Delete(u64, Vec<u64>),
    /// All messages of a queue below a sequence number are gone.
    #[serde(rename = "g")]
    Purge(u64, u64),
    /// A move task, new or changed, whole.
    #[serde(rename = "m")]
    Move(MoveTask),
}

/// What the log keeps of a message beside its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRecord {
    #[serde(rename = "q")]
    pub queue: u64,
    #[serde(rename = "n")]
    pub seq: u64,
    #[serde(rename = "i", with = "id_as_text")]
    pub id: Uuid,
    /// When it was sent, by the wall clock.
    #[serde(rename = "t")]
    pub sent_ms: u64,
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Its deduplication key and the end of its window.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub dedup: Option<(String, Ms)>,
    #[serde(rename = "s")]
    pub state: MessageState,
    /// Bytes of its content.
    #[serde(rename = "l")]
    pub bytes: u32,
}

/// How often a message was received, and until when it is hidden.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageState {
    #[serde(rename = "c")]
    pub count: u32,
    /// The first receipt, by the wall clock; 0 before.
    #[serde(rename = "f")]
    pub first_received_ms: u64,
    /// The last receipt; 0 before.
    #[serde(rename = "r")]
    pub received_at: Ms,
    /// Hidden until then.
    #[serde(rename = "v")]
    pub visible_at: Ms,
}

/// A message's sequence number and its new state.
pub type MovedState = (u64, MessageState);

/// A queue as its owner defined it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The queue's number: never used again, not even by a queue of the same name.
    pub number: u64,
    pub name: String,
    /// Nothing is every region of the default account; so are the queues of logs from before there
    /// were regions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<Home>,
    pub attributes: QueueAttributes,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// What AddPermission said, by label, in logs from before it wrote the attribute `Policy`: only
    /// what cannot be moved there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub permissions: BTreeMap<String, Permission>,
    pub created_s: u64,
    pub modified_s: u64,
    /// The next message's sequence number.
    pub next_seq: u64,
}

impl Definition {
    /// FIFO queues are those whose names say so.
    pub fn is_fifo(&self) -> bool {
        is_fifo(&self.name)
    }
}

/// Whether a queue of this name is a FIFO queue.
pub fn is_fifo(name: &str) -> bool {
    name.ends_with(".fifo")
}

/// Who may do what with a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    pub accounts: Vec<String>,
    pub actions: Vec<String>,
}

/// A run of StartMessageMoveTask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveTask {
    #[serde(with = "id_as_text")]
    pub id: Uuid,
    /// The dead-letter queue's ARN, or its name alone if it has no region.
    pub source: String,
    /// The queue to move to, likewise; nothing means each message's own source.
    pub destination: Option<String>,
    pub max_per_second: Option<u32>,
    pub status: MoveStatus,
    pub moved: u64,
    pub to_move: u64,
    pub started_ms: u64,
    pub failure: Option<String>,
}

/// How far a move task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MoveStatus {
    Running,
    Completed,
    Cancelled,
    Failed,
}

mod id_as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use uuid::Uuid;

    pub fn serialize<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}
