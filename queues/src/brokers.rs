//! The brokers of a host's queues, each connected when a queue of it is first opened: a host without
//! queues on AWS asks nobody for credentials.

use std::sync::Arc;

#[cfg(any(feature = "kafka", feature = "rabbitmq", feature = "redis"))]
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use wasq_core::aws::AwsConfig;

#[cfg(feature = "kafka")]
use crate::kafka::Kafka;
use crate::kafka::KafkaConfig;
use crate::queue::{Queue, QueueError};
#[cfg(feature = "rabbitmq")]
use crate::rabbitmq::{RabbitMq, RabbitMqConfig};
#[cfg(feature = "redis")]
use crate::redis::{Redis, RedisConfig};
use crate::sqs::Sqs;

/// Where a queue is.
#[derive(Clone, Debug)]
pub enum QueueAddress {
    /// Its name in SQS, its URL or its ARN.
    Sqs(String),
    /// Its name there, and its concurrency.
    #[cfg(feature = "rabbitmq")]
    RabbitMq { server: Box<RabbitMqConfig>, name: String, concurrency: u16 },
    /// Its stream there. An outlet is only sent to.
    #[cfg(feature = "redis")]
    Redis { config: Box<RedisConfig>, name: String, is_outlet: bool },
    /// Its topic there, and its concurrency. A build without Kafka refuses it.
    Kafka { server: Box<KafkaConfig>, topic: String, concurrency: usize },
}

/// What queues are opened with. Clones share the connections.
#[derive(Clone)]
pub struct Brokers(Arc<Inner>);

/// Servers by their settings, each with its connection, made or not yet.
#[cfg(any(feature = "rabbitmq", feature = "redis"))]
type Connections<S, C> = Mutex<Vec<(S, Arc<OnceCell<C>>)>>;

struct Inner {
    aws: AwsConfig,
    sqs: OnceCell<Sqs>,
    #[cfg(feature = "rabbitmq")]
    rabbitmq: Connections<RabbitMqConfig, RabbitMq>,
    #[cfg(feature = "redis")]
    redis: Connections<RedisConfig, Redis>,
    #[cfg(feature = "kafka")]
    kafka: Mutex<Vec<(KafkaConfig, Kafka)>>,
}

impl Brokers {
    /// `aws` is where queues on SQS are.
    pub fn new(aws: &AwsConfig) -> Self {
        Self(Arc::new(Inner {
            aws: aws.clone(),
            sqs: OnceCell::new(),
            #[cfg(feature = "rabbitmq")]
            rabbitmq: Mutex::default(),
            #[cfg(feature = "redis")]
            redis: Mutex::default(),
            #[cfg(feature = "kafka")]
            kafka: Mutex::default(),
        }))
    }

    /// Opens a queue. Queues with the same settings share a broker's connections.
    ///
    /// # Errors
    /// The broker's word.
    pub async fn queue(&self, address: &QueueAddress) -> Result<Arc<dyn Queue>, QueueError> {
        match address {
            QueueAddress::Sqs(named) => Ok(Arc::new(self.sqs().await.queue(named).await?)),
            #[cfg(feature = "rabbitmq")]
            QueueAddress::RabbitMq { server, name, concurrency } => {
                Ok(Arc::new(self.rabbitmq(server).await?.queue(name, *concurrency).await?))
            }
            #[cfg(feature = "redis")]
            QueueAddress::Redis { config, name, is_outlet } => {
                Ok(Arc::new(self.redis(config).await?.queue(config, name, *is_outlet).await?))
            }
            #[cfg(feature = "kafka")]
            QueueAddress::Kafka { server, topic, concurrency } => {
                Ok(Arc::new(self.kafka(server)?.queue(topic, *concurrency).await?))
            }
            #[cfg(not(feature = "kafka"))]
            QueueAddress::Kafka { .. } => {
                let message = crate::kafka::NOT_BUILT_IN.to_owned();
                Err(QueueError::Permanent { code: "Configuration".into(), message })
            }
        }
    }

    async fn sqs(&self) -> &Sqs {
        self.0.sqs.get_or_init(|| Sqs::connect(&self.0.aws)).await
    }

    /// Nobody is called for it.
    #[cfg(feature = "kafka")]
    fn kafka(&self, server: &KafkaConfig) -> Result<Kafka, QueueError> {
        // Which of its topics it is makes no other Kafka.
        let server = KafkaConfig { topic: None, ..server.clone() };
        let mut known = self.0.kafka.lock();
        if let Some((_, kafka)) = known.iter().find(|(known, _)| *known == server) {
            return Ok(kafka.clone());
        }
        let kafka = Kafka::new(server.clone())?;
        known.push((server, kafka.clone()));
        Ok(kafka)
    }

    #[cfg(feature = "rabbitmq")]
    async fn rabbitmq(&self, server: &RabbitMqConfig) -> Result<RabbitMq, QueueError> {
        // Which of its queues it is makes no other server.
        let server = RabbitMqConfig { queue: None, ..server.clone() };
        let connection = shared(&self.0.rabbitmq, &server);
        connection.get_or_try_init(|| RabbitMq::connect(server)).await.cloned()
    }

    #[cfg(feature = "redis")]
    async fn redis(&self, config: &RedisConfig) -> Result<Redis, QueueError> {
        let server = config.server();
        let connection = shared(&self.0.redis, &server);
        connection.get_or_try_init(|| Redis::connect(&server)).await.cloned()
    }
}

/// The connection to a server, made or not yet. A server that does not answer keeps nobody from
/// another.
#[cfg(any(feature = "rabbitmq", feature = "redis"))]
fn shared<S: Clone + PartialEq, C>(all: &Connections<S, C>, server: &S) -> Arc<OnceCell<C>> {
    let mut all = all.lock();
    match all.iter().find(|(known, _)| known == server) {
        Some((_, connection)) => connection.clone(),
        None => {
            let connection = Arc::new(OnceCell::new());
            all.push((server.clone(), connection.clone()));
            connection
        }
    }
}
