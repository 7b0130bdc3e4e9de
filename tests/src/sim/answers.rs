//! What must hold of answers to waits: one is accepted at most, and its handler is told it.

use std::collections::{BTreeMap, BTreeSet};

use wasq_core::message::Key;

use super::checks::Verdict;

/// What is answered to those that wait.
pub const ANSWER: &str = "the answer";

#[derive(Default)]
pub struct Answers {
    /// Keys whose answers were accepted.
    accepted: BTreeSet<Key>,
    /// What handlers were told of their waits.
    came: BTreeMap<Key, String>,
}

impl Answers {
    /// Somebody was told that the answer to a wait is accepted.
    pub fn accepted(&mut self, key: Key) -> Verdict {
        if !self.accepted.insert(key) {
            return Err(format!("two answers to {key:?} were accepted"));
        }
        self.check(key)
    }

    /// A handler was told what its wait has come to.
    pub fn came(&mut self, key: Key, what: &str) -> Verdict {
        self.came.insert(key, what.to_owned());
        self.check(key)
    }

    fn check(&self, key: Key) -> Verdict {
        match self.came.get(&key) {
            Some(came) if self.accepted.contains(&key) && came != ANSWER => {
                Err(format!("an answer to {key:?} was accepted, and its handler was told: {came}"))
            }
            Some(_) | None => Ok(()),
        }
    }
}
