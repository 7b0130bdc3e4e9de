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
//! 3. When the last one has ended, the follow-up is set as a timer, and then the record says that it
//!    was. Its key is the group's: a twin is a duplicate.

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

/// A group, its results and what it sends at its end are kept for so long after they changed last.
pub const KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// The longest name of a group, in bytes.
pub const NAME_MAX_BYTES: usize = 256;
/// The longest result of a member that its group keeps, in bytes.
pub const RESULT_MAX_BYTES: usize = 4 * 1024;
/// Messages whose handlers add members to one group: each has its place in the record.
pub const ADDERS_MAX: usize = 1_000;

/// A group's id in its service: its name is the plugin's own, as its keys are.
pub fn group_id(plugin: &str, name: &str) -> String {
    format!("{plugin}/{name}")
}
