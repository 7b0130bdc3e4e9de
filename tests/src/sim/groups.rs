//! What must hold of groups: one message follows each, when all of its members have ended, and not
//! before.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wasq::groups::{EndedGroup, Membership};
use wasq_core::message::{AttributeValue, Key, OWN_KEY_ATTRIBUTE};
use wasq_queues::Outgoing;

use super::checks::Verdict;

/// The groups that messages are to open, by their names, which are those messages' keys.
#[derive(Default)]
pub struct Groups(BTreeMap<String, Group>);

/// A group, as the plan has it and as the queue has seen it.
pub struct Group {
    pub name: String,
    on_failure: String,
    /// Members that the message which opens it sends.
    planned: usize,
    /// The keys of its members that came into the queue.
    pub members: BTreeSet<Key>,
    /// The keys of what followed it, as they were sent and as the ledger has them.
    followed: BTreeMap<String, Key>,
}

impl Groups {
    /// A message is to open this group, if it is one.
    pub fn planned(&mut self, name: &str, group: &Value) {
        let Some(members) = group["members"].as_array() else { return };
        let group = Group {
            name: name.to_owned(),
            on_failure: group["on_failure"].as_str().expect("the plan writes it").to_owned(),
            planned: members.len(),
            members: BTreeSet::new(),
            followed: BTreeMap::new(),
        };
        self.0.entry(name.to_owned()).or_insert(group);
    }

    /// A message with this key comes into the queue: a member, or what follows a group. The answer
    /// is the name of the group that it follows.
    pub fn joined(&mut self, message: &Outgoing, key: Key) -> Option<String> {
        let name = |group: &str| group.split_once('/').map(|(_, name)| name.to_owned());
        if let Some(member) = Membership::of(&message.attributes) {
            self.0.get_mut(&name(&member.group)?)?.members.insert(key);
            return None;
        }
        let ended = EndedGroup::of(&message.attributes)?;
        let own_key = message.attributes.get(OWN_KEY_ATTRIBUTE).and_then(AttributeValue::text)?;
        let name = name(&ended.group)?;
        self.0.get_mut(&name)?.followed.insert(own_key.to_owned(), key);
        Some(name)
    }

    pub fn of_name(&self, name: &str) -> Option<&Group> {
        self.0.get(name)
    }

    pub fn opened(&self) -> impl Iterator<Item = &Group> {
        self.0.values()
    }
}

impl Group {
    /// What follows it is sent now.
    pub fn is_whole(&self) -> Verdict {
        let (name, sent) = (&self.name, self.members.len());
        if sent < self.planned {
            return Err(format!("what follows the group {name} is sent when {sent} of {} members are", self.planned));
        }
        match self.followed.len() {
            1 => Ok(()),
            _ => Err(format!("what follows the group {name} is sent under several keys")),
        }
    }

    /// When all is settled, and the message that opened it is done.
    pub fn has_ended(&self, all_done: bool, is_over: impl Fn(Key) -> bool) -> Verdict {
        let name = &self.name;
        let Some(key) = self.followed.values().next() else {
            // A dead letter, for which one group waits, and which ends another.
            return match self.on_failure.as_str() {
                "wait" | "cancel" if !all_done => Ok(()),
                _ => Err(format!("nothing follows the group {name}, whose members have ended")),
            };
        };
        match () {
            () if self.on_failure == "wait" && !all_done => {
                Err(format!("something follows the group {name}, which waits for a dead letter"))
            }
            () if !is_over(*key) => Err(format!("what follows the group {name} is lost")),
            () => Ok(()),
        }
    }
}
