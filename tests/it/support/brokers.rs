//! The broker of a rig's queues. Tests that a user's handler could not tell apart by its broker run
//! on each of them.

use std::path::{Path, PathBuf};

use wasq_queues::{Broker, Queue};
use wasq_tests::brokers::{apply_topology, left, location_lines};
use wasq_tests::servers::Server;

use super::servers::{rabbitmq, redis};

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
        }
    )+};
}

pub(crate) use on_each_broker;

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
            Broker::RabbitMq => Some(rabbitmq()),
            Broker::Redis => Some(redis()),
            Broker::Kafka => panic!("its tests have rigs of their own: tests/it/kafka"),
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
        let file = dir.join("topology.toml");
        std::fs::write(&file, config).unwrap();
        apply_topology(&PathBuf::from(env!("CARGO_BIN_EXE_wasq")), &file).await.unwrap();
    }

    /// Messages in a queue, whoever has them in hand.
    pub async fn left(&self, queue: &dyn Queue) -> usize {
        left(self.server, queue).await.unwrap()
    }
}
