//! `wasq dlq discard`.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{ArgGroup, Args};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use wasq_core::clock;
use wasq_core::message::UnixMs;
use wasq_queues::BATCH_MAX_ENTRIES;

use super::edit::ask;
use super::select::{FILTERS, Filters};
use super::target::{DlqHandle, Next, Opened, print_notes};
use super::view::{Rows, short};
use crate::dlq::filter::Filter;
use crate::dlq::letter_view::LetterView;
use crate::dlq::reader::Reader;

/// Letters that a dry run lists; it counts the rest.
const LISTED: u64 = 100;

/// Delete dead letters for good.
///
/// Says how many, and asks first; without a terminal it wants --yes. Only letters that failed
/// before it began are deleted. `wasq dlq export` keeps what is deleted.
#[derive(Args)]
#[command(override_usage = "wasq dlq discard [OPTIONS] <ID | --all | FILTERS>")]
#[command(group(ArgGroup::new("which").args(["id", "all"]).args(FILTERS).multiple(true).required(true)))]
pub struct Discard {
    /// This letter only, by its message id in the DLQ or the first part of it.
    #[arg(conflicts_with = "all", conflicts_with_all = FILTERS)]
    id: Option<String>,
    /// All letters, or all that match the filters.
    #[arg(long)]
    all: bool,
    /// Deletes without asking.
    #[arg(long, short)]
    yes: bool,
    /// Shows what would be deleted, and deletes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    dlq: DlqHandle,
    #[command(flatten)]
    filters: Filters,
}

impl Discard {
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<ExitCode> {
        let opened = self.dlq.open().await?;
        let began = clock::unix_ms();
        let filter = self.filters.at(began);
        let wanted = Wanted { id: self.id.as_deref(), filter: &filter, began };
        if self.dry_run || !self.yes {
            let count = self.count(&opened, &wanted, &stop).await?;
            if self.dry_run || count == 0 {
                return Ok(ExitCode::SUCCESS);
            }
            if !self.confirmed(count, opened.dlq.name(), &stop).await? {
                println!("nothing discarded");
                return Ok(ExitCode::FAILURE);
            }
        }
        let mut reader = opened.reader().await?;
        let discarded = discard(&opened, &mut reader, &wanted, &stop).await;
        print_notes(&reader.put_back().await);
        let Discarded { count, failed, left } = discarded?;
        if self.json {
            println!("{:#}", json!({ "discarded": count, "not_discarded": failed, "left": left }));
        } else {
            println!("{count} discarded, {left} left");
        }
        Ok(if failed == 0 && !stop.is_cancelled() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Shows and counts what is meant.
    async fn count(&self, opened: &Opened, wanted: &Wanted<'_>, stop: &CancellationToken) -> anyhow::Result<u64> {
        let (mut rows, mut count) = (Rows::default(), 0);
        let read = opened.look_through(stop, |view| {
            if wanted.is(&view) {
                if count < LISTED {
                    rows.add(&view);
                }
                count += 1;
            }
            Ok(Next::More)
        });
        read.await?;
        if let (Some(id), 0) = (wanted.id, count) {
            bail!("no dead letter {id} in {}; `wasq dlq ls` lists them", opened.dlq.name());
        }
        if let (Some(id), 2..) = (wanted.id, count) {
            bail!("{count} dead letters begin with {id}; give more of the one's id");
        }
        if self.json {
            if self.dry_run {
                println!("{:#}", json!({ "would_discard": count }));
            }
        } else {
            if !rows.is_empty() {
                rows.print();
            }
            println!("{count} would be discarded");
        }
        Ok(count)
    }

    async fn confirmed(&self, count: u64, dlq: &str, stop: &CancellationToken) -> anyhow::Result<bool> {
        let keep = "`wasq dlq export` with the same filters keeps a copy";
        if !std::io::stdin().is_terminal() {
            bail!("this deletes {count} dead letters from {dlq} permanently; confirm with --yes. {keep}");
        }
        eprintln!("{keep}.");
        ask(&format!("delete {count} letters of {dlq} for good?"), false, stop).await
    }
}

/// What is to go.
struct Wanted<'a> {
    id: Option<&'a str>,
    filter: &'a Filter,
    began: UnixMs,
}

struct Discarded {
    count: u64,
    failed: u64,
    left: u64,
}

impl Wanted<'_> {
    fn is(&self, view: &LetterView) -> bool {
        match self.id {
            Some(id) => view.id().0.starts_with(id),
            None => view.failed_at() <= self.began && self.filter.matches(view),
        }
    }
}

async fn discard(
    opened: &Opened,
    reader: &mut Reader<'_>,
    wanted: &Wanted<'_>,
    stop: &CancellationToken,
) -> anyhow::Result<Discarded> {
    let (mut count, mut failed) = (0, 0);
    let mut delete = async |reader: &mut Reader<'_>, ids: Vec<_>| {
        let errors = reader.delete(&ids).await;
        for (id, error) in &errors {
            eprintln!("{} could not be deleted: {error}", short(id));
        }
        failed += errors.len() as u64;
        count += (ids.len() - errors.len()) as u64;
    };
    let mut read_through = false;
    if let Some(id) = wanted.id {
        let view = opened.find(reader, id, stop).await?;
        delete(reader, vec![view.id().clone()]).await;
    } else {
        while !stop.is_cancelled() {
            let batch = reader.next(BATCH_MAX_ENTRIES).await;
            let Some(batch) = batch.with_context(|| format!("cannot read the DLQ {}", opened.dlq.name()))? else {
                read_through = true;
                break;
            };
            delete(reader, batch.iter().filter(|view| wanted.is(view)).map(|view| view.id().clone()).collect()).await;
        }
        print_notes(&reader.unseen().await?);
    }
    let left = if read_through { reader.hidden() as u64 } else { reader.total_at_open().saturating_sub(count) };
    Ok(Discarded { count, failed, left })
}
