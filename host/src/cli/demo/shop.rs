//! The shop while the demo runs: it sends its orders, waits until all is settled, and looks at what
//! the world saw.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use wasq_core::clock;
use wasq_core::message::AttributeValue;
use wasq_ledgers::Ledger;
use wasq_ledgers::timers::LIST_MAX;
use wasq_local_sqs::{LocalSqs, Options};
use wasq_queues::{Brokers, Outgoing, Queue, QueueRules};

use super::config::{PARTNER_LIMIT, QUEUE, config, on_local_sqs};
use super::expected::{Expected, REPORTS};
use super::orders::{self, Demand, Message};
use super::sink::Sink;
use super::table::Percentiles;
use crate::cli::dev::create_queues;
use crate::cli::process::Signals;
use crate::cli::send::progress;
use crate::cli::topology;
use crate::config::{Config, Rate};
use crate::dlq;
use crate::dlq::replayed_message::{self, ReplayOptions};
use crate::flow::decode::{KEY_ATTRIBUTE, TYPE_ATTRIBUTE};
use crate::host::Host;
use crate::timers::schedules;

/// How long the partner answers 503, from the first call on.
const PARTNER_DOWN: Duration = Duration::from_secs(3);
/// After how long without any progress the demo gives up.
const STALLED: Duration = Duration::from_secs(90);
/// How often the demo looks at how far the host is.
const LOOK: Duration = Duration::from_millis(100);
/// How often in a row a queue must be empty whose counts are not exact.
const EMPTY_LOOKS: usize = 5;
/// How long a dead letter may take to come from a queue whose answers are not exact.
const LETTER_WAIT: Duration = Duration::from_secs(2);
/// How long a dead letter is hidden while it is replayed.
const LETTER_HIDDEN: Duration = Duration::from_secs(30);

/// The shop: its queue, its host, and the world outside.
pub struct Shop {
    sqs: LocalSqs,
    pub world: Sink,
    pub host: Host,
    /// As the host has it.
    queue: Arc<dyn Queue>,
    dlq: Arc<dyn Queue>,
}

/// Whether the world saw what it should.
pub struct Verdict {
    effects: usize,
    mismatches: Vec<String>,
}

impl Shop {
    pub async fn open(dir: &Path, plugins_dir: &Path, server: Option<&str>) -> anyhow::Result<Self> {
        let sqs = LocalSqs::start(Options::new(dir.join("sqs")).port(0)).await?;
        let world = Sink::start().await?;
        world.set_latencies();
        let location = server.map_or_else(|| on_local_sqs(&sqs.endpoint_url()), str::to_owned);
        let config = config(dir, plugins_dir, &location, &world.url())?;
        match server {
            None => create_queues(&sqs, &config).await?,
            Some(_) => topology::make(&config).await?,
        }
        let (queue, dlq) = open_queues(&config).await?;
        let host = Host::start(config).await?;
        // The host's own knows what it has in hand.
        let queue = host.services().outlets.get(QUEUE).map_or(queue, |outlet| outlet.queue.clone());
        let ingress = host.ingress_addr().context("the ingress port does not listen")?;
        world.call_back(format!("http://{ingress}"));
        Ok(Self { sqs, world, host, queue, dlq })
    }

    /// Sends the demand, as fast as the partner may be called, while the partner is down at first,
    /// and waits until all is settled. The answer is how long the shop waited for each order to be
    /// enqueued.
    pub async fn sell(&self, demand: &Demand) -> anyhow::Result<Percentiles> {
        self.world.fail("/partner", 503, None, None);
        let bar = progress(Expected::of(demand, false).total() as u64, "effects in the world");
        let send = async {
            let mut took = Vec::with_capacity(demand.messages.len());
            let limit: Rate = PARTNER_LIMIT.parse().map_err(anyhow::Error::msg)?;
            let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / limit.per_second()));
            for message in &demand.messages {
                pace.tick().await;
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
        let mut empty = 0;
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
            empty = if left == 0 && self.waiting().await? == 0 { empty + 1 } else { 0 };
            // Between its queue and the host a message can be in neither's count.
            if empty >= if self.queue.is_exact() { 1 } else { EMPTY_LOOKS } {
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
    pub async fn replay(&self, demand: &Demand) -> anyhow::Result<usize> {
        let corrected = orders::message_of(&demand.poison.corrected)?.body;
        let ledger = self.host.services().ledger.clone() as std::sync::Arc<dyn Ledger>;
        let (rules, mut replayed) = (QueueRules::of_broker(&*self.queue), 0);
        let wait = if self.dlq.is_exact() { Duration::ZERO } else { LETTER_WAIT };
        loop {
            let letters = self.dlq.receive(10, wait, LETTER_HIDDEN).await?;
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

    pub fn verify(&self, expected: &Expected) -> Verdict {
        let mut mismatches = match expected.check(&self.world.effects()) {
            Ok(()) => Vec::new(),
            Err(mismatches) => mismatches.iter().map(ToString::to_string).collect(),
        };
        if let Err(error) = self.world.verify_audit() {
            mismatches.push(format!("the audit log's chain is broken: {error}"));
        }
        Verdict { effects: expected.total(), mismatches }
    }

    pub async fn keep(&self) -> anyhow::Result<()> {
        println!("\nleft running until Ctrl-C:");
        println!("  queue        {}", self.queue.url());
        println!("  admin        http://{}", self.host.admin_addr());
        println!("  the world    {}", self.world.url());
        println!("\n  wasq status --admin {}", self.host.admin_addr());
        Signals::listen()?.next().await;
        Ok(())
    }

    pub async fn close(self) -> anyhow::Result<()> {
        self.sqs.end_long_polls();
        self.host.shutdown(std::future::pending()).await;
        self.sqs.shutdown().await;
        self.world.shutdown().await
    }
}

impl Verdict {
    pub fn is_good(&self) -> bool {
        self.mismatches.is_empty()
    }

    pub fn words(&self, when: &str) -> String {
        if self.is_good() {
            return format!("{when}: the world saw each of {} effects exactly once", self.effects);
        }
        let shown: Vec<_> = self.mismatches.iter().take(20).map(|text| format!("\n  {text}")).collect();
        format!("{when}: {} effects are wrong:{}", self.mismatches.len(), shown.concat())
    }
}

/// The queue and its DLQ, which are to be empty: what is in them would be handled, too.
async fn open_queues(config: &Config) -> anyhow::Result<(Arc<dyn Queue>, Arc<dyn Queue>)> {
    let location = config.location(QUEUE).context("the demo's config has its queue")?;
    let queue = Brokers::new(&config.aws).queue(&location.address()).await?;
    let dlq = config.queues[QUEUE].dlq.as_deref().context("the demo's queue has a DLQ")?;
    let dlq = queue.sibling(dlq).await?;
    for queue in [&queue, &dlq] {
        let waiting = queue.attributes().await?.get("ApproximateNumberOfMessages").cloned();
        if let Some(waiting) = waiting.filter(|waiting| waiting != "0") {
            bail!("the queue {} has {waiting} messages already; empty it, and run the demo again", queue.name());
        }
    }
    Ok((queue, dlq))
}
