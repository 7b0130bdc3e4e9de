//! `wasq dlq replay`.

use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Args};
use indicatif::ProgressBar;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use wasq_core::clock;
use wasq_core::message::UnixMs;

use super::report::{Progress, report};
use super::select::{FILTERS, Filters, duration, rate, ratio};
use super::target::{DlqHandle, Next, Opened, print_notes};
use super::view::{Rows, short};
use crate::cli::send::progress;
use crate::dlq::filter::Filter;
use crate::dlq::letter_view::LetterView;
use crate::dlq::plan::{Canary, Event, Plan, ReplayEnd, Summary};
use crate::dlq::reader::{QueueDepth, Reader};
use crate::dlq::replay::Replay as Engine;
use crate::dlq::replayed_message::ReplayOptions;
use crate::dlq::targets::ReplayTargets;
use wasq_queues::QueueRules;

/// Letters that a dry run lists; it counts the rest.
const LISTED: u64 = 100;
/// How long the source queue must look empty until a canary counts as settled: SQS's counts lag by
/// up to a minute.
const QUIET: Duration = Duration::from_secs(60);
/// The same at an endpoint on this machine, whose counts are exact.
const QUIET_EXACT: Duration = Duration::from_secs(1);

/// Send dead letters back to their queues. Their keys go with them, so what was done is not done
/// again.
///
/// Each batch is sent and deleted before the next is read. Ctrl-C ends it between two batches;
/// killed or not, the same command goes on where it ended: what was replayed is gone from the DLQ,
/// and a letter that was sent and not yet deleted has its key. A letter that fails again while the
/// replay runs is not replayed again, but counted.
///
/// A message that failed several plugins has a letter of each. It is sent once, and runs in each
/// plugin that is not done.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
#[command(override_usage = "wasq dlq replay [OPTIONS] <ID | --all | FILTERS>")]
#[command(group(ArgGroup::new("which").args(["id", "all"]).args(FILTERS).multiple(true).required(true)))]
pub struct Replay {
    /// This letter only, by its message id in the DLQ or the first part of it.
    #[arg(conflicts_with = "all", conflicts_with_all = FILTERS)]
    id: Option<String>,
    /// All letters, or all that match the filters.
    #[arg(long)]
    all: bool,
    /// Shows what would be replayed, and replays nothing.
    #[arg(long)]
    dry_run: bool,
    /// Maximum number of dead letters to replay.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Maximum number of dead letters to replay in a second.
    #[arg(long, value_name = "N/s", value_parser = rate)]
    rate: Option<u32>,
    /// Sends N messages first, and the others only when these have left their queue or come back to
    /// the DLQ, and not too many came back (--max-failures).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    canary: Option<u64>,
    /// How long the canary may take. On a queue that others keep busy it cannot be seen to settle.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10m", requires = "canary")]
    timeout: Duration,
    /// How long the source queue must look empty until the canary counts as settled. Default: 60s,
    /// since SQS's counts lag; 1s at an endpoint on this machine.
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "canary")]
    settle: Option<Duration>,
    /// Stops when more than this share of the replayed messages has come back to the DLQ. Judged
    /// from ten messages on; a canary at any number.
    #[arg(long, value_name = "RATIO", value_parser = ratio, default_value = "0.1")]
    max_failures: f64,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    resend: Resend,
    #[command(flatten)]
    dlq: DlqHandle,
    #[command(flatten)]
    filters: Filters,
}

const EXAMPLES: &str = "Examples:
  wasq dlq replay 4f0c2a91
  wasq dlq replay --all --dry-run
  wasq dlq replay --class timeout --older-than 1h --canary 5 --rate 50/s";

/// How a letter is sent back.
#[derive(Args, Clone)]
pub struct Resend {
    /// Sends to this queue instead of the one that each letter names.
    #[arg(long, value_name = "QUEUE")]
    to: Option<String>,
    /// Run completed messages again under a new idempotency key (attribute `wasq-again`), once, in
    /// all plugins of their type. Side effects repeat.
    #[arg(long)]
    again: bool,
    /// Replay under a new key if the message has no free attribute for its old one. It may run
    /// twice.
    #[arg(long)]
    new_key: bool,
}

impl Replay {
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<ExitCode> {
        let opened = self.dlq.open().await?;
        let plan = self.plan(&opened);
        let mut sources = opened.sources(self.resend.to.as_deref()).await?;
        if self.dry_run {
            return self.rehearse(&opened, &plan, &mut sources, &stop).await;
        }
        let mut reader = opened.reader().await?;
        let view = match &self.id {
            Some(id) => Some(opened.find(&mut reader, id, &stop).await),
            None => None,
        };
        let ended = match view {
            Some(Err(error)) => Err(error),
            Some(Ok(view)) => Ok(replay(&opened, &mut reader, &mut sources, &plan, Some(&view), &stop).await),
            None => Ok(replay(&opened, &mut reader, &mut sources, &plan, None, &stop).await),
        };
        print_notes(&reader.put_back().await);
        let (summary, left) = ended?;
        Ok(report(&opened, &summary, left?, &plan, self.json))
    }

    fn plan(&self, opened: &Opened) -> Plan {
        let began = clock::unix_ms();
        let quiet = self.settle.unwrap_or(if opened.dlq.is_exact() { QUIET_EXACT } else { QUIET });
        Plan {
            began,
            filter: self.filters.at(began),
            limit: self.limit,
            rate: self.rate,
            canary: self.canary.map(|messages| Canary { messages, timeout: self.timeout, quiet }),
            failures_max: self.max_failures,
            how: self.resend.how(),
        }
    }

    /// Shows what would be replayed, and where to.
    async fn rehearse(
        &self,
        opened: &Opened,
        plan: &Plan,
        sources: &mut ReplayTargets,
        stop: &CancellationToken,
    ) -> anyhow::Result<ExitCode> {
        let mut meant: Vec<LetterView> = Vec::new();
        let (mut count, limit) = (0, plan.limit.unwrap_or(u64::MAX));
        let read = opened.look_through(stop, |view| {
            let is_meant = match &self.id {
                Some(id) => view.id().0.starts_with(id),
                None => view.failed_at() <= plan.began && plan.filter.matches(&view),
            };
            if is_meant && count < limit {
                count += 1;
                if count <= LISTED {
                    meant.push(view);
                }
            }
            Ok(if count < limit { Next::More } else { Next::Enough })
        });
        read.await?;
        if let (Some(id), 0) = (&self.id, count) {
            anyhow::bail!("no dead letter {id} in {}; `wasq dlq ls` lists them", opened.dlq.name());
        }
        let (mut rows, mut unfit, mut queues) = (Rows::default(), Vec::new(), std::collections::BTreeSet::new());
        for view in &meant {
            rows.add(view);
            let fits = match sources.of(view).await {
                Ok(queue) => {
                    queues.insert(queue.name().to_owned());
                    let message = view.replayed(&QueueRules::of_broker(&*queue), &plan.how);
                    message.map(drop).map_err(|unfit| unfit.to_string())
                }
                Err(why) => Err(why),
            };
            if let Err(why) = fits {
                unfit.push((view.id().clone(), why));
            }
        }
        if self.json {
            let ids: Vec<_> = meant.iter().map(LetterView::id).collect();
            let unfit: Vec<_> = unfit.iter().map(|(id, why)| json!({ "id": id, "why": why })).collect();
            println!("{:#}", json!({ "would_replay": count, "to": queues, "first": ids, "unfit": unfit }));
            return Ok(ExitCode::SUCCESS);
        }
        if !rows.is_empty() {
            rows.print();
        }
        for (id, why) in &unfit {
            println!("{} would stay: {why}", short(id));
        }
        let queues: Vec<_> = queues.into_iter().collect();
        let to = if queues.is_empty() { String::new() } else { format!(", to {}", queues.join(", ")) };
        println!("{count} would be replayed{to}");
        Ok(ExitCode::SUCCESS)
    }
}

impl Resend {
    pub fn how(&self) -> ReplayOptions {
        ReplayOptions { again: self.again, new_key: self.new_key, body: None }
    }

    pub fn to(&self) -> Option<&str> {
        self.to.as_deref()
    }

    /// A plan for one letter.
    pub fn plan(&self) -> Plan {
        Plan {
            began: UnixMs(u64::MAX),
            filter: Filter::default(),
            limit: None,
            rate: None,
            canary: None,
            failures_max: 1.0,
            how: self.how(),
        }
    }
}

/// Replays by the plan, or this letter only, and shows how it goes. The answer is what came of it
/// and what is left in the DLQ; what was read and not replayed is still in hand.
pub async fn replay(
    opened: &Opened,
    reader: &mut Reader<'_>,
    sources: &mut ReplayTargets,
    plan: &Plan,
    only: Option<&LetterView>,
    stop: &CancellationToken,
) -> (Summary, anyhow::Result<u64>) {
    let bar = match only {
        Some(_) => ProgressBar::hidden(),
        None => progress(plan.limit.unwrap_or(u64::MAX).min(reader.total_at_open()), "replayed"),
    };
    let mut shown = Progress::new(bar, only.is_none());
    let mut tell = |event: Event<'_>| shown.event(event);
    let (exact, ordered) = (opened.dlq.is_exact(), opened.dlq.is_fifo());
    let engine = Engine { reader: &mut *reader, sources, plan, stop, exact, ordered };
    let summary = match only {
        Some(view) => engine.these(std::slice::from_ref(view), &mut tell).await,
        None => engine.run(&mut tell).await,
    };
    shown.bar.finish_and_clear();
    // Read to its end, the DLQ has what is in hand; else what SQS counts.
    let left = match (&summary.ended, only) {
        (ReplayEnd::Through, None) => {
            match reader.unseen().await {
                Ok(notes) => print_notes(&notes),
                Err(error) => eprintln!("note: cannot count the DLQ: {error}"),
            }
            Ok(reader.hidden() as u64)
        }
        _ => QueueDepth::of(&*opened.dlq).await.map(QueueDepth::total).map_err(anyhow::Error::from),
    };
    (summary, left)
}
