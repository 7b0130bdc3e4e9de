//! Deduplication of FIFO messages: what was sent within the last five minutes.

use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

use super::clock::Ms;

/// How long a deduplication id keeps its twins away ("Exactly-once processing" in the SQS developer
/// guide).
pub const WINDOW_MS: Ms = 5 * 60 * 1_000;

/// The message that came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    pub id: Uuid,
    pub seq: u64,
}

/// The open windows of a queue, by deduplication key.
#[derive(Debug, Default)]
pub struct Dedup {
    firsts: HashMap<String, (First, Ms)>,
    /// In the order in which they end.
    ends: VecDeque<(Ms, String)>,
}

/// The key of a deduplication id, within its group or the whole queue. Neither may contain the
/// separator.
pub fn key(id: &str, group: Option<&str>) -> String {
    match group {
        Some(group) => format!("{group}\0{id}"),
        None => id.to_owned(),
    }
}

impl Dedup {
    /// The message that opened the window for this key, if it is still open.
    pub fn first(&mut self, key: &str, now: Ms) -> Option<First> {
        while let Some((end, key)) = self.ends.front()
            && *end <= now
        {
            if self.firsts.get(key).is_some_and(|(_, of_key)| of_key == end) {
                self.firsts.remove(key);
            }
            self.ends.pop_front();
        }
        self.firsts.get(key).map(|&(first, _)| first)
    }

    /// Opens a window that ends then. Windows are opened in the order of their ends.
    pub fn open(&mut self, key: String, first: First, end: Ms) {
        self.firsts.insert(key.clone(), (first, end));
        self.ends.push_back((end, key));
    }

    /// Closes all windows.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Closes the window that this message opened, for it could not be stored.
    pub fn forget(&mut self, key: &str, id: Uuid) {
        if self.firsts.get(key).is_some_and(|(first, _)| first.id == id) {
            self.firsts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_closes_after_five_minutes_or_when_forgotten() {
        let mut dedup = Dedup::default();
        let first = First { id: Uuid::from_u128(1), seq: 1 };
        dedup.open(key("a", None), first, WINDOW_MS);
        dedup.open(key("a", Some("g")), First { seq: 2, ..first }, WINDOW_MS);
        assert_eq!(dedup.first("a", WINDOW_MS - 1), Some(first));
        dedup.forget("a", Uuid::from_u128(2));
        assert_eq!(dedup.first("a", WINDOW_MS - 1), Some(first));
        dedup.forget("a", first.id);
        assert_eq!(dedup.first("a", WINDOW_MS - 1), None);
        assert_eq!(dedup.first(&key("a", Some("g")), WINDOW_MS - 1).unwrap().seq, 2);
        assert_eq!(dedup.first(&key("a", Some("g")), WINDOW_MS), None);
    }
}
