//! The brokers of a host's queues, each connected when a queue of it is first opened: a host without
//! queues on AWS asks nobody for credentials.

use std::sync::Arc;

#[cfg(feature = "rabbitmq")]
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use wasq_core::aws::AwsConfig;

use crate::queue::{Queue, QueueError};
#[cfg(feature = "rabbitmq")]
use crate::rabbitmq::{RabbitMq, RabbitMqConfig};
use crate::sqs::Sqs;

/// Where a queue is.
#[derive(Clone, Debug)]
pub enum QueueAddress {
    /// Its name in SQS, its URL or its ARN.
    Sqs(String),
    /// Its name there, and its concurrency.
    #[cfg(feature = "rabbitmq")]
    RabbitMq { server: Box<RabbitMqConfig>, name: String, concurrency: u16 },
}

/// What queues are opened with. Clones share the connections.
#[derive(Clone)]
pub struct Brokers(Arc<Inner>);

struct Inner {
    aws: AwsConfig,
    sqs: OnceCell<Sqs>,
    #[cfg(feature = "rabbitmq")]
    rabbitmq: Mutex<Vec<(RabbitMqConfig, Arc<OnceCell<RabbitMq>>)>>,
}

impl Brokers {
    /// `aws` is where queues on SQS are.
    pub fn new(aws: &AwsConfig) -> Self {
        Self(Arc::new(Inner {
            aws: aws.clone(),
            sqs: OnceCell::new(),
            #[cfg(feature = "rabbitmq")]
            rabbitmq: Mutex::default(),
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
        }
    }

    async fn sqs(&self) -> &Sqs {
        self.0.sqs.get_or_init(|| Sqs::connect(&self.0.aws)).await
    }

    #[cfg(feature = "rabbitmq")]
    async fn rabbitmq(&self, server: &RabbitMqConfig) -> Result<RabbitMq, QueueError> {
        // Which of its queues it is makes no other server.
        let server = RabbitMqConfig { queue: None, ..server.clone() };
        // A server that does not answer keeps nobody from another.
        let connection = {
            let mut known = self.0.rabbitmq.lock();
            match known.iter().find(|(known, _)| *known == server) {
                Some((_, connection)) => connection.clone(),
                None => {
                    let connection = Arc::new(OnceCell::new());
                    known.push((server.clone(), connection.clone()));
                    connection
                }
            }
        };
        connection.get_or_try_init(|| RabbitMq::connect(server)).await.cloned()
    }
}
