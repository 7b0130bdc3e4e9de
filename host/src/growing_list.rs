//! A list that only grows, and that is read without a lock. The host's open queues are one: those
//! that could not be opened at the start come later, while metrics and pages read it.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// Clones share the list.
pub struct GrowingList<T>(Arc<ArcSwap<Vec<T>>>);

impl<T: Clone> GrowingList<T> {
    /// Adds an item behind those that are there.
    pub fn push(&self, item: T) {
        self.0.rcu(|items| items.iter().cloned().chain([item.clone()]).collect::<Vec<_>>());
    }

    /// The items as they are now.
    pub fn items(&self) -> Arc<Vec<T>> {
        self.0.load_full()
    }
}

impl<T> Default for GrowingList<T> {
    fn default() -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Vec::new())))
    }
}

impl<T> Clone for GrowingList<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_reads_it_keeps_what_was_there() {
        let list = GrowingList::default();
        list.push(1);
        let (before, shared) = (list.items(), list.clone());
        shared.push(2);
        assert_eq!((&**before, &**list.items()), ([1].as_slice(), [1, 2].as_slice()));
    }
}
