//! `wasq dlq groups`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::place::{Next, Place};
use super::select::Filters;
use super::view::{cut, short, time};
use crate::cli::table;
use crate::clock;
use crate::dlq::found::Found;
use crate::message::{MessageId, UnixMs};
use crate::queue::Queue;

/// Characters of an example's reason that the table shows.
const REASON_CHARS: usize = 120;

/// Sum dead letters up: how many of which type and class failed for like reasons, since when, and one of each.
///
/// Reasons are alike when they differ in their values only: numbers, hexadecimal words, UUIDs and quoted text. A group's
/// fingerprint names its reason; --fingerprint of the other commands takes it. All letters stay where they are.
#[derive(Args)]
pub struct Groups {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    filters: Filters,
}

/// Type, class and fingerprint.
type Alike = (Option<String>, String, String);

struct Group {
    count: u64,
    first: UnixMs,
    last: UnixMs,
    plugins: BTreeSet<String>,
    example: MessageId,
    reason: String,
}

impl Groups {
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<ExitCode> {
        let opened = self.place.open().await?;
        let filter = self.filters.at(clock::unix_ms());
        let mut groups: BTreeMap<Alike, Group> = BTreeMap::new();
        let read = opened.look_through(&stop, |found| {
            if filter.matches(&found) {
                let alike = (found.kind().map(str::to_owned), found.class().to_owned(), found.fingerprint());
                groups.entry(alike).or_insert_with(|| Group::of(&found)).add(&found);
            }
            Ok(Next::More)
        });
        read.await?;
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
        if self.json {
            let all: Vec<_> = groups.iter().map(to_json).collect();
            println!("{:#}", serde_json::Value::Array(all));
        } else if groups.is_empty() {
            println!("no dead letters in {}", opened.dlq.name());
        } else {
            print(&groups);
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Group {
    /// An empty one, with an example.
    fn of(found: &Found) -> Self {
        Self {
            count: 0,
            first: found.first_failed_at(),
            last: found.failed_at(),
            plugins: BTreeSet::new(),
            example: found.id().clone(),
            reason: found.reason().to_owned(),
        }
    }

    fn add(&mut self, found: &Found) {
        self.count += 1;
        self.first = self.first.min(found.first_failed_at());
        self.last = self.last.max(found.failed_at());
        self.plugins.extend(found.plugin().map(str::to_owned));
    }
}

fn to_json(((kind, class, fingerprint), group): &(Alike, Group)) -> serde_json::Value {
    json!({
        "type": kind, "class": class, "fingerprint": fingerprint, "count": group.count,
        "first_failed_at": group.first, "last_failed_at": group.last, "plugins": group.plugins,
        "example": { "id": group.example, "reason": group.reason },
    })
}

fn print(groups: &[(Alike, Group)]) {
    let mut rows =
        table(&["count", "type", "class", "fingerprint", "plugins", "first", "last", "example", "its reason"]);
    for ((kind, class, fingerprint), group) in groups {
        let plugins: Vec<_> = group.plugins.iter().map(String::as_str).collect();
        rows.add_row([
            group.count.to_string(),
            kind.clone().unwrap_or_else(|| "?".into()),
            class.clone(),
            fingerprint.clone(),
            if plugins.is_empty() { "-".into() } else { plugins.join(", ") },
            time(group.first),
            time(group.last),
            short(&group.example),
            cut(&group.reason, REASON_CHARS),
        ]);
    }
    println!("{rows}");
}
