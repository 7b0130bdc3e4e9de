//! A supervisor: it runs real hosts over the local queue and a ledger, kills, stops and ends them
//! while they work, cuts and delays their connections, and then holds what the ledger says against
//! what an independent sink saw.

pub mod hosts;
pub mod proxy;
mod sink;
mod verdict;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_sqs::types::QueueAttributeName;
use fastrand::Rng;
use serde_json::{Value, json};
use tempfile::TempDir;
use wasq::config::AwsConfig;
use wasq_core::clock;
use wasq_core::message::AttributeValue;
use wasq_local_sqs::{LocalSqs, Options as SqsOptions};
use wasq_queues::sqs::{Sqs, SqsQueue};
use wasq_queues::{BATCH_MAX_ENTRIES, Outgoing, Queue};

pub use self::verdict::Report;

use self::hosts::{Hosts, Kill};
use self::proxy::Proxy;
use self::sink::Sink;
use crate::servers::Server;

/// The type of all messages, and the plugin that handles them.
const KIND: &str = "probe";
/// One message in so many has two steps and an outbox.
const WITH_STEPS: usize = 10;
/// The lease of a delivery. Short, so that what a dead host held comes back soon.
const VISIBILITY_S: u64 = 3;
/// How long nothing may happen before the run is given up.
const STUCK_AFTER: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(10);

/// Where the hosts keep their ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Store {
    Local,
    Redis,
    Postgres,
}

/// A run's settings.
#[derive(Clone, Debug)]
pub struct Options {
    pub store: Store,
    /// Kills, stops and ends, all together.
    pub kills: usize,
    pub messages: usize,
    /// Members of the group that each message opens; with none, it opens none.
    pub members: usize,
    /// What each host has in hand at once.
    pub permits: usize,
    /// Hosts at once. The local ledger allows one.
    pub hosts: usize,
    pub seed: u64,
    /// The `wasq` binary.
    pub wasq: PathBuf,
}

/// What all parts of a run share. It ends with this.
struct Stage {
    options: Options,
    sqs: LocalSqs,
    queue: SqsQueue,
    dlq: SqsQueue,
    sink: Sink,
    to_sqs: Proxy,
    /// The ledger's server with the proxy before it, unless the ledger is in a directory.
    ledger: Option<(Server, Proxy)>,
    dir: TempDir,
}

/// Runs it. `progress` is told how many kills there were.
///
/// # Errors
/// What kept it from running; a broken promise is in the [`Report`].
pub async fn run(options: Options, progress: &dyn Fn(usize)) -> Result<Report> {
    ensure!(options.store != Store::Local || options.hosts == 1, "a local ledger has one host; leave --hosts at 1");
    let began = clock::now();
    let mut rng = Rng::with_seed(options.seed);
    let stage = Stage::set(options).await?;
    stage.send_all().await?;
    let mut hosts = Hosts::start(&stage).await?;
    let cuts = stage.torment(&mut hosts, &mut rng, progress).await?;
    stage.emptied(&mut hosts).await?;
    let kills = hosts.end().await?;
    verdict::judge(stage, kills, cuts, began.elapsed()).await
}

impl Stage {
    async fn set(options: Options) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let sqs = LocalSqs::start(SqsOptions::new(dir.path().join("sqs")).port(0)).await?;
        let aws = AwsConfig {
            endpoint_url: Some(sqs.endpoint_url()),
            region: Some("eu-central-1".into()),
            ..AwsConfig::default()
        };
        let client = Sqs::connect(&aws).await;
        for name in ["jobs", "jobs-dlq"] {
            let create = client.client().create_queue().queue_name(name);
            create.attributes(QueueAttributeName::VisibilityTimeout, VISIBILITY_S.to_string()).send().await?;
        }
        let server = match options.store {
            Store::Local => None,
            Store::Redis => Some(Server::redis()?),
            Store::Postgres => Some(Server::postgres()?),
        };
        let ledger = match server {
            None => None,
            Some(server) => {
                let proxy = Proxy::start(([127, 0, 0, 1], server.port()).into()).await?;
                Some((server, proxy))
            }
        };
        let upstream = sqs.endpoint_url().trim_start_matches("http://").trim_end_matches('/').parse()?;
        Ok(Self {
            queue: client.queue("jobs").await?,
            dlq: client.queue("jobs-dlq").await?,
            sink: Sink::start().await?,
            to_sqs: Proxy::start(upstream).await?,
            ledger,
            options,
            sqs,
            dir,
        })
    }

    async fn send_all(&self) -> Result<()> {
        let numbers: Vec<usize> = (0..self.options.messages).collect();
        for batch in numbers.chunks(BATCH_MAX_ENTRIES) {
            let messages: Vec<Outgoing> = batch.iter().map(|n| self.message(*n)).collect();
            for answer in self.queue.send(&messages).await {
                answer.context("cannot send")?;
            }
        }
        Ok(())
    }

    fn message(&self, n: usize) -> Outgoing {
        let ask = |name: &str| json!({ "do": "ask", "url": self.sink.url(name, n) });
        if self.options.members > 0 {
            return self.opener(n);
        }
        let body: Value = match n.is_multiple_of(WITH_STEPS) {
            false => ask("run"),
            true => {
                let urls = json!({ "a": self.sink.url("step-a", n), "b": self.sink.url("step-b", n) });
                let outbox = json!({ "do": "outbox", "queue": "", "kind": KIND, "body": ask("note"), "count": 1, "then": ask("run") });
                json!({ "do": "steps", "urls": urls, "then": outbox })
            }
        };
        numbered(n, &body)
    }

    /// A message that opens a group.
    fn opener(&self, n: usize) -> Outgoing {
        let ask = |name: &str| json!({ "do": "ask", "url": self.sink.url(name, n) });
        let members: Vec<Value> = (0..self.options.members).map(|member| ask(&format!("member-{member}"))).collect();
        let follow_up = json!({ "do": "ended", "url": self.sink.url("ended", n), "then": ask("follow-up") });
        let name = format!("group-{n}");
        let body =
            json!({ "do": "group", "name": name, "members": members, "follow_ups": [follow_up], "then": ask("run") });
        numbered(n, &body)
    }

    /// Lets the hosts work, and hits one of them each time that a share of the work is done. The
    /// answer is how often connections were cut or delayed.
    async fn torment(&self, hosts: &mut Hosts, rng: &mut Rng, progress: &dyn Fn(usize)) -> Result<usize> {
        let Options { kills, messages, members, .. } = self.options;
        // A group's messages are its opener, its members, and what follows.
        let all = messages * if members > 0 { members + 2 } else { 1 };
        let mut cuts = 0;
        for kill in 1..=kills {
            self.until_started(kill * all / (kills + 1), hosts).await?;
            if rng.f64() < 0.3 {
                self.meddle(rng).await;
                cuts += 1;
            }
            hosts.hit(Kill::draw(rng), rng).await?;
            progress(kill);
        }
        Ok(cuts)
    }

    /// Cuts connections, or makes them slow for a while; never for as long as a lease.
    async fn meddle(&self, rng: &mut Rng) {
        let proxies: Vec<&Proxy> =
            [&self.to_sqs].into_iter().chain(self.ledger.as_ref().map(|(_, proxy)| proxy)).collect();
        let proxy = proxies[rng.usize(0..proxies.len())];
        match rng.bool() {
            true => proxy.cut(Duration::from_millis(rng.u64(0..=500))),
            false => proxy.delay(Duration::from_millis(rng.u64(1..=100)), Duration::from_millis(500)),
        }
    }

    /// Waits until so many messages were started at least once.
    async fn until_started(&self, count: usize, hosts: &mut Hosts) -> Result<()> {
        self.wait(&format!("{count} messages are started"), hosts, async || {
            Ok(self.sink.names(verdict::is_planned) >= count)
        })
        .await
    }

    /// Waits until every group has been followed, and nothing is left in the queue.
    async fn emptied(&self, hosts: &mut Hosts) -> Result<()> {
        if self.options.members > 0 {
            let followed = async || Ok(self.sink.names(|name| name.starts_with("follow-up/")) >= self.options.messages);
            self.wait("every group is followed", hosts, followed).await?;
        }
        let is_empty = async || {
            let attributes = self.queue.attributes().await?;
            let counts =
                ["", "NotVisible", "Delayed"].map(|kind| &attributes[&format!("ApproximateNumberOfMessages{kind}")]);
            Ok(counts.iter().all(|count| *count == "0"))
        };
        self.wait("the queue is empty", hosts, is_empty).await
    }

    /// Waits for a condition as long as something happens.
    async fn wait(&self, what: &str, hosts: &mut Hosts, is_so: impl AsyncFn() -> Result<bool>) -> Result<()> {
        let (mut seen, mut since) = (self.sink.calls(), clock::now());
        while !is_so().await? {
            if self.sink.calls() != seen {
                (seen, since) = (self.sink.calls(), clock::now());
            }
            ensure!(
                since.elapsed() < STUCK_AFTER,
                "nothing happens for {STUCK_AFTER:?}, waiting until {what}; {}",
                hosts.log()
            );
            hosts.check()?;
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

/// A message of the hosts' one type, under a key of its own.
fn numbered(n: usize, body: &Value) -> Outgoing {
    let attributes = [("type", KIND), ("idempotency-key", &n.to_string())];
    let attributes = attributes.map(|(name, text)| (name.to_owned(), AttributeValue::string(text)));
    Outgoing {
        body: body.to_string().into(),
        attributes: attributes.into(),
        delay_s: 0,
        group: None,
        deduplication_id: None,
    }
}
