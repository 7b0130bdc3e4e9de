//! Members of a group that has ended, for a test.

use serde::Serialize;

use crate::{End, Member};

/// A member of a group that has ended; [`member`] begins one.
#[derive(Debug, Clone)]
pub struct NewMember(Member);

/// A member that was done without a result, sent to `queue` as a `kind`.
pub fn member(queue: &str, kind: &str) -> NewMember {
    NewMember(Member { queue: queue.to_owned(), kind: kind.to_owned(), end: End::Done(None) })
}

impl NewMember {
    /// It was done, with this result as JSON.
    ///
    /// # Panics
    ///
    /// When the value has no JSON.
    #[must_use]
    pub fn done(self, result: &impl Serialize) -> Self {
        self.ended(End::Done(Some(serde_json::to_vec(result).expect("the result has no JSON"))))
    }

    /// It was discarded, for this reason.
    #[must_use]
    pub fn discarded(self, reason: impl Into<String>) -> Self {
        self.ended(End::Discarded(reason.into()))
    }

    /// It was dead-lettered, for this reason.
    #[must_use]
    pub fn dead_lettered(self, reason: impl Into<String>) -> Self {
        self.ended(End::DeadLettered(reason.into()))
    }

    fn ended(self, end: End) -> Self {
        Self(Member { end, ..self.0 })
    }

    pub(super) fn into_member(self) -> Member {
        self.0
    }
}
