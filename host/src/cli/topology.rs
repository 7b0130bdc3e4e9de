//! `wasq topology`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use wasq_queues::kafka::{KafkaConfig, TopicTopology, make_topic};
use wasq_queues::rabbitmq::{QueueTopology, RabbitMq, RabbitMqConfig};
use wasq_queues::redis::{Redis, RedisConfig, StreamTopology};
use wasq_queues::{QueueAddress, QueueError};

use crate::config::Config;
use crate::dlq::redrive;

/// Make the queues that the config has on RabbitMQ, Redis and Kafka.
///
/// The host itself makes none: what a broker keeps is an operator's to decide.
#[derive(Args)]
pub struct Topology {
    #[command(subcommand)]
    command: TopologyCommand,
}

#[derive(Subcommand)]
enum TopologyCommand {
    Apply(Apply),
}

/// Make each queue that the config has on RabbitMQ, Redis or Kafka, with its DLQ.
///
/// On RabbitMQ queues are durable. What it drops itself, because it was delivered too often, goes
/// to the queue's DLQ. On Redis a queue is a stream with a group that reads it from its first entry
/// on. On Kafka it is a topic, made with the config's `partitions` and `replication_factor`, or as
/// the cluster makes topics.
///
/// A queue that is there as the config has it stays as it is. One that differs stays, too: the
/// command says in what, and exits with 1. Outlets that are sent to by an exchange are left out.
#[derive(Args)]
struct Apply {
    /// The config file.
    #[arg(long, env = "WASQ_CONFIG", default_value = "wasq.toml", value_name = "FILE")]
    config: PathBuf,
    /// Print what would be made, and make nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Letters are looked at as often as anybody likes: RabbitMQ must not drop one for that.
const LETTER_DELIVERIES: u32 = i32::MAX as u32;

impl Topology {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let TopologyCommand::Apply(apply) = self.command;
        apply.run().await
    }
}

/// Makes each queue that the config has on a broker of its own, with its DLQ.
///
/// # Errors
/// The first that could not be made, and why.
pub async fn make(config: &Config) -> anyhow::Result<()> {
    for queue in wanted(config)? {
        queue.make().await.with_context(|| format!("cannot make the queue {}", queue.name()))?;
    }
    Ok(())
}

impl Apply {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let config = Config::load(&self.config)?;
        let wanted = wanted(&config)?;
        if wanted.is_empty() {
            let file = self.config.display();
            bail!(
                "{file} has no queue on another broker than SQS; add broker = \"rabbitmq\", \"redis\" or \"kafka\" to one"
            );
        }
        let mut failures = 0;
        for queue in wanted {
            if self.dry_run {
                println!("would make  {}", queue.described());
                continue;
            }
            match queue.make().await {
                Ok(()) => println!("ok          {}", queue.described()),
                Err(error) => {
                    println!("problem     {}: {error}", queue.name());
                    failures += 1;
                }
            }
        }
        for (server, topic) in topics {
            if self.dry_run {
                println!("would make  {}", described_topic(&topic));
                continue;
            }
            match make_topic(&server, &topic).await {
                Ok(()) => println!("ok          {}", described_topic(&topic)),
                Err(error) => {
                    println!("problem     {}: {error}", topic.name);
                    failures += 1;
                }
            }
        }
        Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// A queue that is to be there, with its server.
enum Wanted {
    RabbitMq(RabbitMqConfig, QueueTopology),
    Redis(RedisConfig, StreamTopology),
    Kafka(KafkaConfig, TopicTopology),
}

/// The queues that are to be there: a DLQ before the queue that leads to it.
fn wanted(config: &Config) -> anyhow::Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    for (name, queue) in &config.queues {
        let address = queue.location(name).address();
        let dlq = match address {
            QueueAddress::Sqs(_) => continue,
            QueueAddress::RabbitMq { .. } | QueueAddress::Redis { .. } | QueueAddress::Kafka { .. } => {
                redrive::check(name, false, queue, None, 0)?.dlq
            }
        };
        wanted.extend(Wanted::with_dlq(address, &dlq));
    }
    for (name, outlet) in &config.outlets {
        wanted.extend(Wanted::outlet(outlet.location(name).address()));
    }
    Ok(wanted)
}

impl Wanted {
    /// A queue's DLQ, and the queue.
    fn with_dlq(queue: QueueAddress, dlq: &str) -> Vec<Self> {
        match queue {
            QueueAddress::Sqs(_) => Vec::new(),
            QueueAddress::RabbitMq { server, name, concurrency: _ } => {
                let own = QueueTopology {
                    dead_letter_exchange: Some(String::new()),
                    dead_letter_routing_key: Some(dlq.to_owned()),
                    ..QueueTopology::of(&server, &name)
                };
                let letters = QueueTopology::of(&server, dlq);
                let delivery_limit = letters.delivery_limit.and(Some(LETTER_DELIVERIES));
                let letters = QueueTopology { delivery_limit, ..letters };
                vec![Self::RabbitMq((*server).clone(), letters), Self::RabbitMq(*server, own)]
            }
            QueueAddress::Redis { config, name, is_outlet: _ } => {
                let stream = |name: &str| Self::Redis((*config).clone(), StreamTopology::of(&config, name));
                vec![stream(dlq), stream(&name)]
            }
            QueueAddress::Kafka { server, topic, concurrency: _ } => {
                let make = |name: &str| Self::Kafka((*server).clone(), TopicTopology::of(&server, name));
                vec![make(dlq), make(&topic)]
            }
        }
    }

    /// None of one that is sent to by an exchange.
    fn outlet(outlet: QueueAddress) -> Option<Self> {
        match outlet {
            QueueAddress::Sqs(_) => None,
            QueueAddress::RabbitMq { server, name, concurrency: _ } => {
                let queue = QueueTopology::of(&server, &name);
                server.exchange.is_empty().then_some(Self::RabbitMq(*server, queue))
            }
            QueueAddress::Redis { config, name, is_outlet: _ } => {
                Some(Self::Redis(*config, StreamTopology { name, group: None }))
            }
            QueueAddress::Kafka { server, topic, concurrency: _ } => {
                let topic = TopicTopology::of(&server, &topic);
                Some(Self::Kafka(*server, topic))
            }
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::RabbitMq(_, queue) => &queue.name,
            Self::Redis(_, stream) => &stream.name,
            Self::Kafka(_, topic) => &topic.name,
        }
    }

    async fn make(&self) -> Result<(), QueueError> {
        match self {
            Self::RabbitMq(server, queue) => RabbitMq::connect(server.clone()).await?.declare(queue).await,
            Self::Redis(config, stream) => Redis::connect(config).await?.declare(stream).await,
            Self::Kafka(server, topic) => make_topic(server, topic).await,
        }
    }

    fn described(&self) -> String {
        match self {
            Self::RabbitMq(_, queue) => {
                let mut text = format!("{} ({}", queue.name, queue.queue_type.name());
                if let Some(limit) = queue.delivery_limit.filter(|limit| *limit != LETTER_DELIVERIES) {
                    text += &format!(", a message comes back {limit} times at most");
                }
                if let Some(dlq) = &queue.dead_letter_routing_key {
                    text += &format!(", what is dropped goes to {dlq}");
                }
                text + ")"
            }
            Self::Redis(_, StreamTopology { name, group }) => match group {
                Some(group) => format!("{name} (a stream, read by the group {group})"),
                None => format!("{name} (a stream)"),
            },
            Self::Kafka(_, TopicTopology { name, partitions, replication_factor }) => {
                let number =
                    |number: Option<u32>| number.map_or("the cluster's".to_owned(), |number| number.to_string());
                let (partitions, copies) = (number(*partitions), number(replication_factor.map(u32::from)));
                format!("{name} (topic, partitions: {partitions}, copies: {copies})")
            }
        }
    }
}
