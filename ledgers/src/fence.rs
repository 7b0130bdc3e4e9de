//! The right to change what is recorded.

/// Grows with every claim of a key; a change with an older one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence(pub u64);
