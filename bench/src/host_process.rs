//! Our own host as a contestant: whole, without a ledger, or with the handler as a native function.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use wasq::config::{Config, Limits};
use wasq::host::Host;
use wasq::sandbox::Sandbox;
use wasq_core::clock;
use wasq_ledgers::Ledger;

use crate::contestant::Contestant;
use crate::no_ledger::NoLedger;
use crate::protocol::{Consumer, HostSettings, Latency, Load, Measured, Percentiles, Stopwatch, begin, consuming};
use crate::workload;

/// How often the host is asked whether it is done.
const LOOK: Duration = Duration::from_millis(2);
/// How often what it has done is counted while it is not.
const COUNT: Duration = Duration::from_millis(500);
/// After so long without progress the run has failed.
const STALLED: Duration = Duration::from_secs(60);
/// Instances that a host has room for, at least: the default of `limits.max_instances`.
const INSTANCES_MIN: usize = 512;
/// And at most.
const INSTANCES_MAX: usize = 10_000;

pub async fn run(consumer: Consumer) -> anyhow::Result<Measured> {
    let bench = Bench::new(consumer).await?;
    let warm_up = bench.consumer.warm_up.clone();
    if warm_up.messages > 0 {
        bench.empty(&warm_up, bench.sandbox.clone()).await.context("while it got warm")?;
    }
    begin()?;
    bench.empty(&bench.consumer.load, bench.sandbox.clone()).await
}

struct Bench {
    consumer: Consumer,
    ledger: Arc<dyn Ledger>,
    sandbox: Sandbox,
}

impl Bench {
    async fn new(consumer: Consumer) -> anyhow::Result<Self> {
        let config = config(&consumer, &consumer.load)?;
        let ledger: Arc<dyn Ledger> =
            match consumer.contestant == Contestant::WasqNoLedger || consumer.host.ledger == "none" {
                true => Arc::new(NoLedger),
                false => wasq_ledgers::open(&config.ledger, &config.aws).await?,
            };
        let sandbox = Sandbox::new(&config.limits).map_err(|error| anyhow::anyhow!("{error:#}"))?;
        let sandbox = match consumer.contestant == Contestant::WasqNative {
            true => sandbox.natively(workload::handle_job),
            false => sandbox,
        };
        Ok(Self { consumer, ledger, sandbox })
    }

    /// Runs a host until it has settled a load.
    async fn empty(&self, load: &Load, sandbox: Sandbox) -> anyhow::Result<Measured> {
        let host = Host::start_in(config(&self.consumer, load)?, self.ledger.clone(), sandbox).await?;
        // The workers have only just been spawned.
        let watch = Stopwatch::start();
        consuming(&self.consumer, load)?;
        let settled = settled(&host, load.messages).await;
        let outcome = watch.stop(load.messages);
        let runs = host.services().stats.snapshot().iter().map(|line| line.runs).sum();
        let in_the_sandbox = self.consumer.contestant != Contestant::WasqNative;
        let guest_cpu_us = in_the_sandbox.then(|| guest_cpu(&host).as_secs_f64() * 1e6 / load.messages.max(1) as f64);
        let latency = self.consumer.latency.then(|| latency(&host));
        host.shutdown(std::future::pending()).await;
        settled?;
        Ok(Measured { runs: Some(runs), guest_cpu_us, latency, ..outcome })
    }
}

/// The processor time of all runs: instances made, called and taken down, and their calls of the
/// host.
fn guest_cpu(host: &Host) -> Duration {
    let lines = host.services().stats.lines();
    lines.values().map(|line| Duration::from_secs_f64(line.guest_cpu.read().sum)).sum()
}

/// Waits until so many deliveries are settled, and each delete is confirmed.
async fn settled(host: &Host, messages: u64) -> anyhow::Result<()> {
    let (mut done, mut counted_at, mut progressed_at) = (0, clock::now(), clock::now());
    loop {
        tokio::time::sleep(LOOK).await;
        let idle = host.runtimes().iter().all(|runtime| runtime.keeper.in_progress() == 0);
        if !idle && counted_at.elapsed() < COUNT {
            continue;
        }
        counted_at = clock::now();
        let (before, now) = (done, done_by(host));
        done = now;
        if done > before {
            progressed_at = clock::now();
        }
        if idle && done >= messages {
            return Ok(());
        }
        if progressed_at.elapsed() > STALLED {
            bail!("{done} of {messages} messages are settled, and nothing has happened for {STALLED:?}");
        }
    }
}

/// Deliveries that the host has settled for good.
fn done_by(host: &Host) -> u64 {
    let done = |class: &str| ["done", "discard", "duplicate"].contains(&class);
    let lines = host.services().stats.snapshot();
    let of_line = |line: &wasq::telemetry::stats::LineStats| {
        let exits = line.exits.iter().filter(|(class, _)| done(class)).map(|(_, count)| count);
        exits.sum::<u64>() + line.dead_lettered
    };
    lines.iter().map(of_line).sum()
}

fn latency(host: &Host) -> Latency {
    let sent_to_start = host.services().stats.sent_to_start();
    let mut start_to_settled = wasq::telemetry::stats::Times::default();
    host.runtimes().iter().for_each(|runtime| start_to_settled += &runtime.settler.start_to_settled());
    Latency {
        messages: sent_to_start.count(),
        sent_to_start_ms: Percentiles::of(&sent_to_start),
        start_to_settled_ms: Percentiles::of(&start_to_settled),
    }
}

/// A host's config for one load.
fn config(consumer: &Consumer, load: &Load) -> anyhow::Result<Config> {
    let Consumer { pollers, concurrency, host, .. } = consumer;
    let text = format!(
        "scope = 'bench'\ngrant_all = true\ndrain_s = 5\nledger = {}\n\
         {}wait = '1s'\nmax_pollers = {pollers}\nconcurrency = {concurrency}\n",
        ledger_table(host),
        consumer.site.queue_table(&load.queue_url, &host.dlq_url),
    );
    let mut config = consumer.site.config(&text)?;
    config.plugins_dir = host.plugins_dir.clone();
    config.compile_cache = host.compile_cache.clone();
    config.compiler = Some(wasq::cli::process::own_binary()?);
    config.admin.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    // Plugins of normal priority have three quarters of the instances.
    let instances = (concurrency * 4).div_ceil(3).clamp(INSTANCES_MIN, INSTANCES_MAX);
    config.limits = Limits { max_instances: instances as u32, ..config.limits };
    Ok(config)
}

/// The `ledger` of `wasq.toml`.
pub fn ledger_table(host: &HostSettings) -> String {
    match host.ledger.as_str() {
        "local" | "none" => format!("{{ store = 'local', path = '{}' }}", host.ledger_dir.display()),
        table => table.to_owned(),
    }
}
