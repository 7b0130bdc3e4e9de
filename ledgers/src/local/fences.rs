//! Fences.

use crate::ledger::Fence;

/// Gives out each fence once.
pub struct Fences {
    next: Fence,
}

impl Fences {
    pub fn starting_with(first: Fence) -> Self {
        Self { next: first }
    }

    pub fn next(&mut self) -> Fence {
        let fence = self.next;
        self.next = Fence(fence.0.saturating_add(1));
        fence
    }
}
