//! `wasq dlq ls`.

use std::process::ExitCode;

use clap::Args;
use tokio_util::sync::CancellationToken;
use wasq_core::clock;

use super::select::Filters;
use super::target::{DlqHandle, Next};
use super::view::{in_a_table, listed, listed_message};
use crate::dlq::listing::{ByMessage, Row};

/// Messages that a listing shows unless told otherwise.
const LISTED: usize = 100;

/// List dead letters: when, type, class, attempts, plugins, reason.
///
/// A message that several plugins gave up on has a letter of each in the DLQ; it is listed once,
/// with its plugins, by the id of one of its letters. They are listed as SQS gives them, in no
/// order. All stay where they are.
#[derive(Args)]
pub struct Ls {
    /// How many messages to list, of those that match.
    #[arg(long, default_value_t = LISTED)]
    limit: usize,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    dlq: DlqHandle,
    #[command(flatten)]
    filters: Filters,
}

impl Ls {
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<ExitCode> {
        let opened = self.dlq.open().await?;
        let filter = self.filters.at(clock::unix_ms());
        let mut all = ByMessage::default();
        // The first letter of each message, where JSON is asked for.
        let mut first = Vec::new();
        let read = opened.look_through(&stop, |view| {
            if !filter.matches(&view) {
                return Ok(Next::More);
            }
            let row = Row::of(&view);
            let is_known = all.knows(&row);
            if !is_known && all.messages().len() == self.limit {
                return Ok(Next::Enough);
            }
            all.add(row);
            if self.json && !is_known {
                first.push(listed(&view));
            }
            Ok(Next::More)
        });
        let read = read.await?;
        let messages = all.messages();
        if self.json {
            let listed = first.into_iter().zip(messages).map(|(letter, message)| listed_message(letter, message));
            println!("{:#}", serde_json::Value::Array(listed.collect()));
        } else if messages.is_empty() {
            println!("no dead letters in {}", opened.dlq.name());
        } else {
            println!("{}", in_a_table(messages));
        }
        if read == Next::Enough {
            let count = messages.len();
            eprintln!("note: there are more than these {count}; --limit shows more, `wasq dlq groups` sums them up");
        }
        Ok(ExitCode::SUCCESS)
    }
}
