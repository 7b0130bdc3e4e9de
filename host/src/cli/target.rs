//! Which queue a command means.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use wasq_queues::{Broker, Brokers, Queue};

use crate::config::{AwsConfig, Config, LOCAL_SQS_PORT, QueueConfig};
use crate::dlq::redrive::RedriveError;
use crate::host::outlet_queue;

/// The queue that `wasq dev` makes when no config names one.
pub const DEV_QUEUE: &str = "jobs";

/// Where the queue is.
#[derive(Args, Clone, Debug)]
pub struct Target {
    /// The queue: its name in the config or in SQS, its URL, or its ARN. Default: the config's only
    /// queue, or `jobs`.
    #[arg(long, short, value_name = "QUEUE")]
    queue: Option<String>,
    /// The config file, if there is one.
    #[arg(long, env = "WASQ_CONFIG", default_value = "wasq.toml", value_name = "FILE")]
    config: PathBuf,
    /// The SQS endpoint. Default: the config's; without a config, the local queue at
    /// http://127.0.0.1:9324.
    #[arg(long, env = "WASQ_ENDPOINT_URL", value_name = "URL")]
    endpoint_url: Option<String>,
}

/// A queue, and what the config says of it.
pub struct Targeted {
    pub queue: Arc<dyn Queue>,
    pub config: QueueConfig,
    aws: AwsConfig,
}

impl Target {
    /// Whether the command line says which queue.
    pub fn names_a_queue(&self) -> bool {
        self.queue.is_some()
    }

    pub async fn connect(&self) -> anyhow::Result<Targeted> {
        let config = match self.config.exists() {
            true => Some(Config::load(&self.config)?),
            false => None,
        };
        let (mut aws, queues) = match config {
            Some(config) => (config.aws, config.queues.into_iter().collect::<Vec<_>>()),
            None => (AwsConfig::default(), Vec::new()),
        };
        let (name, queue_config) = self.choose(&queues)?;
        let address = queue_config.location(&name).address();
        if queue_config.broker != Broker::Sqs {
            let queue = Brokers::new(&aws).queue(&address).await;
            let queue = queue.with_context(|| format!("cannot open the queue `{name}`"))?;
            return Ok(Targeted { queue, config: queue_config, aws });
        }
        let wanted = queue_config.url.clone().map_or(name, |url| url.0);
        if self.endpoint_url.is_some() {
            aws.endpoint_url.clone_from(&self.endpoint_url);
        } else if queues.is_empty() && std::env::var_os("AWS_ENDPOINT_URL").is_none() {
            // A URL says where it is; a bare name without a config is meant for the local queue.
            aws.endpoint_url = match wanted.split_once("://") {
                Some(("http", rest)) => Some(format!("http://{}", rest.split('/').next().unwrap_or_default())),
                Some(_) => None,
                None => Some(format!("http://127.0.0.1:{LOCAL_SQS_PORT}")),
            };
        }
        let queue = Brokers::new(&aws).queue(&address).await.with_context(|| {
            let at = aws.endpoint_url.as_deref().unwrap_or("AWS");
            format!("cannot reach the queue `{wanted}` at {at}; start `wasq dev`, or set --queue and --endpoint-url")
        })?;
        Ok(Targeted { queue, config: queue_config, aws })
    }

    fn choose(&self, queues: &[(String, QueueConfig)]) -> anyhow::Result<(String, QueueConfig)> {
        match (&self.queue, queues) {
            (Some(name), _) => {
                let found = queues.iter().find(|(key, _)| key == name);
                Ok((name.clone(), found.map(|(_, queue)| queue.clone()).unwrap_or_default()))
            }
            (None, [(name, queue)]) => Ok((name.clone(), queue.clone())),
            (None, []) => Ok((DEV_QUEUE.to_owned(), QueueConfig::default())),
            (None, several) => {
                let names: Vec<_> = several.iter().map(|(name, _)| name.as_str()).collect();
                bail!("the config has several queues; say which with --queue: {}", names.join(", "))
            }
        }
    }
}

impl Targeted {
    /// The queue as it is sent to: large bodies go by S3 where the config names a bucket.
    pub fn with_claim_check(self) -> Arc<dyn Queue> {
        outlet_queue(&self.queue, &self.aws, self.config.claim_check().as_ref())
    }

    /// The queue's DLQ: the config's, the redrive policy's target, or the one that `wasq dev` makes
    /// beside a queue.
    pub async fn dlq(&self) -> anyhow::Result<Arc<dyn Queue>> {
        let attributes = match self.queue.attributes().await {
            Err(error) if error.says_denied() => None,
            answer => Some(answer?),
        };
        let (name, fifo) = (self.queue.name(), self.queue.is_fifo());
        let name = match crate::dlq::redrive::check(name, fifo, &self.config, attributes.as_ref(), 0) {
            Err(
                RedriveError::NoDlq { .. }
                | RedriveError::NoDlqOnRabbitMq { .. }
                | RedriveError::NoDlqOnRedis { .. }
                | RedriveError::NoDlqOnKafka { .. },
            ) => dlq_name(self.queue.name()),
            checked => checked?.dlq,
        };
        self.queue.sibling(&name).await.with_context(|| format!("cannot open the DLQ `{name}`"))
    }
}

/// What `wasq dev` calls a queue's DLQ.
pub fn dlq_name(queue: &str) -> String {
    match queue.strip_suffix(".fifo") {
        Some(stem) => format!("{stem}-dlq.fifo"),
        None => format!("{queue}-dlq"),
    }
}
