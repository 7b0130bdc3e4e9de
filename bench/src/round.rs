//! One contestant, once: a process of its own, a warm-up, a queue to empty; and what that took.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use crate::contestant::{Contestant, Runs};
use crate::environment::Environment;
use crate::peers::Peers;
use crate::pins::Pins;
use crate::process::Process;
use crate::produce_process::Produced;
use crate::protocol::{Consumer, HostSettings, Latency, Load, Measured, Producer};
use crate::queue_process::QueueUsage;
use crate::worker_process::WorkerProcess;
use crate::workload::Workload;

/// The calls that are about messages; others set up a queue.
const MESSAGE_CALLS: [&str; 6] = [
    "ReceiveMessage",
    "DeleteMessage",
    "DeleteMessageBatch",
    "ChangeMessageVisibility",
    "ChangeMessageVisibilityBatch",
    "SendMessageBatch",
];

/// What all runs have in common.
pub struct RoundRunner {
    pub environment: Environment,
    pub pins: Pins,
    pub peers: Peers,
    pub workload: Workload,
    pub ledger: String,
    pub plugins_dir: PathBuf,
    pub scratch: PathBuf,
}

/// How much a contestant does at once.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Pace {
    pub pollers: usize,
    pub concurrency: usize,
}

/// What one run came to. Times, CPU and calls a message.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    pub handled: u64,
    /// Handlers started; null where each message starts one.
    pub runs: Option<u64>,
    pub messages_per_s: f64,
    pub cpu_us: CpuUs,
    /// SQS calls a message; null where neither the queue nor the contestant counts them.
    pub calls_per_message: Option<f64>,
    pub calls: BTreeMap<String, u64>,
    pub rss_peak_bytes: u64,
}

/// Microseconds of CPU time a message.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CpuUs {
    /// The contestant's process, all in all.
    pub contestant: f64,
    /// Of that, outside the sandbox and in it: only for hosts.
    pub host: Option<f64>,
    pub guest: Option<f64>,
    /// The local queue's process.
    pub queue: Option<f64>,
}

impl RoundRunner {
    /// Has a contestant empty a fresh queue of `messages`.
    pub async fn run(&mut self, contestant: Contestant, pace: Pace, messages: u64) -> anyhow::Result<Sample> {
        let workload = self.workload.clone();
        let warm_up = self.environment.fill(warm_up(messages), |number| workload.warm_up(number)).await?;
        let load = self.environment.fill(messages, |number| workload.main(number, warm_up.messages)).await?;
        let (outcome, counts) = self.consume(contestant, pace, &warm_up, &load, None).await?;
        Ok(sample(&outcome, counts))
    }

    /// Has a contestant consume what is sent meanwhile, `per_s` for `seconds`. The answer is what
    /// was really sent a second, too.
    pub async fn watch(
        &mut self,
        contestant: Contestant,
        pace: Pace,
        per_s: f64,
        seconds: u64,
    ) -> anyhow::Result<(f64, Latency)> {
        let workload = self.workload.clone();
        let messages = ((per_s * seconds as f64) as u64).max(1);
        let warm_up = self.environment.fill(warm_up(messages), |number| workload.warm_up(number)).await?;
        let load = Load { queue_url: self.environment.queue().await?, messages };
        let site = self.environment.site().clone();
        let queue_url = load.queue_url.clone();
        let producer = Producer { site, queue_url, workload, first: warm_up.messages, messages, per_s };
        let (outcome, _) = self.consume(contestant, pace, &warm_up, &load, Some(&producer)).await?;
        let latency = outcome.latency.context("a consumer that was watched says how long messages took")?;
        Ok((messages as f64 / outcome.elapsed_s, latency))
    }

    async fn consume(
        &mut self,
        contestant: Contestant,
        pace: Pace,
        warm_up: &Load,
        load: &Load,
        producer: Option<&Producer>,
    ) -> anyhow::Result<(Measured, Option<QueueUsage>)> {
        let own = tempfile::tempdir_in(&self.scratch).context("cannot make a temporary directory")?;
        let consumer = self.consumer(contestant, pace, warm_up, load, producer.is_some(), own.path());
        let mut process = self.start(consumer, own.path())?;
        expect(&mut process, "begin").await?;
        let before = self.environment.counts().await?;
        process.tell("go").await?;
        if let Some(producer) = producer {
            expect(&mut process, "consuming").await?;
            let worker = WorkerProcess::Produce(producer.clone());
            let mut process = Process::worker("producer", &worker, self.pins.queue.as_deref(), own.path())?;
            process.hear::<Produced>().await?;
            process.end().await?;
        }
        let outcome: Measured = process.hear().await?;
        let after = self.environment.counts().await?;
        process.end().await?;
        for load in [warm_up, load] {
            self.environment.clear(load).await.with_context(|| format!("after {}", contestant.name()))?;
        }
        Ok((outcome, after.zip(before).map(|(after, before)| after.since(&before))))
    }

    fn consumer(
        &self,
        contestant: Contestant,
        pace: Pace,
        warm_up: &Load,
        load: &Load,
        latency: bool,
        own: &Path,
    ) -> Consumer {
        Consumer {
            contestant,
            site: self.environment.site().clone(),
            warm_up: warm_up.clone(),
            load: load.clone(),
            pollers: pace.pollers,
            concurrency: pace.concurrency,
            latency,
            host: HostSettings {
                dlq_url: self.environment.dlq().to_owned(),
                plugins_dir: self.plugins_dir.clone(),
                compile_cache: self.scratch.join("cache"),
                ledger: self.ledger.clone(),
                ledger_dir: own.join("ledger"),
            },
        }
    }

    fn start(&self, consumer: Consumer, own: &Path) -> anyhow::Result<Process> {
        let (name, cores) = (consumer.contestant.name(), self.pins.contestant.as_deref());
        match consumer.contestant.runs() {
            Runs::Here => Process::worker(&name, &WorkerProcess::Consume(consumer), cores, own),
            Runs::Node | Runs::Python => Process::start(&name, self.peers.command(&consumer, cores)?, own),
        }
    }
}

async fn expect(process: &mut Process, word: &str) -> anyhow::Result<()> {
    let heard: String = process.hear().await?;
    anyhow::ensure!(heard == word, "a process said {heard:?}, and not {word:?}");
    Ok(())
}

/// Messages that get a contestant warm.
fn warm_up(messages: u64) -> u64 {
    (messages / 5).clamp(1, 5_000)
}

fn sample(outcome: &Measured, counts: Option<QueueUsage>) -> Sample {
    let each = |sum: f64| sum / outcome.handled.max(1) as f64;
    let contestant = each(outcome.cpu_us);
    let cpu_us = CpuUs {
        contestant,
        host: outcome.guest_cpu_us.map(|guest| contestant - guest),
        guest: outcome.guest_cpu_us,
        queue: counts.as_ref().map(|counts| each(counts.cpu_us)),
    };
    // The queue has seen them all; a contestant counts its own.
    let calls = counts.map(|counts| counts.calls).or_else(|| outcome.calls.clone());
    let calls = calls.map(|calls| {
        calls
            .into_iter()
            .filter(|(operation, _)| MESSAGE_CALLS.contains(&operation.as_str()))
            .collect::<BTreeMap<_, _>>()
    });
    Sample {
        handled: outcome.handled,
        runs: outcome.runs,
        messages_per_s: outcome.handled as f64 / outcome.elapsed_s,
        cpu_us,
        calls_per_message: calls.as_ref().map(|calls| each(calls.values().sum::<u64>() as f64)),
        calls: calls.unwrap_or_default(),
        rss_peak_bytes: outcome.rss_peak_bytes,
    }
}
