//! Where the queues of a bench are, for each of its processes: on SQS, or on a broker's server.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use wasq::config::{AwsConfig, Broker, Config};
use wasq_queues::{Brokers, Queue};

/// A broker and where it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueueSite {
    pub broker: Broker,
    /// The endpoint of SQS, or the server's URL.
    pub endpoint: String,
}

impl QueueSite {
    /// What a config has of the one queue `bench`: which it is here, by its name or its URL on SQS.
    pub fn queue_table(&self, queue: &str, dlq: &str) -> String {
        let Self { broker, endpoint } = self;
        let location = match broker.own_table(queue) {
            None => format!("url = '{queue}'\n"),
            Some(table) => format!("broker = '{broker}'\nurl = '{endpoint}'\n{broker} = {table}\n"),
        };
        format!("[queues.bench]\ndlq = '{dlq}'\n{location}")
    }

    /// A config from these lines.
    ///
    /// # Errors
    /// What the config does not take: a URL of another broker.
    pub fn config(&self, text: &str) -> anyhow::Result<Config> {
        let mut config = Config::parse(text, Path::new("(bench)"))?;
        if self.broker == Broker::Sqs {
            config.aws = aws(&self.endpoint);
        }
        Ok(config)
    }

    /// Opens a queue to send to it, or to count.
    ///
    /// # Errors
    /// The broker's word.
    pub async fn open(&self, queue: &str) -> anyhow::Result<Arc<dyn Queue>> {
        let config = self.config(&self.queue_table(queue, &format!("{queue}-dlq")))?;
        let location = config.location("bench").context("the config has it")?;
        Ok(Brokers::new(&config.aws).queue(&location.address()).await?)
    }
}

/// The endpoint as the clients take it.
pub fn aws(endpoint: &str) -> AwsConfig {
    AwsConfig { endpoint_url: Some(endpoint.to_owned()), region: None, ..AwsConfig::default() }
}
