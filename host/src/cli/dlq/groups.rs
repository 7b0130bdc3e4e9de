//! `wasq dlq groups`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use wasq_core::clock;

use super::select::Filters;
use super::target::{DlqHandle, Next};
use super::view::{cut, short, time};
use crate::cli::table::{Table, list, name, number, text, whole};
use crate::dlq::listing::{self, Group, GroupKey, Row};

/// Characters of an example's reason that the table shows.
const REASON_CHARS: usize = 120;

/// Group dead letters by type, exit and similar reason; show count, first, last and an example.
///
/// Two reasons are one cause when they differ in their values only: numbers, times, ids, quoted
/// text. Names tell causes apart: fields, types, codes, hosts, error classes. Below a group stand
/// other reasons that it has. Its fingerprint names the cause; --fingerprint of the other commands
/// takes it. All letters stay where they are.
#[derive(Args)]
pub struct Groups {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    dlq: DlqHandle,
    #[command(flatten)]
    filters: Filters,
}

impl Groups {
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<ExitCode> {
        let opened = self.dlq.open().await?;
        let filter = self.filters.at(clock::unix_ms());
        let mut groups = listing::Groups::default();
        let read = opened.look_through(&stop, |view| {
            if filter.matches(&view) {
                groups.add(&Row::of(&view));
            }
            Ok(Next::More)
        });
        read.await?;
        let groups = groups.largest_first();
        if self.json {
            let all: Vec<_> = groups.iter().map(to_json).collect();
            println!("{:#}", serde_json::Value::Array(all));
        } else if groups.is_empty() {
            println!("no dead letters in {}", opened.dlq.name());
        } else {
            println!("{}", in_a_table(&groups));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn to_json(group: &Group) -> serde_json::Value {
    let GroupKey { kind, class, fingerprint } = &group.key;
    let variants = group.variants.iter().map(|(reason, letters)| json!({ "reason": reason, "letters": letters }));
    json!({
        "type": kind, "class": class, "fingerprint": fingerprint, "count": group.letters, "messages": group.messages(),
        "first_failed_at": group.first_failed_at, "last_failed_at": group.last_failed_at, "plugins": group.plugins,
        "example": { "id": group.example, "reason": group.reason() },
        "variants": variants.collect::<Vec<_>>(), "letters_of_other_variants": group.others(),
    })
}

fn in_a_table(groups: &[Group]) -> Table {
    let mut rows = Table::new([
        number("messages"),
        number("letters"),
        name("type"),
        whole("class"),
        whole("fingerprint"),
        whole("example id"),
        whole("first"),
        whole("last"),
        list("plugins"),
        text("example reason"),
    ]);
    for group in groups {
        let GroupKey { kind, class, fingerprint } = &group.key;
        let plugins: Vec<_> = group.plugins.iter().map(String::as_str).collect();
        rows.add([
            group.messages().to_string(),
            group.letters.to_string(),
            kind.clone().unwrap_or_else(|| "?".into()),
            class.clone(),
            fingerprint.clone(),
            short(&group.example),
            time(group.first_failed_at),
            time(group.last_failed_at),
            if plugins.is_empty() { "-".into() } else { plugins.join(", ") },
            cut(group.reason(), REASON_CHARS),
        ]);
        for (reason, letters) in group.variants.iter().skip(1) {
            rows.note(&format!("{letters} × {}", cut(reason, REASON_CHARS)));
        }
        if group.others() > 0 {
            rows.note(&format!("{} × other values", group.others()));
        }
    }
    rows
}
