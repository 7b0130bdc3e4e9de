//! A message, as `wasq decode` and `wasq invoke` are given one, and the queue whose config reads
//! it.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use wasq_core::clock;
use wasq_core::message::{AttributeValue, Attributes, Delivery, MessageId, Receipt};

use super::body::read_body;
use crate::config::{Config, Envelope, QueueConfig};

/// What stands for the id that SQS would give the message.
pub const MESSAGE_ID: &str = "00000000-0000-0000-0000-000000000000";

#[derive(Args)]
pub struct MessageArguments {
    /// The message's body; `-` reads stdin, `@FILE` a file.
    #[arg(long, default_value = "{}")]
    body: String,
    /// Adds a message attribute. May be repeated.
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = parse_pair)]
    attributes: Vec<(String, String)>,
    /// How the producer's envelope is recognised. Default: as the queue's config says, else
    /// `plain`.
    #[arg(long, value_name = "ENVELOPE")]
    envelope: Option<Envelope>,
    /// The config file whose queue reads the message. Default: none, so all is at its default.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which of the config's queues. Default: the only one.
    #[arg(long, value_name = "NAME", requires = "config")]
    queue: Option<String>,
}

/// `NAME=VALUE`.
pub fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl MessageArguments {
    pub fn config(&self) -> anyhow::Result<Option<Config>> {
        Ok(self.config.as_deref().map(Config::load).transpose()?)
    }

    /// Whether there is a config file.
    pub fn has_config(&self) -> bool {
        self.config.is_some()
    }

    /// Whether the message may be in an envelope, so that its type need not be said.
    pub fn may_name_its_type(&self) -> bool {
        self.envelope.is_some() || self.config.is_some()
    }

    /// How the message is read.
    pub fn queue(&self, config: Option<&Config>) -> anyhow::Result<QueueConfig> {
        let mut queue = match config {
            None => QueueConfig::default(),
            Some(config) => self.queue_of(config)?.clone(),
        };
        queue.envelope = self.envelope.unwrap_or(queue.envelope);
        Ok(queue)
    }

    fn queue_of<'c>(&self, config: &'c Config) -> anyhow::Result<&'c QueueConfig> {
        let names = || config.queues.keys().cloned().collect::<Vec<_>>().join(", ");
        match (&self.queue, config.queues.len()) {
            (Some(name), _) => {
                config.queues.get(name).with_context(|| format!("the config has no queue `{name}`; it has {}", names()))
            }
            (None, 1) => Ok(config.queues.values().next().expect("there is one")),
            (None, _) => bail!("the config has several queues; say which with --queue: {}", names()),
        }
    }

    pub fn delivery(&self) -> anyhow::Result<Delivery> {
        let attributes = self.attributes.iter().map(|(name, value)| (name.clone(), AttributeValue::string(value)));
        let attributes: Attributes = attributes.collect();
        Ok(Delivery {
            message_id: MessageId(MESSAGE_ID.to_owned()),
            receipt: Receipt(String::new()),
            body: read_body(&self.body)?.into(),
            attributes,
            receive_count: 1,
            sent_at: clock::unix_ms(),
            enqueued_at: clock::unix_ms(),
            group: None,
            deduplication_id: None,
            trace_header: None,
            received_at: clock::now(),
        })
    }
}
