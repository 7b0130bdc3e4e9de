//! A supervisor: it runs real hosts over a broker and a ledger, kills, stops and ends them while
//! they work, cuts and delays their connections, kills the broker, and then holds what the ledger
//! says against what an independent sink saw.

pub mod hosts;
pub mod proxy;
mod sink;
mod verdict;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use serde_json::{Value, json};
use tempfile::TempDir;
use wasq::config::Config;
use wasq_core::clock;
use wasq_core::message::AttributeValue;
use wasq_queues::{BATCH_MAX_ENTRIES, Broker, Brokers, Outgoing, Queue};

pub use self::verdict::Report;

use self::hosts::{Hosts, Kill};
use self::proxy::Proxy;
use self::sink::Sink;
use crate::brokers::TestBroker;
use crate::servers::Server;

/// The type of all messages, and the plugin that handles them.
const KIND: &str = "probe";
/// One message in so many has two steps and an outbox.
const WITH_STEPS: usize = 10;
/// The lease of a delivery, where its broker has none that short. So what a dead host had in hand
/// comes back soon.
const VISIBILITY_S: u64 = 3;
/// One time in so many that the connections are meddled with, the broker is killed.
const BROKER_DIES: usize = 4;
/// How long nothing may happen before the run is given up.
const STUCK_AFTER: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(10);

/// Where the hosts keep their ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Store {
    Local,
    Redis,
    Postgres,
    /// dynalite.
    Dynamodb,
}

impl Store {
    /// Its server. None where it needs none.
    pub fn start(self) -> Result<Option<Server>> {
        Ok(match self {
            Self::Local => None,
            Self::Redis => Some(Server::redis()?),
            Self::Postgres => Some(Server::postgres()?),
            Self::Dynamodb => Some(Server::dynamodb()?),
        })
    }

    /// What stands in a config's `ledger`. `url` is its server's; the local one is in `dir`.
    pub fn ledger_config(self, url: Option<&str>, dir: &Path) -> String {
        let url = url.unwrap_or_default();
        match self {
            Self::Local => format!("store = 'local', path = '{}/ledger'", dir.display()),
            Self::Redis => format!("store = 'redis', url = '{url}'"),
            Self::Postgres => format!("store = 'postgres', url = '{url}', max_connections = 4"),
            Self::Dynamodb => format!("store = 'dynamodb', create = true, endpoint_url = '{url}'"),
        }
    }
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
    /// Who has the queue.
    pub broker: Broker,
    /// The `wasq` binary.
    pub wasq: PathBuf,
}

/// What befell the connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outages {
    /// How often they were cut or delayed.
    pub cuts: usize,
    /// How often the broker was killed and started again.
    pub broker_kills: usize,
    /// How often hosts lost their connection to the broker so.
    pub from_broker: usize,
}

/// What all parts of a run share. It ends with this.
struct Stage {
    options: Options,
    broker: TestBroker,
    queue: Arc<dyn Queue>,
    dlq: Arc<dyn Queue>,
    sink: Sink,
    to_broker: Proxy,
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
    let outages = stage.torment(&mut hosts, &mut rng, progress).await?;
    stage.emptied(&mut hosts).await?;
    let kills = hosts.end().await?;
    verdict::judge(stage, kills, outages, began.elapsed()).await
}

impl Stage {
    async fn set(options: Options) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let broker = TestBroker::start(options.broker, dir.path()).await?;
        let (queue, dlq) = open_queues(&broker, &options.wasq, dir.path()).await?;
        let ledger = match options.store.start()? {
            None => None,
            Some(server) => {
                let proxy = Proxy::start(([127, 0, 0, 1], server.port()).into()).await?;
                Some((server, proxy))
            }
        };
        let to_broker = match broker.tells_its_address() {
            false => Proxy::start(broker.addr()?).await?,
            true => Proxy::start_in_place_of(broker.addr()?).await?,
        };
        Ok(Self { queue, dlq, sink: Sink::start().await?, to_broker, ledger, options, broker, dir })
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

    /// Lets the hosts work, and hits one of them each time that a share of the work is done.
    async fn torment(&self, hosts: &mut Hosts, rng: &mut Rng, progress: &dyn Fn(usize)) -> Result<Outages> {
        let Options { kills, messages, members, .. } = self.options;
        // A group's messages are its opener, its members, and what follows.
        let all = messages * if members > 0 { members + 2 } else { 1 };
        let mut outages = Outages::default();
        for kill in 1..=kills {
            self.until_started(kill * all / (kills + 1), hosts).await?;
            if rng.f64() < 0.3 {
                self.meddle(rng, &mut outages)?;
            }
            let hit = Kill::draw(rng);
            hosts.hit(hit, rng).await?;
            if hit == Kill::Kill && self.broker.keeps_dead_members() {
                self.kill_broker(&mut outages)?;
            }
            progress(kill);
        }
        Ok(outages)
    }

    /// Cuts connections, or makes them slow for a while, never for as long as a lease; or kills the
    /// broker.
    fn meddle(&self, rng: &mut Rng, outages: &mut Outages) -> Result<()> {
        if self.broker.can_be_killed() && (outages.broker_kills == 0 || rng.usize(0..BROKER_DIES) == 0) {
            return self.kill_broker(outages);
        }
        outages.cuts += 1;
        let proxies: Vec<&Proxy> =
            [&self.to_broker].into_iter().chain(self.ledger.as_ref().map(|(_, proxy)| proxy)).collect();
        let which = rng.usize(0..proxies.len());
        match rng.bool() {
            true => {
                outages.from_broker += usize::from(which == 0);
                proxies[which].cut(Duration::from_millis(rng.u64(0..=500)));
            }
            false => proxies[which].delay(Duration::from_millis(rng.u64(1..=100)), Duration::from_millis(500)),
        }
        Ok(())
    }

    /// Kills the broker, and starts it again with what it has on disk.
    fn kill_broker(&self, outages: &mut Outages) -> Result<()> {
        if self.broker.writes_late() {
            self.to_broker.close();
        }
        self.broker.kill_and_restart()?;
        self.to_broker.open();
        outages.broker_kills += 1;
        outages.from_broker += 1;
        Ok(())
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
        let is_empty = async || Ok(self.broker.left(&*self.queue).await? == 0);
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

/// Makes the queue and its DLQ, and opens both.
async fn open_queues(broker: &TestBroker, wasq: &Path, dir: &Path) -> Result<(Arc<dyn Queue>, Arc<dyn Queue>)> {
    let file = dir.join("queues.toml");
    let text = hosts::queue_text(broker, broker.addr()?, 1);
    std::fs::write(&file, &text)?;
    broker.make_queues(wasq, &file, &["jobs", "jobs-dlq"]).await?;
    let config = Config::parse(&text, &file)?;
    let address = config.location("jobs").context("the config has it")?.address();
    let queue = Brokers::new(&config.aws).queue(&address).await?;
    let dlq = queue.sibling("jobs-dlq").await?;
    Ok((queue, dlq))
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
