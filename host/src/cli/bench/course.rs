//! One contender, once: a process of its own, a warm-up, a queue to empty; and what that took.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use super::contender::{Contender, Runs};
use super::ground::Ground;
use super::order::Mail;
use super::part::{Consumer, HostSettings, Latency, Load, Outcome, Part, Producer};
use super::peers::Peers;
use super::pins::Pins;
use super::process::Process;
use super::produce_part::Produced;
use super::queue_part::Counts;

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
pub struct Course {
    pub ground: Ground,
    pub pins: Pins,
    pub peers: Peers,
    pub mail: Mail,
    pub ledger: String,
    pub plugins_dir: PathBuf,
    pub scratch: PathBuf,
}

/// How much a contender does at once.
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
    /// SQS calls a message; null where neither the queue nor the contender counts them.
    pub calls_per_message: Option<f64>,
    pub calls: BTreeMap<String, u64>,
    pub rss_peak_bytes: u64,
}

/// Microseconds of CPU time a message.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CpuUs {
    /// The contender's process, all in all.
    pub contender: f64,
    /// Of that, outside the sandbox and in it: only for hosts.
    pub host: Option<f64>,
    pub guest: Option<f64>,
    /// The local queue's process.
    pub queue: Option<f64>,
}

impl Course {
    /// Has a contender empty a fresh queue of `messages`.
    pub async fn run(&mut self, contender: Contender, pace: Pace, messages: u64) -> anyhow::Result<Sample> {
        let mail = self.mail.clone();
        let warm_up = self.ground.fill(warm_up(messages), |number| mail.warm_up(number)).await?;
        let load = self.ground.fill(messages, |number| mail.main(number, warm_up.messages)).await?;
        let (outcome, counts) = self.consume(contender, pace, &warm_up, &load, None).await?;
        Ok(sample(&outcome, counts))
    }

    /// Has a contender consume what is sent meanwhile, `per_s` for `seconds`. The answer is what was really sent a second, too.
    pub async fn watch(
        &mut self,
        contender: Contender,
        pace: Pace,
        per_s: f64,
        seconds: u64,
    ) -> anyhow::Result<(f64, Latency)> {
        let mail = self.mail.clone();
        let messages = ((per_s * seconds as f64) as u64).max(1);
        let warm_up = self.ground.fill(warm_up(messages), |number| mail.warm_up(number)).await?;
        let load = Load { queue_url: self.ground.queue().await?, messages };
        let endpoint = self.ground.endpoint().to_owned();
        let queue_url = load.queue_url.clone();
        let producer = Producer { endpoint, queue_url, mail, first: warm_up.messages, messages, per_s };
        let (outcome, _) = self.consume(contender, pace, &warm_up, &load, Some(&producer)).await?;
        let latency = outcome.latency.context("a consumer that was watched says how long messages took")?;
        Ok((messages as f64 / outcome.elapsed_s, latency))
    }

    async fn consume(
        &mut self,
        contender: Contender,
        pace: Pace,
        warm_up: &Load,
        load: &Load,
        producer: Option<&Producer>,
    ) -> anyhow::Result<(Outcome, Option<Counts>)> {
        let own = tempfile::tempdir_in(&self.scratch).context("cannot make a temporary directory")?;
        let consumer = self.consumer(contender, pace, warm_up, load, producer.is_some(), own.path());
        let mut process = self.start(consumer, own.path())?;
        expect(&mut process, "begin").await?;
        let before = self.ground.counts().await?;
        process.tell("go").await?;
        if let Some(producer) = producer {
            expect(&mut process, "consuming").await?;
            let part = Part::Produce(producer.clone());
            let mut process = Process::part("producer", &part, self.pins.queue.as_deref(), own.path())?;
            process.hear::<Produced>().await?;
            process.end().await?;
        }
        let outcome: Outcome = process.hear().await?;
        let after = self.ground.counts().await?;
        process.end().await?;
        for load in [warm_up, load] {
            self.ground.clear(load).await.with_context(|| format!("after {}", contender.name()))?;
        }
        Ok((outcome, after.zip(before).map(|(after, before)| after.since(&before))))
    }

    fn consumer(
        &self,
        contender: Contender,
        pace: Pace,
        warm_up: &Load,
        load: &Load,
        latency: bool,
        own: &Path,
    ) -> Consumer {
        Consumer {
            contender,
            endpoint: self.ground.endpoint().to_owned(),
            warm_up: warm_up.clone(),
            load: load.clone(),
            pollers: pace.pollers,
            concurrency: pace.concurrency,
            latency,
            host: HostSettings {
                dlq_url: self.ground.dlq().to_owned(),
                plugins_dir: self.plugins_dir.clone(),
                compile_cache: self.scratch.join("cache"),
                ledger: self.ledger.clone(),
                ledger_dir: own.join("ledger"),
            },
        }
    }

    fn start(&self, consumer: Consumer, own: &Path) -> anyhow::Result<Process> {
        let (name, cores) = (consumer.contender.name(), self.pins.contender.as_deref());
        match consumer.contender.runs() {
            Runs::Here => Process::part(&name, &Part::Consume(consumer), cores, own),
            Runs::Node | Runs::Python => Process::start(&name, self.peers.command(&consumer, cores)?, own),
        }
    }
}

async fn expect(process: &mut Process, word: &str) -> anyhow::Result<()> {
    let heard: String = process.hear().await?;
    anyhow::ensure!(heard == word, "a part said {heard:?}, and not {word:?}");
    Ok(())
}

/// Messages that get a contender warm.
fn warm_up(messages: u64) -> u64 {
    (messages / 5).clamp(1, 5_000)
}

fn sample(outcome: &Outcome, counts: Option<Counts>) -> Sample {
    let each = |sum: f64| sum / outcome.handled.max(1) as f64;
    let contender = each(outcome.cpu_us);
    let cpu_us = CpuUs {
        contender,
        host: outcome.guest_cpu_us.map(|guest| contender - guest),
        guest: outcome.guest_cpu_us,
        queue: counts.as_ref().map(|counts| each(counts.cpu_us)),
    };
    // The queue has seen them all; a contender counts its own.
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
