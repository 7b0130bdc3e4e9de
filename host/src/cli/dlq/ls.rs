//! `wasq dlq ls`.

use std::process::ExitCode;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::place::{Next, Place};
use super::select::Filters;
use super::view::{Rows, listed};
use crate::clock;
use crate::queue::Queue;

/// Letters that a listing shows unless told otherwise.
const LISTED: usize = 100;

/// List dead letters: when, type, plugin, class, attempts, reason.
///
/// They are listed as SQS gives them, in no order. All stay where they are.
#[derive(Args)]
pub struct Ls {
    /// How many letters to list, of those that match.
    #[arg(long, default_value_t = LISTED)]
    limit: usize,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    filters: Filters,
}

impl Ls {
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<ExitCode> {
        let opened = self.place.open().await?;
        let filter = self.filters.at(clock::unix_ms());
        let (mut rows, mut json) = (Rows::new(), Vec::new());
        let mut count = 0;
        let read = opened.look_through(&stop, |found| {
            if !filter.matches(&found) {
                return Ok(Next::More);
            }
            if count == self.limit {
                return Ok(Next::Enough);
            }
            count += 1;
            match self.json {
                true => json.push(listed(&found)),
                false => rows.add(&found),
            }
            Ok(Next::More)
        });
        let read = read.await?;
        if self.json {
            println!("{:#}", serde_json::Value::Array(json));
        } else if rows.is_empty() {
            println!("no dead letters in {}", opened.dlq.name());
        } else {
            rows.print();
        }
        if read == Next::Enough {
            eprintln!("note: there are more than these {count}; --limit shows more, `wasq dlq groups` sums them up");
        }
        Ok(ExitCode::SUCCESS)
    }
}
