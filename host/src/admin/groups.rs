//! Dead letters without their bodies, and in groups of like reasons.

use std::collections::{BTreeMap, BTreeSet};

use crate::dlq::filter::Filter;
use crate::dlq::found::Found;
use crate::message::{MessageId, UnixMs};

/// A letter, without its body.
#[derive(Clone, Debug)]
pub struct Row {
    pub id: MessageId,
    pub alike: Alike,
    pub plugin: Option<String>,
    pub reason: String,
    pub attempts: Option<u32>,
    pub failed_at: UnixMs,
}

/// What the letters of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alike {
    pub kind: Option<String>,
    pub class: String,
    pub fingerprint: String,
}

/// Letters that failed for like reasons.
pub struct Group {
    pub alike: Alike,
    pub count: u64,
    pub first: UnixMs,
    pub last: UnixMs,
    pub plugins: BTreeSet<String>,
    /// One of them.
    pub reason: String,
}

impl Row {
    pub fn of(found: &Found) -> Self {
        Self {
            id: found.id().clone(),
            alike: Alike {
                kind: found.kind().map(str::to_owned),
                class: found.class().to_owned(),
                fingerprint: found.fingerprint(),
            },
            plugin: found.plugin().map(str::to_owned),
            reason: found.reason().to_owned(),
            attempts: found.letter().map(|letter| letter.attempts),
            failed_at: found.failed_at(),
        }
    }
}

impl Alike {
    pub fn filter(&self) -> Filter {
        Filter {
            kind: self.kind.clone(),
            class: Some(self.class.clone()),
            fingerprint: Some(self.fingerprint.clone()),
            ..Filter::default()
        }
    }
}

/// The groups of letters, the largest first.
pub fn groups(rows: &[Row]) -> Vec<Group> {
    let mut groups: BTreeMap<&Alike, Group> = BTreeMap::new();
    for row in rows {
        let group = groups.entry(&row.alike).or_insert_with(|| Group {
            alike: row.alike.clone(),
            count: 0,
            first: row.failed_at,
            last: row.failed_at,
            plugins: BTreeSet::new(),
            reason: row.reason.clone(),
        });
        group.count += 1;
        group.first = group.first.min(row.failed_at);
        group.last = group.last.max(row.failed_at);
        group.plugins.extend(row.plugin.clone());
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_grouped_and_the_largest_group_comes_first() {
        let row = |id: &str, class: &str, plugin: &str, failed_at| Row {
            id: MessageId(id.into()),
            alike: Alike { kind: Some("t".into()), class: class.into(), fingerprint: "f".into() },
            plugin: Some(plugin.into()),
            reason: format!("reason {id}"),
            attempts: Some(1),
            failed_at: UnixMs(failed_at),
        };
        let groups = groups(&[row("1", "trap", "p", 5), row("2", "retry", "p", 7), row("3", "retry", "q", 3)]);
        let seen: Vec<_> =
            groups.iter().map(|g| (g.alike.class.as_str(), g.count, g.first.0, g.last.0, g.plugins.len())).collect();
        assert_eq!(seen, [("retry", 2, 3, 7, 2), ("trap", 1, 5, 5, 1)]);
    }
}
