//! Dead letters as lists show them, on the command line and in the dashboard: without their bodies,
//! a message once with all the plugins that gave up on it, and in groups of one cause.
//!
//! In the DLQ each of these plugins has a letter of its own; here they are only counted as one.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use wasq_core::message::{Key, MessageId, UnixMs};

use super::filter::Filter;
use super::letter_view::LetterView;

/// Reasons that a group shows: they differ in their values, and a value may say what is wrong.
pub const VARIANTS_MAX: usize = 5;

/// A letter, without its body.
#[derive(Clone, Debug)]
pub struct Row {
    pub id: MessageId,
    /// The message that it was; none where its letter does not say.
    pub message: Option<Key>,
    pub group: GroupKey,
    pub plugin: Option<String>,
    pub reason: String,
    pub attempts: Option<u32>,
    pub first_failed_at: UnixMs,
    pub failed_at: UnixMs,
}

/// What the letters of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    pub kind: Option<String>,
    pub class: String,
    pub fingerprint: String,
}

/// The letters of one message. There is at least one.
#[derive(Clone, Debug)]
pub struct MessageLetters {
    first: Row,
    others: Vec<Row>,
}

/// Letters by their messages, in the order in which each message was met first.
#[derive(Default)]
pub struct ByMessage {
    messages: Vec<MessageLetters>,
    known: HashMap<Key, usize>,
}

/// Letters with one cause.
#[derive(Clone, Debug)]
pub struct Group {
    pub key: GroupKey,
    pub letters: u64,
    pub first_failed_at: UnixMs,
    pub last_failed_at: UnixMs,
    pub plugins: BTreeSet<String>,
    /// One of them.
    pub example: MessageId,
    /// The first [`VARIANTS_MAX`] reasons, each with its letters. The first is the example's.
    pub variants: Vec<(String, u64)>,
    messages: HashSet<Key>,
    /// Letters that do not say what message they were.
    alone: u64,
}

/// Letters in groups.
#[derive(Default)]
pub struct Groups(BTreeMap<GroupKey, Group>);

impl Row {
    pub fn of(view: &LetterView) -> Self {
        Self {
            id: view.id().clone(),
            message: view.message(),
            group: GroupKey {
                kind: view.kind().map(str::to_owned),
                class: view.class().to_owned(),
                fingerprint: view.fingerprint(),
            },
            plugin: view.plugin().map(str::to_owned),
            reason: view.reason().to_owned(),
            attempts: view.letter().map(|letter| letter.attempts),
            first_failed_at: view.first_failed_at(),
            failed_at: view.failed_at(),
        }
    }
}

impl GroupKey {
    pub fn filter(&self) -> Filter {
        Filter {
            kind: self.kind.clone(),
            class: Some(self.class.clone()),
            fingerprint: Some(self.fingerprint.clone()),
            ..Filter::default()
        }
    }
}

impl MessageLetters {
    /// The letter that stands for all of them.
    pub fn shown(&self) -> &Row {
        &self.first
    }

    pub fn letters(&self) -> impl Iterator<Item = &Row> {
        std::iter::once(&self.first).chain(&self.others)
    }

    pub fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// The plugins that gave up on it, each once.
    pub fn plugins(&self) -> Vec<&str> {
        distinct(self.letters().filter_map(|row| row.plugin.as_deref()))
    }

    pub fn classes(&self) -> Vec<&str> {
        distinct(self.letters().map(|row| row.group.class.as_str()))
    }

    /// The most attempts that a plugin made.
    pub fn attempts(&self) -> Option<u32> {
        self.letters().filter_map(|row| row.attempts).max()
    }

    pub fn failed_at(&self) -> UnixMs {
        self.letters().map(|row| row.failed_at).max().unwrap_or(self.first.failed_at)
    }

    /// The reason; where the plugins had several causes, each with the first plugin that had it.
    pub fn reason(&self) -> String {
        let mut causes: Vec<&Row> = Vec::new();
        for row in self.letters() {
            if causes.iter().all(|known| known.group.fingerprint != row.group.fingerprint) {
                causes.push(row);
            }
        }
        match causes.as_slice() {
            [one] => one.reason.clone(),
            several => {
                let said = |row: &&Row| format!("{}: {}", row.plugin.as_deref().unwrap_or("-"), row.reason);
                several.iter().map(said).collect::<Vec<_>>().join("; ")
            }
        }
    }
}

impl ByMessage {
    /// Whether a letter belongs to a message that is here.
    pub fn knows(&self, row: &Row) -> bool {
        row.message.is_some_and(|message| self.known.contains_key(&message))
    }

    /// Adds a letter. The answer is its message's place.
    pub fn add(&mut self, row: Row) -> usize {
        let next = self.messages.len();
        let index = row.message.map_or(next, |message| *self.known.entry(message).or_insert(next));
        match self.messages.get_mut(index) {
            Some(message) => message.others.push(row),
            None => self.messages.push(MessageLetters { first: row, others: Vec::new() }),
        }
        index
    }

    pub fn messages(&self) -> &[MessageLetters] {
        &self.messages
    }
}

impl Extend<Row> for ByMessage {
    fn extend<I: IntoIterator<Item = Row>>(&mut self, rows: I) {
        for row in rows {
            self.add(row);
        }
    }
}

impl Groups {
    pub fn add(&mut self, row: &Row) {
        let group = self.0.entry(row.group.clone()).or_insert_with(|| Group {
            key: row.group.clone(),
            letters: 0,
            first_failed_at: row.first_failed_at,
            last_failed_at: row.failed_at,
            plugins: BTreeSet::new(),
            example: row.id.clone(),
            variants: Vec::new(),
            messages: HashSet::new(),
            alone: 0,
        });
        group.letters += 1;
        group.first_failed_at = group.first_failed_at.min(row.first_failed_at);
        group.last_failed_at = group.last_failed_at.max(row.failed_at);
        group.plugins.extend(row.plugin.clone());
        match row.message {
            Some(message) => drop(group.messages.insert(message)),
            None => group.alone += 1,
        }
        match group.variants.iter().position(|(reason, _)| *reason == row.reason) {
            Some(known) => group.variants[known].1 += 1,
            None if group.variants.len() < VARIANTS_MAX => group.variants.push((row.reason.clone(), 1)),
            None => {}
        }
    }

    /// The groups, those of the most messages first.
    pub fn largest_first(self) -> Vec<Group> {
        let mut groups: Vec<_> = self.0.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse((group.messages(), group.letters)));
        groups
    }
}

impl Extend<Row> for Groups {
    fn extend<I: IntoIterator<Item = Row>>(&mut self, rows: I) {
        rows.into_iter().for_each(|row| self.add(&row));
    }
}

impl Group {
    /// The messages that the letters were.
    pub fn messages(&self) -> u64 {
        self.messages.len() as u64 + self.alone
    }

    /// The example's.
    pub fn reason(&self) -> &str {
        self.variants.first().map_or("", |(reason, _)| reason)
    }

    /// Letters whose reasons are not among the variants.
    pub fn others(&self) -> u64 {
        self.letters - self.variants.iter().map(|(_, count)| count).sum::<u64>()
    }
}

fn distinct<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for text in all {
        if !seen.contains(&text) {
            seen.push(text);
        }
    }
    seen
}

#[cfg(test)]
mod tests;
