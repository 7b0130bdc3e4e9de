//! A quiet type beside a hostile one, in one process: how much longer its messages take.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wasq::plugins::Plugin;
use wasq_core::clock;

use crate::hostile::{Bench, guests, quantile};

/// How much longer the quiet type's p99 may be.
const RATIO_MAX: f64 = 1.2;
/// The quiet type's messages come at this pace, whether the one before is done or not.
const EVERY: Duration = Duration::from_millis(5);
/// How often each of the two is measured.
const TURNS: usize = 10;
/// The hostile type's timeout.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Measure a quiet type alone and beside one that computes for ever; say how its p99 compares.
///
/// Exits with 1 if the p99 beside it is more than 1.2 times the p99 alone.
#[derive(clap::Args)]
pub struct Neighbours {
    /// Messages of the quiet type in each of the two measurements; one comes every 5 ms.
    #[arg(long, default_value_t = 4_000)]
    messages: usize,
    /// Permits of the hostile type: so many of its messages compute for ever at once.
    #[arg(long, default_value_t = 4)]
    hostile: usize,
}

impl Neighbours {
    /// # Errors
    /// When it cannot be run at all.
    pub fn run(self) -> Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let (alone, beside) = runtime.block_on(async move { tokio::spawn(self.measure()).await })??;
        let ms = |times: &[Duration], part| quantile(times, part).as_secs_f64() * 1_000.0;
        let ratio = ms(&beside, 0.99) / ms(&alone, 0.99);
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        for (name, times) in [("alone", &alone), ("beside a hostile type", &beside)] {
            println!(
                "| {name}: p50, p90, p99 | {:.2}, {:.2}, {:.2} ms |",
                ms(times, 0.5),
                ms(times, 0.9),
                ms(times, 0.99)
            );
        }
        println!("| ratio of the p99 | {ratio:.2} (at most {RATIO_MAX}) |");
        println!("| load | {} |", load.split(' ').take(3).collect::<Vec<_>>().join(" "));
        Ok(if ratio <= RATIO_MAX { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// The quiet type's times alone and beside the hostile type, sorted. The two take turns, since
    /// what else the machine does changes.
    async fn measure(self) -> Result<(Vec<Duration>, Vec<Duration>)> {
        let bench = Arc::new(Bench::new(64)?);
        let quiet = Arc::new(bench.load("quiet", &std::fs::read(crate::guest("probe"))?, TIMEOUT)?);
        let endless = guests().into_iter().find(|guest| guest.name == "loop").expect("there is a guest named loop");
        let endless = Arc::new(bench.load("loop", &endless.component, TIMEOUT)?);
        // Once for the caches.
        paced(&bench, &quiet, self.messages / TURNS).await;
        // And once for the host to learn what the hostile type is: it knows by its first timeout.
        bench.run(&endless).await;
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            alone.extend(paced(&bench, &quiet, self.messages / TURNS).await);
            let mut hostile = JoinSet::new();
            for _ in 0..self.hostile {
                let (bench, endless) = (bench.clone(), endless.clone());
                hostile.spawn(async move {
                    loop {
                        bench.run(&endless).await;
                    }
                });
            }
            beside.extend(paced(&bench, &quiet, self.messages / TURNS).await);
            hostile.shutdown().await;
        }
        alone.sort();
        beside.sort();
        Ok((alone, beside))
    }
}

/// How long each message took from the moment it was due.
async fn paced(bench: &Arc<Bench>, plugin: &Arc<Plugin>, messages: usize) -> Vec<Duration> {
    let mut running = JoinSet::new();
    let began = clock::now();
    for n in 0..messages {
        let due: Instant = began + EVERY * n as u32;
        tokio::time::sleep_until(due).await;
        let (bench, plugin) = (bench.clone(), plugin.clone());
        running.spawn(async move {
            bench.run(&plugin).await;
            clock::now() - due
        });
    }
    running.join_all().await
}
