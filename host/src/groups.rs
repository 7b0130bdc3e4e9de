//! Messages that belong together, and one that is sent when all of them have ended.
//!
//! A group is kept in the ledger's documents, and every change of one is decided over what stands
//! there ([`record`], [`chunk`]: pure functions). Its *members* are messages of outboxes, kept in
//! chunks of ten, so that ends of a large group do not all change one document; the group's record
//! sums up its chunks. The order makes a crash anywhere harmless:
//!
//! 1. A member is in its chunk, and the chunk in the record, before it is sent ([`join`]).
//! 2. A member's end is in its chunk, and the chunk's sum in the record, before it is deleted from
//!    its queue ([`end`]). Whoever receives it once more says the same again.
//! 3. When the last one has ended, the follow-up is set as a timer under the group's id, and then
//!    the record says that it was. It has the key that its opener's outbox gave it: a twin is a
//!    duplicate.

mod attributes;
mod chunk;
mod combine;
mod end;
mod join;
mod meters;
mod read;
mod record;
mod store;

pub use attributes::{ENDED_ATTRIBUTE, EndedGroup, GroupPart, MEMBER_ATTRIBUTE, Membership, Role};
pub use chunk::{End, EndState, Member};
pub use join::{FollowUp, JoinError, Joining, NewMember};
pub use meters::GroupMeters;
pub use read::{GroupView, GroupsPage, LIST_MAX, MembersPage, Missing, PAGE_MAX};
pub use record::{Counts, OnFailure, Record, State};
pub use store::GroupStore;

use std::time::Duration;

/// A group is kept for so long after its record changed last.
pub const KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// Its parts are kept for longer after each of them did: chunks, results, and what follows.
pub const PARTS_KEPT: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// The longest name of a group, in bytes.
pub const NAME_MAX_BYTES: usize = 256;
/// The longest result of a member that its group keeps, in bytes.
pub const RESULT_MAX_BYTES: usize = 4 * 1024;
/// The longest reason that a group keeps of a member's end, in bytes.
pub const REASON_MAX_BYTES: usize = 512;
/// Messages whose handlers add members to one group: each has its place in the record.
pub const ADDERS_MAX: usize = 1_000;

/// A group's id in its service: its name is the plugin's own, as its keys are.
pub fn group_id(plugin: &str, name: &str) -> String {
    format!("{plugin}/{name}")
}
