//! `--broker` and `--broker-url`: a broker that runs already, in the place of the local queue.

use anyhow::bail;
use clap::Args;

use crate::config::Broker;

#[derive(Args)]
pub struct BrokerServer {
    /// Who has the queues: `sqs` is a local queue, which the command starts; any other one is a
    /// server that runs already.
    #[arg(long, default_value_t = Broker::Sqs)]
    broker: Broker,
    /// Where that server is, as `url` of a queue in wasq.toml.
    #[arg(long, value_name = "URL", env = "WASQ_BROKER_URL", hide_env_values = true)]
    broker_url: Option<String>,
}

impl BrokerServer {
    /// What a config says of where a queue of this name is, as lines of its table. None on the
    /// local queue.
    ///
    /// # Errors
    /// A broker without a URL, and the other way round.
    pub fn location(&self, name: &str) -> anyhow::Result<Option<String>> {
        let Self { broker, broker_url } = self;
        match (broker.own_table(name), broker_url) {
            (None, None) => Ok(None),
            (None, Some(_)) => {
                bail!("--broker-url (or WASQ_BROKER_URL) is of another broker than SQS; add --broker, or take it away")
            }
            (Some(table), Some(url)) => {
                let url = toml::Value::from(url.as_str());
                Ok(Some(format!("broker = \"{broker}\"\nurl = {url}\n{broker} = {table}\n")))
            }
            (Some(_), None) => {
                bail!("--broker {broker} needs a server; say where it is with --broker-url, or in WASQ_BROKER_URL")
            }
        }
    }

    pub fn broker(&self) -> Broker {
        self.broker
    }
}
