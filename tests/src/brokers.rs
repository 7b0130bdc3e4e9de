//! The brokers that real hosts are tested on: each is started on a port of its own, says what a
//! config has of a queue on it, and how many messages are left in one.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use parking_lot::Mutex;
use tokio::process::Command;
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use wasq_local_sqs::{LocalSqs, Options};
use wasq_queues::kafka::{KafkaConfig, TopicTopology, make_topic};
use wasq_queues::{Broker, Queue};

use crate::servers::Server;

/// Of each topic.
const KAFKA_PARTITIONS: u32 = 4;

/// A broker of its own. It ends when this is dropped, and its data go.
pub struct TestBroker {
    pub broker: Broker,
    running: Running,
}

enum Running {
    /// In this process.
    LocalSqs(LocalSqs),
    Server(Mutex<Server>),
}

impl TestBroker {
    /// # Errors
    /// What to install when a program is missing, and what the server wrote when it did not start.
    pub async fn start(broker: Broker, dir: &Path) -> Result<Self> {
        let running = match broker {
            Broker::Sqs => Running::LocalSqs(LocalSqs::start(Options::new(dir.join("sqs")).port(0)).await?),
            Broker::RabbitMq => Running::Server(Mutex::new(block_in_place(Server::rabbitmq)?)),
            Broker::Redis => Running::Server(Mutex::new(block_in_place(Server::redis)?)),
            Broker::Kafka => Running::Server(Mutex::new(block_in_place(Server::kafka)?)),
        };
        Ok(Self { broker, running })
    }

    pub fn addr(&self) -> Result<SocketAddr> {
        match &self.running {
            Running::LocalSqs(sqs) => {
                Ok(sqs.endpoint_url().trim_start_matches("http://").trim_end_matches('/').parse()?)
            }
            Running::Server(server) => Ok(([127, 0, 0, 1], server.lock().port()).into()),
        }
    }

    /// Where it is, with its password; `addr` is its own or a proxy's.
    pub fn url(&self, addr: SocketAddr) -> String {
        match &self.running {
            Running::LocalSqs(_) => format!("http://{addr}"),
            Running::Server(server) => {
                let server = server.lock();
                server.url().replace(&format!(":{}", server.port()), &format!(":{}", addr.port()))
            }
        }
    }

    /// Makes the queues of a config, which is in this file, under these names.
    ///
    /// # Errors
    /// What `wasq topology apply` printed when it failed.
    pub async fn make_queues(&self, wasq: &Path, config: &Path, names: &[&str]) -> Result<()> {
        if let Running::LocalSqs(sqs) = &self.running {
            for name in names {
                sqs.create_queue(name).await?;
            }
            return Ok(());
        }
        apply_topology(wasq, config).await
    }

    /// Messages in a queue: those that wait, and those that any host has in hand.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub async fn left(&self, queue: &dyn Queue) -> Result<usize> {
        match &self.running {
            Running::LocalSqs(_) => left(None, queue).await,
            Running::Server(server) => {
                // Nobody kills it meanwhile: that is done where this is awaited.
                let server = server.lock();
                block_in_place(|| Handle::current().block_on(left(Some(&server), queue)))
            }
        }
    }

    /// Whether it is a process that can be killed.
    pub fn can_be_killed(&self) -> bool {
        matches!(self.running, Running::Server(_))
    }

    /// Kills it, and starts it again with what it has on disk.
    ///
    /// # Errors
    /// What the server wrote when it did not start.
    pub fn kill_and_restart(&self) -> Result<()> {
        match &self.running {
            Running::LocalSqs(_) => bail!("the local queue is in this process"),
            Running::Server(server) => block_in_place(|| {
                let mut server = server.lock();
                match self.broker {
                    Broker::Sqs | Broker::Redis => {}
                    Broker::RabbitMq => server.keep_queues()?,
                    Broker::Kafka => Handle::current().block_on(keep_messages(&server))?,
                }
                server.restart()
            }),
        }
    }

    /// Whether it writes to its disk later than it has said that it has a message. What it says in
    /// the moment before it is killed must reach nobody, then.
    pub fn writes_late(&self) -> bool {
        self.broker == Broker::Kafka
    }

    /// Whether it takes hosts that have died for members of their group until it is killed itself.
    pub fn keeps_dead_members(&self) -> bool {
        self.broker == Broker::Kafka
    }

    /// Whether it tells its clients where to connect to.
    pub fn tells_its_address(&self) -> bool {
        self.broker == Broker::Kafka
    }

    pub async fn end(self) {
        match self.running {
            Running::LocalSqs(sqs) => sqs.shutdown().await,
            Running::Server(server) => drop(server),
        }
    }
}

/// Has a Kafka's messages on disk, all of those that it has said so far that it has.
async fn keep_messages(server: &Server) -> Result<()> {
    let name = format!("written-{}", fastrand::u64(..));
    let topic = TopicTopology { name: name.clone(), partitions: Some(1), replication_factor: Some(1) };
    make_topic(&KafkaConfig::new(&server.url()), &topic).await?;
    server.until_written(&name)
}

/// Makes the queues that a config has on brokers of their own.
///
/// # Errors
/// What `wasq topology apply` printed when it failed.
pub async fn apply_topology(wasq: &Path, config: &Path) -> Result<()> {
    let applied = Command::new(wasq).args(["topology", "apply", "--config"]).arg(config).output().await;
    let applied = applied.with_context(|| format!("cannot run {}; build it", wasq.display()))?;
    let printed = [applied.stdout, applied.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    ensure!(applied.status.success(), "wasq topology apply: {}", printed.concat());
    Ok(())
}

/// Messages in a queue: those that wait, and those that any host has in hand. A server is asked
/// itself where its protocol does not tell.
///
/// # Errors
/// If the broker does not answer.
pub async fn left(server: Option<&Server>, queue: &dyn Queue) -> Result<usize> {
    if let (Broker::RabbitMq, Some(server)) = (queue.broker(), server) {
        return block_in_place(|| server.messages_in_queue(queue.name()));
    }
    let attributes = queue.attributes().await?;
    let counts = ["", "NotVisible", "Delayed"].map(|kind| format!("ApproximateNumberOfMessages{kind}"));
    let mut left = 0;
    for name in counts {
        left += attributes.get(&name).with_context(|| format!("no {name}"))?.parse::<usize>()?;
    }
    Ok(left)
}

/// What a config's `[queues.…]` says of a queue: its broker, and its name there. On SQS it is the
/// table's.
pub fn location_lines(broker: Broker, url: &str, queue: &str) -> String {
    let Some(table) = broker.own_table(queue) else { return String::new() };
    let table = match broker {
        Broker::Sqs | Broker::RabbitMq | Broker::Redis => table,
        // Several hosts have some of it each, and what a dead one had goes to another soon.
        Broker::Kafka => table.replace(
            " }",
            &format!(", partitions = {KAFKA_PARTITIONS}, replication_factor = 1, session_timeout = '6s' }}"),
        ),
    };
    format!("broker = '{broker}'\nurl = '{url}'\n{broker} = {table}\n")
}

/// The least lease that a host can have of it.
pub const fn visibility_min_s(broker: Broker) -> u64 {
    match broker {
        Broker::Sqs | Broker::RabbitMq | Broker::Kafka => 2,
        Broker::Redis => 10,
    }
}

/// Whether what a host has in hand is back in the queue when its connection ends.
pub const fn leases_end_with_the_connection(broker: Broker) -> bool {
    match broker {
        Broker::Sqs | Broker::Redis => false,
        Broker::RabbitMq | Broker::Kafka => true,
    }
}
