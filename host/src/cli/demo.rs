//! `wasq demo`: a shop's checkout, whole, with failures; and the proof that each effect happened as
//! often as it should.

mod client;
mod config;
mod expected;
mod inline;
mod orders;
mod picture;
mod shop;
mod sink;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use config::{NIGHT_S, PARTNER_LIMIT, SHARED_QUEUE, on_server};
use expected::{Expected, REPORTS};
use orders::{Demand, RENDITIONS, THUMBNAIL_SIZES};
use shop::Shop;
use sink::Sink;
use table::{Comparison, Percentiles, Row};

use super::broker::BrokerServer;
use super::build;
use super::table::columns;
use super::version::beside_our_source;
use crate::telemetry::stats::LineStats;

/// The same orders every time.
const SEED: u64 = 2026;
/// Images that the shop uploads.
const IMAGES: usize = 3;
/// Videos that the shop uploads.
const VIDEOS: usize = 2;
/// The examples of the SDKs for other languages, beside plugins/.
const LANGUAGES: [&str; 2] = ["sdk/js/examples", "sdk/python/examples"];
/// Orders that are checked out inline for comparison.
const INLINE_ORDERS: usize = 10;

/// Run a shop's checkout on this machine, with failures, and prove that each effect happened as
/// often as it should.
///
/// Builds the handlers in plugins/, starts a local queue, a host and a small HTTP server that
/// stands for the outside world; sends real orders, some twice and one that no handler can read,
/// and videos of which several messages make the parts, while the partner's webhook answers 503 for
/// a while and a schedule ticks. Ends with a table, and exits with 0 only if
/// the outside world saw every effect exactly as often as it should. Then the dead letter is
/// corrected, replayed, and checked again. On a broker of yours (`--broker`) the demo makes the
/// queues `wasq-demo-orders` and `wasq-demo-orders-dlq`, and leaves them empty.
#[derive(Args)]
pub struct Demo {
    /// How many orders.
    #[arg(long, default_value_t = 200, value_parser = order_count)]
    orders: usize,
    /// Leaves everything running afterwards, to play with.
    #[arg(long)]
    keep: bool,
    /// Runs track-analytics in TypeScript and update-inventory in Python, from the SDKs' examples.
    /// They need their tools, Node and Python, which their builds name where they are missing.
    #[arg(long)]
    languages: bool,
    #[command(flatten)]
    server: BrokerServer,
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
        let server = self.server.location(SHARED_QUEUE)?.map(|location| on_server(&location));
        let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
        eprintln!("building the shop's handlers in {}", source.display());
        let plugins_dir = scratch.path().join("plugins");
        build::build(&source, &plugins_dir, true)?;
        if self.languages {
            // In place of those in Rust: their names are the same.
            for examples in LANGUAGES.map(|dir| source.with_file_name(dir)) {
                eprintln!("building the handlers in {}", examples.display());
                build::build(&examples, &plugins_dir, true)?;
            }
        }

        let shop = Shop::open(scratch.path(), &plugins_dir, server.as_deref()).await?;
        let demand = Demand::new(SEED, self.orders, IMAGES, VIDEOS, &shop.world.url())?;
        eprintln!(
            "sending {} orders, {PARTNER_LIMIT}, {} of them twice and one that no handler can read",
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
        match (&self.plugins, beside_our_source("../plugins")) {
            (Some(dir), _) => Ok(dir.clone()),
            (None, _) if here.join("send-receipt").is_dir() => Ok(here),
            (None, Some(dir)) => Ok(dir.canonicalize()?),
            (None, None) => {
                bail!("the shop's handlers are not here; run this in a clone of the repository, or give --plugins DIR")
            }
        }
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
