//! The broker of a rig's queues. Tests that a user's handler could not tell apart by its broker run
//! on each of them.

use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use wasq_queues::{Broker, Queue};
use wasq_tests::brokers::{apply_topology, left, location_lines};
use wasq_tests::servers::Server;

use super::servers;

/// The config by which a rig's queues are made.
const TOPOLOGY: &str = "topology.toml";

/// Runs each of these tests, which take a [`Broker`], on every one.
macro_rules! on_each_broker {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            use wasq_queues::Broker;

            #[tokio::test(flavor = "multi_thread")]
            async fn sqs() {
                super::$test(Broker::Sqs).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn rabbitmq() {
                super::$test(Broker::RabbitMq).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn redis() {
                super::$test(Broker::Redis).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn kafka() {
                super::$test(Broker::Kafka).await;
            }
        }
    )+};
}

/// The same without Kafka: its server here forgets no host that has died or stands still, so that
/// no other takes over what it had. `tests/it/kafka/two_hosts.rs` shows that on another one.
macro_rules! on_each_broker_but_kafka {
    ($test:ident) => {
        mod $test {
            use wasq_queues::Broker;

            #[tokio::test(flavor = "multi_thread")]
            async fn sqs() {
                super::$test(Broker::Sqs).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn rabbitmq() {
                super::$test(Broker::RabbitMq).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn redis() {
                super::$test(Broker::Redis).await;
            }
        }
    };
}

pub(crate) use {on_each_broker, on_each_broker_but_kafka};

/// Where a rig's queues are, and what they are called there.
pub struct RigBroker {
    pub broker: Broker,
    /// Tests share one; SQS is in the rig itself.
    server: Option<&'static Server>,
    id: String,
}

impl RigBroker {
    pub fn new(broker: Broker) -> Self {
        let server = match broker {
            Broker::Sqs => None,
            Broker::RabbitMq => Some(servers::rabbitmq()),
            Broker::Redis => Some(servers::redis()),
            Broker::Kafka => Some(servers::kafka()),
        };
        Self { broker, server, id: uuid::Uuid::new_v4().to_string() }
    }

    /// What a queue of a config, or its DLQ, is called at its broker: no two rigs share one.
    pub fn name_there(&self, name: &str) -> String {
        match self.server {
            None => name.to_owned(),
            Some(_) => format!("{name}-{}", self.id),
        }
    }

    /// Where its server is, with the password.
    pub fn url(&self) -> Option<String> {
        self.server.map(Server::url)
    }

    /// What a config says of where a queue is.
    pub fn location_lines(&self, name: &str) -> String {
        let url = self.url().unwrap_or_default();
        location_lines(self.broker, &url, &self.name_there(name))
    }

    /// Makes a config's queues and DLQs. Those on SQS are made with the rig.
    pub async fn make_queues(&self, config: &str, dir: &Path) {
        if self.server.is_none() {
            return;
        }
        std::fs::write(dir.join(TOPOLOGY), config).unwrap();
        self.make_what_is_missing(dir).await;
    }

    /// Makes those of them again that are not there any more.
    pub async fn make_what_is_missing(&self, dir: &Path) {
        apply_topology(&PathBuf::from(env!("CARGO_BIN_EXE_wasq")), &dir.join(TOPOLOGY)).await.unwrap();
    }

    /// Deletes a queue with all that is in it. SQS has faults for that.
    pub async fn delete_queue(&self, name: &str) {
        let (server, name) = (self.server.expect("it is a server's"), self.name_there(name));
        match self.broker {
            Broker::Sqs => unreachable!("it is in the rig"),
            Broker::RabbitMq => drop(server.rabbitmqctl(&["delete_queue", &name]).unwrap()),
            Broker::Redis => {
                let client = redis::Client::open(server.url()).unwrap();
                let mut connection = client.get_multiplexed_async_connection().await.unwrap();
                redis::cmd("DEL").arg(&name).exec_async(&mut connection).await.unwrap();
            }
            Broker::Kafka => {
                let mut config = ClientConfig::new();
                config.set("bootstrap.servers", format!("127.0.0.1:{}", server.port()));
                let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
                let deleted = admin.delete_topics(&[&name], &AdminOptions::new()).await.unwrap();
                assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
            }
        }
    }

    /// Messages in a queue, whoever has them in hand.
    pub async fn left(&self, queue: &dyn Queue) -> usize {
        left(self.server, queue).await.unwrap()
    }
}
