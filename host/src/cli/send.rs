//! `wasq send`: one message, or a file of them.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use futures::stream::{FuturesUnordered, StreamExt};
use humantime_serde::re::humantime;
use jiff::Timestamp;
use wasq_core::clock;
use wasq_core::message::{AttributeValue, Attributes, UnixMs};
use wasq_queues::{Outgoing, Queue, batches};

use super::body::read_body;
use super::message::parse_pair;
use super::target::Target;
use crate::flow::decode::{KEY_ATTRIBUTE, TYPE_ATTRIBUTE};
use crate::timers::deliver_at::{self, DELIVER_AT_ATTRIBUTE};

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
    /// How long before it can be received: seconds, or with a unit, such as 90s, 2h or 3days. What
    /// is longer than the queue's own delays have, a host keeps until then.
    #[arg(long, value_name = "TIME", value_parser = parse_delay)]
    delay: Option<Duration>,
    /// When it can be received, as RFC 3339 has it: 2027-01-31T08:00:00Z.
    #[arg(long, value_name = "TIME", conflicts_with = "delay")]
    at: Option<Timestamp>,
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
                let message = self.message(read_body(body)?, self.due(queue.as_ref())?);
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
        let due = self.due(queue.as_ref())?;
        let messages: Vec<Outgoing> = lines
            .into_iter()
            .filter(|line| !line.trim().is_empty())
            .map(|line| self.message(line.into_bytes(), due.clone()))
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

    /// How the message comes to wait.
    fn due(&self, queue: &dyn Queue) -> anyhow::Result<Due> {
        let now = clock::unix_ms();
        let delay = match (self.at, self.delay) {
            (Some(at), _) => {
                let at_ms = u64::try_from(at.as_millisecond()).unwrap_or_default();
                if at_ms <= now.0 {
                    eprintln!("{at} has passed: it is sent now");
                }
                Duration::from_millis(at_ms.saturating_sub(now.0))
            }
            (None, delay) => delay.unwrap_or_default(),
        };
        if delay <= queue.delays_up_to() {
            return Ok(Due::Delay(delay.as_millis().div_ceil(1_000) as u32));
        }
        let at = u64::try_from(delay.as_millis()).ok().and_then(|delay_ms| now.0.checked_add(delay_ms));
        let at = at.and_then(|at| deliver_at::value_of(UnixMs(at)));
        Ok(Due::At(at.context("--delay: a message is sent before the year 10000")?))
    }

    fn message(&self, body: Vec<u8>, due: Due) -> Outgoing {
        let pairs = self.attributes.iter().map(|(name, value)| (name.clone(), AttributeValue::string(value)));
        let mut attributes: Attributes = pairs.collect();
        attributes.insert(TYPE_ATTRIBUTE.into(), AttributeValue::string(&self.kind));
        if let Some(key) = &self.key {
            attributes.insert(KEY_ATTRIBUTE.into(), AttributeValue::string(key));
        }
        let delay_s = match due {
            Due::Delay(delay_s) => delay_s,
            Due::At(at) => {
                attributes.insert(DELIVER_AT_ATTRIBUTE.into(), at);
                0
            }
        };
        Outgoing {
            body: body.into(),
            attributes,
            delay_s,
            group: self.group.clone(),
            deduplication_id: self.deduplication_id.clone(),
        }
    }
}

/// What has a message wait.
#[derive(Clone)]
enum Due {
    /// Its queue, for so many seconds.
    Delay(u32),
    /// A host, until then: the attribute `wasq-deliver-at`.
    At(AttributeValue),
}

fn parse_delay(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string()),
    }
}

/// A progress bar on stderr; nothing where stderr is no terminal.
pub fn progress(total: u64, verb: &str) -> indicatif::ProgressBar {
    let template = format!("{{bar:40}} {{pos}}/{{len}} {verb}, {{per_sec}}, {{eta}} left");
    let style =
        indicatif::ProgressStyle::with_template(&template).unwrap_or_else(|_| indicatif::ProgressStyle::default_bar());
    indicatif::ProgressBar::new(total).with_style(style)
}
