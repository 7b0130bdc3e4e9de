//! `wasq send`: one message, or a file of them.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use futures::stream::{FuturesUnordered, StreamExt};
use wasq_core::message::{AttributeValue, Attributes};
use wasq_queues::{Outgoing, Queue, batches};

use super::body::read_body;
use super::message::parse_pair;
use super::target::Target;
use crate::flow::decode::{KEY_ATTRIBUTE, TYPE_ATTRIBUTE};

/// Batches on their way at once.
const BATCHES: usize = 8;

/// Send a message, or with --file one for each line.
///
/// Without a config it goes to the local queue that `wasq dev` runs. Prints the message ids.
#[derive(Args)]
pub struct Send {
    /// The message's type: attribute `type`.
    #[arg(value_name = "TYPE")]
    kind: String,
    /// The body; `-` reads stdin, `@FILE` a file.
    #[arg(required_unless_present = "file")]
    body: Option<String>,
    /// Sends one message for each line of this file; `-` reads stdin.
    #[arg(long, value_name = "FILE", conflicts_with = "body")]
    file: Option<PathBuf>,
    /// The idempotency key: attribute `idempotency-key`.
    #[arg(long, conflicts_with = "file")]
    key: Option<String>,
    /// Adds a message attribute. May be repeated.
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = parse_pair)]
    attributes: Vec<(String, String)>,
    /// Seconds before it can be received, at most 900.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=900))]
    delay: u32,
    /// The message group, for a FIFO queue or a fair queue.
    #[arg(long)]
    group: Option<String>,
    /// The deduplication id, for a FIFO queue without deduplication by content.
    #[arg(long, conflicts_with = "file")]
    deduplication_id: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl Send {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let queue = self.target.connect().await?.with_claim_check();
        match (&self.file, &self.body) {
            (Some(file), _) => self.send_file(&queue, file).await,
            (None, Some(body)) => {
                let message = self.message(read_body(body)?);
                for answer in queue.send(&[message]).await {
                    println!("{}", answer.with_context(|| format!("cannot send to {}", queue.name()))?);
                }
                Ok(ExitCode::SUCCESS)
            }
            (None, None) => bail!("give a BODY, or --file"),
        }
    }

    async fn send_file(&self, queue: &Arc<dyn Queue>, file: &PathBuf) -> anyhow::Result<ExitCode> {
        let input: Box<dyn BufRead> = if file.as_os_str() == "-" {
            Box::new(BufReader::new(std::io::stdin()))
        } else {
            let opened = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
            Box::new(BufReader::new(opened))
        };
        let lines: Vec<String> = input.lines().collect::<Result<_, _>>().context("a line cannot be read")?;
        let messages: Vec<Outgoing> = lines
            .into_iter()
            .filter(|line| !line.trim().is_empty())
            .map(|line| self.message(line.into_bytes()))
            .collect();
        let bar = progress(messages.len() as u64, "sent");
        let mut failed = 0u64;
        let mut under_way = FuturesUnordered::new();
        let mut batches = batches(&messages).into_iter();
        loop {
            while under_way.len() < BATCHES
                && let Some(batch) = batches.next()
            {
                under_way.push(queue.send(batch));
            }
            let Some(answers) = under_way.next().await else { break };
            for answer in answers {
                match answer {
                    Ok(_) => bar.inc(1),
                    Err(error) => {
                        failed += 1;
                        // A bar without a terminal prints nothing itself.
                        bar.suspend(|| eprintln!("not sent: {error}"));
                    }
                }
            }
        }
        bar.finish();
        println!("{} sent, {failed} failed", bar.position());
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn message(&self, body: Vec<u8>) -> Outgoing {
        let pairs = self.attributes.iter().map(|(name, value)| (name.clone(), AttributeValue::string(value)));
        let mut attributes: Attributes = pairs.collect();
        attributes.insert(TYPE_ATTRIBUTE.into(), AttributeValue::string(&self.kind));
        if let Some(key) = &self.key {
            attributes.insert(KEY_ATTRIBUTE.into(), AttributeValue::string(key));
        }
        Outgoing {
            body: body.into(),
            attributes,
            delay_s: self.delay,
            group: self.group.clone(),
            deduplication_id: self.deduplication_id.clone(),
        }
    }
}

/// A progress bar on stderr; nothing where stderr is no terminal.
pub fn progress(total: u64, verb: &str) -> indicatif::ProgressBar {
    let template = format!("{{bar:40}} {{pos}}/{{len}} {verb}, {{per_sec}}, {{eta}} left");
    let style =
        indicatif::ProgressStyle::with_template(&template).unwrap_or_else(|_| indicatif::ProgressStyle::default_bar());
    indicatif::ProgressBar::new(total).with_style(style)
}
