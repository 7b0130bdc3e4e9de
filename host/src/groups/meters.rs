//! What is counted of groups.

use wasq_core::meters::Counter;

/// What one host did with groups.
#[derive(Debug, Default)]
pub struct GroupMeters {
    /// Members that it sent.
    pub members: Counter,
    /// Ends of members that it recorded.
    pub member_ends: Counter,
    /// Groups whose follow-up it sent.
    pub ended: Counter,
    pub cancelled: Counter,
}
