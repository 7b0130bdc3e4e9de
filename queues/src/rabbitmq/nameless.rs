//! Messages whose producer gave them no `message_id`.
//!
//! The host counts a message's attempts by its id, and knows by it what it has done. Two messages of
//! one content are two messages: a digest as the id would have the second taken for the first, and
//! lost. So each delivery gets an id of its own. One that goes back to its queue is remembered by
//! its content, and what comes again with that content takes the id over: RabbitMQ says of a
//! delivery that it comes again. Where two of one content have gone back they may change places,
//! which nobody can tell. What another host takes up has another id there, and its attempts are
//! counted anew.

use std::collections::{HashMap, VecDeque};

use wasq_core::message::{AttributeData, Attributes, MessageId};

/// Messages that are remembered at most; the oldest is forgotten first.
const REMEMBERED_MAX: usize = 10_000;

/// All that tells two messages apart which have no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    pub fn of(body: &[u8], attributes: &Attributes, sent_at: Option<u64>) -> Self {
        let mut hasher = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(body);
        part(&sent_at.unwrap_or_default().to_le_bytes());
        for (name, attribute) in attributes {
            part(name.as_bytes());
            part(attribute.data_type.as_bytes());
            match &attribute.value {
                AttributeData::Text(text) => part(text.as_bytes()),
                AttributeData::Binary(bytes) => part(bytes),
            }
        }
        Self(*hasher.finalize().as_bytes())
    }
}

/// A message without an id that was handed out, and the id that it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub digest: Digest,
    pub id: MessageId,
}

/// The ids of what has gone back to its queue.
#[derive(Default)]
pub struct Nameless {
    by_digest: HashMap<Digest, VecDeque<MessageId>>,
    /// In the order in which they went back. Some were taken over meanwhile.
    oldest: VecDeque<Digest>,
    remembered: usize,
    /// Whether the log has told of one.
    told: bool,
}

impl Nameless {
    /// An id for a delivery. `redelivered` is RabbitMQ's word.
    pub fn name(&mut self, digest: Digest, redelivered: bool) -> Named {
        let known = if redelivered { self.take(digest) } else { None };
        Named { digest, id: known.unwrap_or_else(|| MessageId(uuid::Uuid::new_v4().to_string())) }
    }

    /// It goes back, and may come again.
    pub fn goes_back(&mut self, named: Named) {
        self.by_digest.entry(named.digest).or_default().push_back(named.id);
        self.oldest.push_back(named.digest);
        self.remembered += 1;
        while self.remembered > REMEMBERED_MAX
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.take(oldest);
        }
        // Of what was taken over only a digest is left.
        if self.oldest.len() > 2 * REMEMBERED_MAX {
            let by_digest = &self.by_digest;
            self.oldest.retain(|digest| by_digest.contains_key(digest));
        }
    }

    /// Whether this is the first time: then the log is to tell of it.
    pub fn is_news(&mut self) -> bool {
        !std::mem::replace(&mut self.told, true)
    }

    fn take(&mut self, digest: Digest) -> Option<MessageId> {
        let ids = self.by_digest.get_mut(&digest)?;
        let id = ids.pop_front();
        if ids.is_empty() {
            self.by_digest.remove(&digest);
        }
        self.remembered -= usize::from(id.is_some());
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(body: &str) -> Digest {
        Digest::of(body.as_bytes(), &Attributes::new(), None)
    }

    #[test]
    fn two_messages_of_one_content_have_two_ids() {
        let mut nameless = Nameless::default();
        let (first, second) = (nameless.name(digest("x"), false), nameless.name(digest("x"), false));
        assert_ne!(first.id, second.id);
        nameless.goes_back(first.clone());
        assert_ne!(nameless.name(digest("x"), false).id, first.id, "a new message is nobody's redelivery");
        assert_ne!(nameless.name(digest("y"), true).id, first.id, "another content");
        assert_eq!(nameless.name(digest("x"), true).id, first.id, "it comes again");
        assert_ne!(nameless.name(digest("x"), true).id, first.id, "an id is one message's");
    }

    #[test]
    fn the_oldest_are_forgotten_and_nothing_grows() {
        let mut nameless = Nameless::default();
        for n in 0..3 * REMEMBERED_MAX {
            let named = nameless.name(digest(&n.to_string()), false);
            nameless.goes_back(named.clone());
            if n % 2 == 0 {
                assert_eq!(nameless.name(named.digest, true), named);
                nameless.goes_back(named);
            }
        }
        assert_eq!(nameless.remembered, REMEMBERED_MAX);
        assert!(nameless.by_digest.len() <= REMEMBERED_MAX && nameless.oldest.len() <= 2 * REMEMBERED_MAX + 1);
        let last = nameless.name(digest(&(3 * REMEMBERED_MAX - 1).to_string()), true);
        assert!(!nameless.by_digest.contains_key(&last.digest));
    }

    #[test]
    fn the_log_tells_of_it_once() {
        let mut nameless = Nameless::default();
        assert!(nameless.is_news() && !nameless.is_news());
    }
}
