//! The attributes by which a message says what it is to a group.

use serde::{Deserialize, Serialize};
use wasq_core::message::{AttributeValue, Attributes, Key};

use super::record::{Counts, OnFailure};

/// What member of which group a message is: JSON. The host sets it.
pub const MEMBER_ATTRIBUTE: &str = "wasq-group-member";
/// Which group has ended, so that the message was sent: JSON. The host sets it.
pub const ENDED_ATTRIBUTE: &str = "wasq-group-ended";

/// A member has at least its type, its key, and what it is to its group; a replay has no depth.
const ATTRIBUTES_MIN: usize = 3;

/// What a message of an outbox is to a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPart {
    /// The group's id: plugin and name.
    pub group: String,
    pub role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Member,
    /// It is sent when all members have ended.
    Then(OnFailure),
}

/// A member's place in its group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The group's id: plugin and name.
    pub group: String,
    pub by: String,
    pub of: String,
    pub chunk: u32,
    pub place: u32,
    /// Whether the group may be cancelled: then it is asked before the member runs.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub may_be_cancelled: bool,
}

impl Membership {
    /// None where the message is no member, or somebody else has the attribute for something else.
    pub fn of(attributes: &Attributes) -> Option<Self> {
        // Most messages have fewer, and pay no look.
        if attributes.len() < ATTRIBUTES_MIN {
            return None;
        }
        serde_json::from_str(attributes.get(MEMBER_ATTRIBUTE)?.text()?).ok()
    }

    pub fn attribute(&self) -> AttributeValue {
        AttributeValue::string(serde_json::to_string(self).expect("it is text and numbers"))
    }

    /// One as long as any of this group's: for what the attribute takes of a message's size.
    pub fn longest(group: &str) -> Self {
        let digest = digest(&[]);
        let (by, of) = (digest.clone(), digest);
        Self { group: group.to_owned(), by, of, chunk: 9_999, place: 9, may_be_cancelled: true }
    }
}

/// The group whose end a message follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedGroup {
    /// The group's id: plugin and name.
    pub group: String,
    #[serde(flatten)]
    pub counts: Counts,
}

impl EndedGroup {
    pub fn of(attributes: &Attributes) -> Option<Self> {
        serde_json::from_str(attributes.get(ENDED_ATTRIBUTE)?.text()?).ok()
    }

    pub fn attribute(&self) -> AttributeValue {
        AttributeValue::string(serde_json::to_string(self).expect("it is text and numbers"))
    }

    /// As [`Membership::longest`].
    pub fn longest(group: &str) -> Self {
        let counts = Counts { done: 99_999, discarded: 99_999, dead_lettered: 99_999 };
        Self { group: group.to_owned(), counts }
    }
}

/// What stands for keys in a record: 64 bits of their digest.
pub fn digest(parts: &[&[u8]]) -> String {
    Key::derive(parts).to_hex()[..16].to_owned()
}
