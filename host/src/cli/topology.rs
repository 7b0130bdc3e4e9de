//! `wasq topology`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use wasq_queues::QueueAddress;
use wasq_queues::rabbitmq::{QueueTopology, RabbitMq, RabbitMqConfig};

use crate::config::Config;
use crate::dlq::redrive;

/// Make the queues that the config has on RabbitMQ.
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

/// Make each queue that the config has on RabbitMQ, with its DLQ.
///
/// Queues are durable. What RabbitMQ itself drops, because it was delivered too often, goes to the
/// queue's DLQ. A queue that is there as the config has it stays as it is. One that differs stays,
/// too: the command says in what, and exits with 1. Outlets that are sent to by an exchange are
/// left out.
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
    for (server, queue) in wanted(config)? {
        let made = async { RabbitMq::connect(server).await?.declare(&queue).await };
        made.await.with_context(|| format!("cannot make the queue {}", queue.name))?;
    }
    Ok(())
}

impl Apply {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let config = Config::load(&self.config)?;
        let wanted = wanted(&config)?;
        if wanted.is_empty() {
            bail!("{} has no queue on RabbitMQ; add broker = \"rabbitmq\" to one", self.config.display());
        }
        let mut failures = 0;
        for (server, queue) in wanted {
            if self.dry_run {
                println!("would make  {}", described(&queue));
                continue;
            }
            let made = async { RabbitMq::connect(server).await?.declare(&queue).await };
            match made.await {
                Ok(()) => println!("ok          {}", described(&queue)),
                Err(error) => {
                    println!("problem     {}: {error}", queue.name);
                    failures += 1;
                }
            }
        }
        Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The queues that are to be there, each with its server: a DLQ before the queue that leads to it.
fn wanted(config: &Config) -> anyhow::Result<Vec<(RabbitMqConfig, QueueTopology)>> {
    let mut wanted = Vec::new();
    for (name, queue) in &config.queues {
        let QueueAddress::RabbitMq { server, name: own, .. } = queue.location(name).address() else { continue };
        let dlq = redrive::check(name, false, queue, None, 0)?.dlq;
        let own = QueueTopology {
            dead_letter_exchange: Some(String::new()),
            dead_letter_routing_key: Some(dlq.clone()),
            ..QueueTopology::of(&server, &own)
        };
        let letters = QueueTopology::of(&server, &dlq);
        let letters = QueueTopology { delivery_limit: letters.delivery_limit.and(Some(LETTER_DELIVERIES)), ..letters };
        wanted.extend([((*server).clone(), letters), (*server, own)]);
    }
    for (name, outlet) in &config.outlets {
        let QueueAddress::RabbitMq { server, name: own, .. } = outlet.location(name).address() else { continue };
        if server.exchange.is_empty() {
            let queue = QueueTopology::of(&server, &own);
            wanted.push((*server, queue));
        }
    }
    Ok(wanted)
}

fn described(queue: &QueueTopology) -> String {
    let mut text = format!("{} ({}", queue.name, queue.queue_type.name());
    if let Some(limit) = queue.delivery_limit.filter(|limit| *limit != LETTER_DELIVERIES) {
        text += &format!(", a message comes back {limit} times at most");
    }
    if let Some(dlq) = &queue.dead_letter_routing_key {
        text += &format!(", what is dropped goes to {dlq}");
    }
    text + ")"
}
