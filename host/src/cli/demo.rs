//! `wasq demo`: a shop's checkout, whole, with failures; and the proof that each effect happened as
//! often as it should.

mod client;
mod config;
mod expected;
mod inline;
mod orders;
mod picture;
mod sink;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::ProgressBar;
use wasq_core::clock;
use wasq_core::message::AttributeValue;
use wasq_ledgers::Ledger;
use wasq_ledgers::timers::LIST_MAX;
use wasq_local_sqs::{LocalSqs, Options};
use wasq_queues::sqs::{Sqs, SqsQueue};
use wasq_queues::{Outgoing, Queue, QueueRules};

use config::{NIGHT_S, PARTNER_LIMIT, QUEUE, config};
use expected::{Expected, REPORTS};
use orders::{Demand, Message, RENDITIONS, THUMBNAIL_SIZES};
use sink::Sink;
use table::{Comparison, Percentiles, Row};

use super::build;
use super::dev::create_queues;
use super::send::progress;
use super::table::columns;
use crate::dlq;
use crate::dlq::replayed_message::{self, ReplayOptions};
use crate::flow::decode::{KEY_ATTRIBUTE, TYPE_ATTRIBUTE};
use crate::host::Host;
use crate::telemetry::stats::LineStats;
use crate::timers::schedules;

/// The same orders every time.
const SEED: u64 = 2026;
/// Images that the shop uploads.
const IMAGES: usize = 3;
/// Videos that the shop uploads.
const VIDEOS: usize = 2;
/// How long the partner answers 503, from the first call on.
const PARTNER_DOWN: Duration = Duration::from_secs(3);
/// Orders that are checked out inline for comparison.
const INLINE_ORDERS: usize = 10;
/// After how long without any progress the demo gives up.
const STALLED: Duration = Duration::from_secs(90);
/// How often the demo looks at how far the host is.
const LOOK: Duration = Duration::from_millis(100);
/// How long a dead letter is hidden while it is replayed.
const LETTER_HIDDEN: Duration = Duration::from_secs(30);

/// Run a shop's checkout on this machine, with failures, and prove that each effect happened as
/// often as it should.
///
/// Builds the handlers in plugins/, starts a local queue, a host and a small HTTP server that
/// stands for the outside world; sends real orders, some twice and one that no handler can read,
/// and videos of which several messages make the parts, while the partner's webhook answers 503 for
/// a while and a schedule ticks. Ends with a table, and exits with 0 only if
/// the outside world saw every effect exactly as often as it should. Then the dead letter is
/// corrected, replayed, and checked again.
#[derive(Args)]
pub struct Demo {
    /// How many orders.
    #[arg(long, default_value_t = 200, value_parser = order_count)]
    orders: usize,
    /// Leaves everything running afterwards, to play with.
    #[arg(long)]
    keep: bool,
    /// Where the shop's handlers are. Default: plugins/ here, or beside the source that this binary
    /// was built from.
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
}

fn order_count(text: &str) -> Result<usize, String> {
    let count: usize = text.parse().map_err(|_| "write a number".to_owned())?;
    let allowed = 1..=orders::MAX_ORDERS;
    if allowed.contains(&count) { Ok(count) } else { Err(format!("use 1 to {}", orders::MAX_ORDERS)) }
}

impl Demo {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let source = self.source()?;
        let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
        eprintln!("building the shop's handlers in {}", source.display());
        let plugins_dir = scratch.path().join("plugins");
        build::build(&source, &plugins_dir, true)?;

        let shop = Shop::open(scratch.path(), &plugins_dir).await?;
        let demand = Demand::new(SEED, self.orders, IMAGES, VIDEOS, &shop.world.url())?;
        eprintln!(
            "sending {} orders, {} of them twice and one that no handler can read",
            self.orders,
            demand.twice.len()
        );
        let enqueue = shop.sell(&demand).await?;
        let before = shop.verify(&Expected::of(&demand, false));
        let replayed = shop.replay(&demand).await?;
        let after = shop.verify(&Expected::of(&demand, true));
        let inline = inline_checkout(&demand).await?;

        let nights = shop.world.count(REPORTS, None) as u64;
        let rows = rows(&shop.host.services().stats.snapshot(), &demand, nights);
        println!("\n{}", table::render(&rows, &Comparison { inline, enqueue }, columns()));
        println!("{}", before.words("before the replay"));
        println!("the order that no handler could read left {replayed} dead letters; corrected, they were replayed");
        println!("{}", after.words("after the replay"));
        let reports = expected::reports(&shop.world.effects(), NIGHT_S);
        match &reports {
            Ok(count) => println!("the nightly report, every {NIGHT_S} s here: {count} nights, each asked for once"),
            Err(error) => println!("the nightly report is wrong: {error}"),
        }
        let limit = PARTNER_LIMIT.parse().map_err(anyhow::Error::msg)?;
        let partner = expected::partner_calls(&shop.world.effects(), limit);
        match &partner {
            Ok(most) => println!("the partner allows {PARTNER_LIMIT}: it was called {most} times in a second at most"),
            Err(error) => println!("the partner was called too often: {error}"),
        }
        let good = before.is_good() && after.is_good() && replayed > 0 && reports.is_ok() && partner.is_ok();
        if self.keep {
            shop.keep().await?;
        }
        shop.close().await?;
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn source(&self) -> anyhow::Result<PathBuf> {
        let here = PathBuf::from("plugins");
        let beside_our_source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
        match &self.plugins {
            Some(dir) => Ok(dir.clone()),
            None if here.join("send-receipt").is_dir() => Ok(here),
            None if beside_our_source.is_dir() => Ok(beside_our_source.canonicalize()?),
            None => {
                bail!("the shop's handlers are not here; run this in a clone of the repository, or give --plugins DIR")
            }
        }
    }
}

/// The shop: its queue, its host, and the world outside.
struct Shop {
    sqs: LocalSqs,
    world: Sink,
    host: Host,
    queue: SqsQueue,
    dlq: SqsQueue,
}

/// Whether the world saw what it should.
struct Verdict {
    effects: usize,
    mismatches: Vec<String>,
}

impl Shop {
    async fn open(dir: &Path, plugins_dir: &Path) -> anyhow::Result<Self> {
        let sqs = LocalSqs::start(Options::new(dir.join("sqs")).port(0)).await?;
        let world = Sink::start().await?;
        world.set_latencies();
        let config = config(dir, plugins_dir, &sqs.endpoint_url(), &world.url())?;
        create_queues(&sqs, &config).await?;
        let client = Sqs::connect(&config.aws).await;
        let queue = client.queue(QUEUE).await?;
        let dlq = client.queue(&format!("{QUEUE}-dlq")).await?;
        let host = Host::start(config).await?;
        let ingress = host.ingress_addr().context("the ingress port does not listen")?;
        world.call_back(format!("http://{ingress}"));
        Ok(Self { sqs, world, host, queue, dlq })
    }

    /// Sends the demand while the partner is down for a while, and waits until all is settled. The
    /// answer is how long the shop waited for each order to be enqueued.
    async fn sell(&self, demand: &Demand) -> anyhow::Result<Percentiles> {
        self.world.fail("/partner", 503, None, None);
        let bar = progress(Expected::of(demand, false).total() as u64, "effects in the world");
        let send = async {
            let mut took = Vec::with_capacity(demand.messages.len());
            for message in &demand.messages {
                let started = clock::now();
                self.send(message).await?;
                took.push(clock::now() - started);
            }
            Percentiles::of(took).context("nothing was sent")
        };
        let heal = async {
            let met = self.world.wait_until(|effects| effects.iter().any(|effect| effect.path.starts_with("/partner")));
            tokio::time::timeout(STALLED, met).await.context("no handler has called the partner")?;
            tokio::time::sleep(PARTNER_DOWN).await;
            self.world.heal("/partner");
            anyhow::Ok(())
        };
        let (enqueue, healed) = futures::future::join(send, heal).await;
        healed?;
        self.settled(&bar).await?;
        bar.finish_and_clear();
        enqueue
    }

    async fn send(&self, message: &Message) -> anyhow::Result<()> {
        let outgoing = Outgoing {
            body: message.body.clone().into(),
            attributes: [
                (TYPE_ATTRIBUTE.to_owned(), AttributeValue::string(message.kind)),
                (KEY_ATTRIBUTE.to_owned(), AttributeValue::string(&message.idempotency_key)),
            ]
            .into(),
            delay_s: 0,
            group: None,
            deduplication_id: None,
        };
        for answer in self.queue.send(&[outgoing]).await {
            answer.context("cannot enqueue an order")?;
        }
        Ok(())
    }

    /// Waits until the queue is empty, every message deleted, and none waits in the ledger: for an
    /// answer, or to be sent.
    async fn settled(&self, bar: &ProgressBar) -> anyhow::Result<()> {
        let mut calls = 0;
        let mut progressed_at = clock::now();
        loop {
            let attributes = self.queue.attributes().await?;
            let left: u64 = ["", "NotVisible", "Delayed"]
                .iter()
                .filter_map(|suffix| {
                    attributes.get(&format!("ApproximateNumberOfMessages{suffix}"))?.parse::<u64>().ok()
                })
                .sum();
            let nights = self.world.count(REPORTS, None);
            bar.set_position((self.world.count("/", None) - nights) as u64);
            if left == 0 && self.waiting().await? == 0 {
                return Ok(());
            }
            // A schedule goes on whatever becomes of the orders.
            let now_calls = self.world.calls("/") - self.world.calls(REPORTS);
            if now_calls != calls {
                (calls, progressed_at) = (now_calls, clock::now());
            } else if clock::now() - progressed_at > STALLED {
                bail!("{left} messages are still in the queue, and nothing has happened for {STALLED:?}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Timers, but for those of schedules.
    async fn waiting(&self) -> anyhow::Result<usize> {
        let Some(store) = &self.host.services().timers else { return Ok(0) };
        let listed = store.timers().list(LIST_MAX, None).await?;
        Ok(listed.timers.iter().filter(|timer| !schedules::is_one(&timer.id)).count())
    }

    /// Corrects the dead letters of the order that no handler could read, and sends them back. The
    /// answer is how many.
    async fn replay(&self, demand: &Demand) -> anyhow::Result<usize> {
        let corrected = orders::message_of(&demand.poison.corrected)?.body;
        let ledger = self.host.services().ledger.clone() as std::sync::Arc<dyn Ledger>;
        let (rules, mut replayed) = (QueueRules::of_broker(&self.queue), 0);
        loop {
            let letters = self.dlq.receive(10, Duration::ZERO, LETTER_HIDDEN).await?;
            if letters.is_empty() {
                break;
            }
            for delivery in letters {
                let letter = dlq::read(&delivery, &ledger).await?;
                let options = ReplayOptions { body: Some(corrected.clone().into()), ..ReplayOptions::default() };
                let message = replayed_message::replayed(&delivery, letter.as_ref(), &rules, &options)?;
                for answer in self.queue.send(&[message]).await {
                    answer?;
                }
                for answer in self.dlq.delete(&[delivery.receipt]).await {
                    answer?;
                }
                replayed += 1;
            }
        }
        self.settled(&ProgressBar::hidden()).await?;
        Ok(replayed)
    }

    fn verify(&self, expected: &Expected) -> Verdict {
        let mut mismatches = match expected.check(&self.world.effects()) {
            Ok(()) => Vec::new(),
            Err(mismatches) => mismatches.iter().map(ToString::to_string).collect(),
        };
        if let Err(error) = self.world.verify_audit() {
            mismatches.push(format!("the audit log's chain is broken: {error}"));
        }
        Verdict { effects: expected.total(), mismatches }
    }

    async fn keep(&self) -> anyhow::Result<()> {
        println!("\nleft running until Ctrl-C:");
        println!("  local queue  {}  (queue `{QUEUE}`)", self.sqs.endpoint_url());
        println!("  admin        http://{}", self.host.admin_addr());
        println!("  the world    {}", self.world.url());
        println!("\n  wasq status --admin {}", self.host.admin_addr());
        super::process::Signals::listen()?.next().await;
        Ok(())
    }

    async fn close(self) -> anyhow::Result<()> {
        self.sqs.end_long_polls();
        self.host.shutdown(std::future::pending()).await;
        self.sqs.shutdown().await;
        self.world.shutdown().await
    }
}

impl Verdict {
    fn is_good(&self) -> bool {
        self.mismatches.is_empty()
    }

    fn words(&self, when: &str) -> String {
        if self.is_good() {
            return format!("{when}: the world saw each of {} effects exactly once", self.effects);
        }
        let shown: Vec<_> = self.mismatches.iter().take(20).map(|text| format!("\n  {text}")).collect();
        format!("{when}: {} effects are wrong:{}", self.mismatches.len(), shown.concat())
    }
}

/// The same checkout with every call made inside the request, against a world of its own.
async fn inline_checkout(demand: &Demand) -> anyhow::Result<Percentiles> {
    let world = Sink::start().await?;
    world.set_latencies();
    let orders = &demand.orders[..demand.orders.len().min(INLINE_ORDERS)];
    let took = inline::sample(&world.url(), orders).await;
    world.shutdown().await?;
    took
}

/// The table's rows, from what the host counted.
fn rows(lines: &[LineStats], demand: &Demand, nights: u64) -> Vec<Row> {
    let mut sent: BTreeMap<&str, u64> = BTreeMap::new();
    for message in &demand.messages {
        *sent.entry(message.kind).or_default() += 1;
    }
    let videos = demand.videos.len() as u64;
    let pictures = demand.videos.iter().map(|video| video.pictures().count() as u64).sum();
    sent.extend([
        ("thumbnail_wanted", (demand.images.len() * THUMBNAIL_SIZES.len()) as u64),
        ("rendition_wanted", videos * RENDITIONS.len() as u64),
        ("picture_wanted", pictures),
        ("moderation_wanted", videos),
        ("video_ready", videos),
        ("report_due", nights),
    ]);
    lines
        .iter()
        .filter(|line| !line.plugin.is_empty())
        .map(|line| {
            let exits = |class: &str| line.exits.get(class).copied().unwrap_or(0);
            // A run that ended to wait is no retry.
            let ended = exits("done") + exits("discard") + exits("waiting") + line.dead_lettered;
            let ms = |value: f64| Duration::from_secs_f64(value / 1_000.0);
            Row {
                kind: line.kind.clone(),
                plugin: line.plugin.clone(),
                sent: sent.get(line.kind.as_str()).copied().unwrap_or(0),
                done: exits("done"),
                retried: line.runs.saturating_sub(ended),
                duplicates: line.duplicates,
                dead_lettered: line.dead_lettered,
                latency: (exits("done") > 0)
                    .then(|| Percentiles { p50: ms(line.sent_to_done_p50_ms), p99: ms(line.sent_to_done_p99_ms) }),
            }
        })
        .collect()
}
