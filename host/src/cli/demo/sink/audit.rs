//! The audit log of the outside world: a chain in which each entry's hash covers the hash before
//! it.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The hash before the first entry.
pub const FIRST_PREVIOUS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The log.
#[derive(Debug, Default)]
pub struct Audit {
    links: Vec<Link>,
    /// The index of each entry by its idempotency key.
    keys: HashMap<String, usize>,
}

/// What became of an entry.
#[derive(Debug, PartialEq, Eq)]
pub enum Append {
    Done,
    /// An entry with this idempotency key is there already.
    Known,
    /// Another entry was quicker: it follows no longer.
    NotNext,
    /// It can never follow anything, for this reason.
    Wrong(String),
}

#[derive(Debug)]
struct Link {
    entry: Box<RawValue>,
    hash: String,
}

#[derive(Deserialize)]
struct Body {
    sequence: u64,
    previous: String,
    /// As it was sent, byte by byte: the hash is over these bytes.
    entry: Box<RawValue>,
    hash: String,
}

impl Audit {
    /// The number of the last entry, 0 when there is none, and its hash.
    pub fn head(&self) -> (u64, &str) {
        (self.links.len() as u64, self.links.last().map_or(FIRST_PREVIOUS, |link| &link.hash))
    }

    /// Takes the entry in `body` if it is the next one and its hash is right.
    pub fn append(&mut self, body: &[u8], key: Option<&str>) -> Append {
        if key.is_some_and(|key| self.keys.contains_key(key)) {
            return Append::Known;
        }
        let Body { sequence, previous, entry, hash } = match serde_json::from_slice(body) {
            Ok(body) => body,
            Err(error) => return Append::Wrong(format!("the entry cannot be read: {error}")),
        };
        if hash != link_hash(&previous, &entry) {
            return Append::Wrong("the hash is not that of the previous hash and the entry".to_owned());
        }
        if (sequence.checked_sub(1), previous.as_str()) != (Some(self.head().0), self.head().1) {
            return Append::NotNext;
        }
        if let Some(key) = key {
            self.keys.insert(key.to_owned(), self.links.len());
        }
        self.links.push(Link { entry, hash });
        Append::Done
    }

    /// Walks the chain; gives its length, or which entry breaks it.
    pub fn verify(&self) -> Result<u64, String> {
        let mut previous = FIRST_PREVIOUS;
        for (index, link) in self.links.iter().enumerate() {
            if link.hash != link_hash(previous, &link.entry) {
                return Err(format!("audit entry {} does not follow the one before it", index + 1));
            }
            previous = &link.hash;
        }
        Ok(self.links.len() as u64)
    }
}

/// The blake3 of the previous hash's digits and the entry's JSON, in hexadecimal digits.
pub fn link_hash(previous: &str, entry: &RawValue) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous.as_bytes()).update(entry.get().as_bytes());
    hasher.finalize().to_string()
}

#[cfg(test)]
mod tests;
