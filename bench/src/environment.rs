//! Where the bench takes place: the local queue in a process of its own, or an endpoint that is
//! there already; and the queues on it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use futures::stream::{FuturesUnordered, StreamExt};
use wasq_queues::sqs::{Sqs, SqsQueue};
use wasq_queues::{Outgoing, Queue, batches};

use crate::pins::Pins;
use crate::process::Process;
use crate::protocol::{Load, aws};
use crate::queue_process::QueueUsage;
use crate::worker_process::WorkerProcess;

/// Batches on their way at once.
const BATCHES: usize = 16;
/// Messages that are made at once.
const CHUNK: u64 = 1_000;

pub struct Environment {
    endpoint: String,
    sqs: Sqs,
    server: Option<Process>,
    /// Tells the queues of this run apart from those of others on the same endpoint.
    run: String,
    made: usize,
    dlq: String,
}

impl Environment {
    pub async fn open(endpoint: Option<&str>, pins: &Pins, scratch: &Path) -> anyhow::Result<Self> {
        let (endpoint, server) = match endpoint {
            Some(endpoint) => (endpoint.to_owned(), None),
            None => {
                let worker = WorkerProcess::Queue(scratch.join("sqs"));
                let mut server = Process::worker("local-queue", &worker, pins.queue.as_deref(), scratch)?;
                (server.hear().await?, Some(server))
            }
        };
        let sqs = Sqs::connect(&aws(&endpoint)).await;
        let run = format!("wasq-bench-{:08x}", fastrand::u32(..));
        let mut environment = Self { endpoint, sqs, server, run, made: 0, dlq: String::new() };
        environment.dlq = environment.queue().await?;
        Ok(environment)
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The URL of a queue for what a handler gives up on. Nothing comes there.
    pub fn dlq(&self) -> &str {
        &self.dlq
    }

    /// Makes an empty queue. The answer is its URL.
    pub async fn queue(&mut self) -> anyhow::Result<String> {
        let name = format!("{}-{}", self.run, self.made);
        self.made += 1;
        let made = self.sqs.client().create_queue().queue_name(&name).send().await;
        let made = made.with_context(|| format!("cannot make the queue `{name}` at {}", self.endpoint))?;
        made.queue_url.context("a new queue has a URL")
    }

    /// Makes a queue and sends these messages to it.
    pub async fn fill(&mut self, messages: u64, message: impl Fn(u64) -> Outgoing) -> anyhow::Result<Load> {
        let queue_url = self.queue().await?;
        let queue = self.sqs.queue(&queue_url).await?;
        for first in (0..messages).step_by(CHUNK as usize) {
            let chunk: Vec<_> = (first..messages.min(first + CHUNK)).map(&message).collect();
            send(&queue, &chunk).await?;
        }
        Ok(Load { queue_url, messages })
    }

    /// Takes a load's queue away. On the local queue it must be empty: its consumer said that it
    /// was done.
    pub async fn clear(&self, load: &Load) -> anyhow::Result<()> {
        if self.server.is_some() {
            let attributes = self.sqs.queue(&load.queue_url).await?.attributes().await?;
            let left: u64 = ["", "NotVisible", "Delayed"]
                .iter()
                .filter_map(|suffix| {
                    attributes.get(&format!("ApproximateNumberOfMessages{suffix}"))?.parse::<u64>().ok()
                })
                .sum();
            anyhow::ensure!(left == 0, "{left} of {} messages are left in the queue", load.messages);
        }
        self.remove(&load.queue_url).await
    }

    async fn remove(&self, url: &str) -> anyhow::Result<()> {
        self.sqs.client().delete_queue().queue_url(url).send().await.with_context(|| format!("cannot delete {url}"))?;
        Ok(())
    }

    /// What the local queue has done so far.
    pub async fn counts(&mut self) -> anyhow::Result<Option<QueueUsage>> {
        let Some(server) = &mut self.server else { return Ok(None) };
        server.tell("counts").await?;
        Ok(Some(server.hear().await?))
    }

    pub async fn close(self) -> anyhow::Result<()> {
        self.remove(&self.dlq).await?;
        match self.server {
            Some(server) => server.end().await,
            None => Ok(()),
        }
    }
}

async fn send(queue: &SqsQueue, messages: &[Outgoing]) -> anyhow::Result<()> {
    let (mut under_way, mut batches) = (FuturesUnordered::new(), batches(messages).into_iter());
    loop {
        while under_way.len() < BATCHES
            && let Some(batch) = batches.next()
        {
            under_way.push(queue.send(batch));
        }
        let Some(answers) = under_way.next().await else { return Ok(()) };
        for answer in answers {
            answer.context("cannot fill the queue")?;
        }
    }
}

impl QueueUsage {
    /// What was done since then.
    pub fn since(&self, before: &Self) -> Self {
        let calls: BTreeMap<String, u64> = self
            .calls
            .iter()
            .map(|(operation, calls)| (operation.clone(), calls - before.calls.get(operation).unwrap_or(&0)))
            .filter(|(_, calls)| *calls > 0)
            .collect();
        Self { calls, cpu_us: self.cpu_us - before.cpu_us, rss_peak_bytes: self.rss_peak_bytes }
    }
}
