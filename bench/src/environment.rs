//! Where the bench takes place: the local queue in a process of its own, an endpoint of SQS or a
//! broker's server that is there already; and the queues on it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use futures::stream::{FuturesUnordered, StreamExt};
use wasq::cli::topology;
use wasq::config::Broker;
use wasq_queues::sqs::Sqs;
use wasq_queues::{Outgoing, Queue, batches};

use crate::pins::Pins;
use crate::process::Process;
use crate::protocol::Load;
use crate::queue_process::QueueUsage;
use crate::queue_site::{QueueSite, aws};
use crate::worker_process::WorkerProcess;
use crate::{native_kafka, native_rabbitmq, native_redis};

/// Batches on their way at once.
const BATCHES: usize = 16;
/// Messages that are made at once.
const CHUNK: u64 = 1_000;

pub struct Environment {
    site: QueueSite,
    /// Makes and deletes the queues on SQS.
    sqs: Option<Sqs>,
    server: Option<Process>,
    /// Tells the queues of this run apart from those of others on the same endpoint.
    run: String,
    made: usize,
    dlq: String,
}

impl Environment {
    /// On a broker, whose server `endpoint` is; on SQS without one it is a local queue.
    pub async fn open(broker: Broker, endpoint: Option<&str>, pins: &Pins, scratch: &Path) -> anyhow::Result<Self> {
        let (endpoint, server) = match endpoint {
            Some(endpoint) => (endpoint.to_owned(), None),
            None if broker != Broker::Sqs => {
                anyhow::bail!(
                    "--broker {broker} needs a server; say where it is with --broker-url, or in WASQ_BROKER_URL"
                )
            }
            None => {
                let worker = WorkerProcess::Queue(scratch.join("sqs"));
                let mut server = Process::worker("local-queue", &worker, pins.queue.as_deref(), scratch)?;
                (server.hear().await?, Some(server))
            }
        };
        let sqs = match broker {
            Broker::Sqs => Some(Sqs::connect(&aws(&endpoint)).await),
            Broker::RabbitMq | Broker::Redis | Broker::Kafka => None,
        };
        let run = format!("wasq-bench-{:08x}", fastrand::u32(..));
        let site = QueueSite { broker, endpoint };
        let mut environment = Self { site, sqs, server, dlq: format!("{run}-dlq"), run, made: 0 };
        if environment.sqs.is_some() {
            environment.dlq = environment.queue().await?;
        }
        Ok(environment)
    }

    pub fn site(&self) -> &QueueSite {
        &self.site
    }

    /// The queue for what a handler gives up on. Nothing comes there.
    pub fn dlq(&self) -> &str {
        &self.dlq
    }

    /// Makes an empty queue. The answer is its URL, or its name on a server.
    pub async fn queue(&mut self) -> anyhow::Result<String> {
        let name = format!("{}-{}", self.run, self.made);
        self.made += 1;
        let Some(sqs) = &self.sqs else {
            // Its DLQ is made with it, and is there from the second one on.
            topology::make(&self.site.config(&self.site.queue_table(&name, &self.dlq))?).await?;
            return Ok(name);
        };
        let made = sqs.client().create_queue().queue_name(&name).send().await;
        let made = made.with_context(|| format!("cannot make the queue `{name}` at {}", self.site.endpoint))?;
        made.queue_url.context("a new queue has a URL")
    }

    /// Makes a queue and sends these messages to it.
    pub async fn fill(&mut self, messages: u64, message: impl Fn(u64) -> Outgoing) -> anyhow::Result<Load> {
        let queue_url = self.queue().await?;
        let queue = self.site.open(&queue_url).await?;
        for first in (0..messages).step_by(CHUNK as usize) {
            let chunk: Vec<_> = (first..messages.min(first + CHUNK)).map(&message).collect();
            send(&*queue, &chunk).await?;
        }
        Ok(Load { queue_url, messages })
    }

    /// Takes a load's queue away. On the local queue it must be empty: its consumer said that it
    /// was done.
    pub async fn clear(&self, load: &Load) -> anyhow::Result<()> {
        if self.server.is_some() {
            let attributes = self.site.open(&load.queue_url).await?.attributes().await?;
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

    async fn remove(&self, queue: &str) -> anyhow::Result<()> {
        let (endpoint, queues) = (&self.site.endpoint, [queue.to_owned()]);
        let removed = match &self.sqs {
            Some(sqs) => sqs.client().delete_queue().queue_url(queue).send().await.map(drop).map_err(Into::into),
            None => match self.site.broker {
                Broker::Sqs => Ok(()),
                Broker::RabbitMq => native_rabbitmq::remove(endpoint, &queues).await,
                Broker::Redis => native_redis::remove(endpoint, &queues).await,
                Broker::Kafka => native_kafka::remove(endpoint, &queues).await,
            },
        };
        removed.with_context(|| format!("cannot delete {queue}"))
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

async fn send(queue: &dyn Queue, messages: &[Outgoing]) -> anyhow::Result<()> {
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
