//! What the bench and its processes say to each other: tasks, lines on the pipes, measurements.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use wasq::telemetry::stats::Times;
use wasq_core::clock;

use crate::contestant::Contestant;
use crate::queue_site::QueueSite;
use crate::workload::Workload;

/// A contestant's task: empty one queue to get warm, then the other against the clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Consumer {
    pub contestant: Contestant,
    #[serde(flatten)]
    pub site: QueueSite,
    pub warm_up: Load,
    pub load: Load,
    pub pollers: usize,
    pub concurrency: usize,
    /// Messages come while it runs, and their latency is what counts.
    pub latency: bool,
    pub host: HostSettings,
}

/// A queue and what is in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Load {
    /// Its URL on SQS, its name on a server.
    pub queue_url: String,
    pub messages: u64,
}

/// What only our own host needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostSettings {
    pub dlq_url: String,
    pub plugins_dir: PathBuf,
    pub compile_cache: PathBuf,
    /// `local`, `none`, or a table as in `wasq.toml`.
    pub ledger: String,
    /// For a local ledger; new for every process.
    pub ledger_dir: PathBuf,
}

/// Sends messages at an even pace, whether they are consumed or not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Producer {
    pub site: QueueSite,
    pub queue_url: String,
    pub workload: Workload,
    pub first: u64,
    pub messages: u64,
    pub per_s: f64,
}

/// What a consumer found, from its start to the last delete.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Messages handled and deleted.
    pub handled: u64,
    /// Handlers that were started, where that is not the same: in a host, duplicates start none.
    #[serde(default)]
    pub runs: Option<u64>,
    pub elapsed_s: f64,
    pub cpu_us: f64,
    pub rss_peak_bytes: u64,
    /// A message's share of `cpu_us` that went into the sandbox.
    #[serde(default)]
    pub guest_cpu_us: Option<f64>,
    /// By operation, where the consumer counts them itself.
    #[serde(default)]
    pub calls: Option<BTreeMap<String, u64>>,
    #[serde(default)]
    pub latency: Option<Latency>,
}

/// Of the messages that came while a consumer ran.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Latency {
    pub messages: u64,
    pub sent_to_start_ms: Percentiles,
    pub start_to_settled_ms: Percentiles,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
}

impl Percentiles {
    pub fn of(times: &Times) -> Self {
        Self { p50: times.ms(0.5), p99: times.ms(0.99), p999: times.ms(0.999) }
    }
}

/// Tells the bench something, as a line of JSON.
pub fn say(what: &impl Serialize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(what)?)?;
    out.flush().context("nobody listens")
}

/// Tells the bench that we are warm, and waits until it says go.
pub fn begin() -> anyhow::Result<()> {
    say(&"begin")?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    anyhow::ensure!(line.trim() == "go", "the bench did not say go, but {line:?}");
    Ok(())
}

/// Tells the bench that messages may come, if it waits for that.
pub fn consuming(consumer: &Consumer, load: &Load) -> anyhow::Result<()> {
    let is_the_one = consumer.latency && load.queue_url == consumer.load.queue_url;
    if is_the_one { say(&"consuming") } else { Ok(()) }
}

/// Time and CPU time since it was made.
pub struct Stopwatch {
    began: Instant,
    cpu: Duration,
}

impl Stopwatch {
    pub fn start() -> Self {
        Self { began: clock::now(), cpu: clock::process_cpu() }
    }

    pub fn stop(self, handled: u64) -> Measured {
        let cpu = clock::process_cpu().saturating_sub(self.cpu);
        Measured {
            handled,
            runs: None,
            elapsed_s: (clock::now() - self.began).as_secs_f64(),
            cpu_us: cpu.as_secs_f64() * 1e6,
            rss_peak_bytes: rss_peak_bytes(),
            guest_cpu_us: None,
            calls: None,
            latency: None,
        }
    }
}

/// The most memory that this process has had resident: `VmHWM` in /proc/self/status (proc(5)). 0
/// where there is no /proc.
pub fn rss_peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or_default() * 1024
}
