//! `wasq pause` and `wasq resume`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use wasq_core::clock;
use wasq_core::pause::{Pause, Target};
use wasq_ledgers::Ledger;

use super::dlq::time;
use super::end::{End, end};
use super::http::Admin;
use crate::admin::pauses::{PauseRequest, Paused, ResumeRequest, Resumed};
use crate::admission::pauses;
use crate::config::Config;

/// Hold a type's messages, or stop polling a queue, on all hosts of the service.
///
/// It is kept in the ledger: it outlives restarts, and every host of the fleet hears of it within
/// seconds. A paused type's messages are not run and not lost, and count no attempt; they return
/// within 90 seconds of `wasq resume`. What runs already runs to its end. `wasq status` shows what
/// is paused.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct PauseCommand {
    #[command(flatten)]
    what: What,
    /// End of the pause: a duration (`90s`, `2h`), a time of today or tomorrow (`18:00`), or a time
    /// (`2026-11-27T18:00Z`). Without a zone it is this machine's.
    #[arg(long, value_name = "TIME|DURATION", value_parser = end)]
    until: Option<End>,
    #[command(flatten)]
    route: Route,
}

/// Let a paused type or queue go on.
#[derive(Args)]
pub struct ResumeCommand {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    route: Route,
}

/// What the audit log has for the address of whoever goes to the ledger from here.
const FROM: &str = "the command line";

const EXAMPLES: &str = "Examples:
  wasq pause order_completed --until 2h
  wasq pause --queue orders
  wasq resume order_completed";

#[derive(Args)]
#[group(required = true, multiple = false)]
struct What {
    /// The message type.
    #[arg(value_name = "TYPE")]
    kind: Option<String>,
    /// A whole queue, by its name in the config.
    #[arg(long, short, value_name = "NAME")]
    queue: Option<String>,
}

/// How the ledger is reached.
#[derive(Args)]
struct Route {
    #[command(flatten)]
    admin: Admin,
    /// Write to this config's ledger directly instead of asking a running host. Shared ledgers
    /// only.
    #[arg(long, value_name = "FILE", conflicts_with = "admin")]
    config: Option<PathBuf>,
    /// Who pauses or resumes. Default: user@machine.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl PauseCommand {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (target, by) = (self.what.target()?, self.route.by());
        let now = clock::unix_ms();
        let until = self.until.map(|end| end.from(now));
        let paused = match self.route.ledger().await? {
            Some((ledger, service)) => {
                let pause = Pause::new(target, &by, now, until)?;
                pauses::pause(&*ledger, &service, &pause, FROM).await?;
                Paused { pause, note: None }
            }
            None => self.route.admin.post("/pauses", &PauseRequest { target, by, until }).await?,
        };
        if self.route.json {
            println!("{:#}", json!(paused));
        } else {
            println!("paused: {}", in_words(&paused.pause));
            if let Some(note) = paused.note {
                println!("note: {note}");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl ResumeCommand {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (target, by) = (self.what.target()?, self.route.by());
        let resumed = match self.route.ledger().await? {
            Some((ledger, service)) => {
                Resumed { resumed: pauses::resume(&*ledger, &service, &target, &by, FROM).await? }
            }
            None => {
                let asked = ResumeRequest { target: target.clone(), by };
                self.route.admin.post("/pauses/resume", &asked).await?
            }
        };
        match (self.route.json, &resumed.resumed) {
            (true, _) => println!("{:#}", json!(resumed)),
            (false, Some(pause)) => println!("resumed; it was paused: {}", in_words(pause)),
            (false, None) => println!("{target} was not paused"),
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl What {
    fn target(&self) -> anyhow::Result<Target> {
        let text = match (&self.kind, &self.queue) {
            (Some(kind), _) => format!("type:{kind}"),
            (None, Some(queue)) => format!("queue:{queue}"),
            (None, None) => String::new(),
        };
        Ok(text.parse()?)
    }
}

impl Route {
    async fn ledger(&self) -> anyhow::Result<Option<(Arc<dyn Ledger>, String)>> {
        let Some(path) = &self.config else { return Ok(None) };
        let config = Config::load(path)?;
        let ledger = wasq_ledgers::open(&config.ledger, &config.aws).await;
        let ledger = ledger.context("cannot open the ledger; through a running host (--admin) it is not needed")?;
        Ok(Some((ledger, config.scope)))
    }

    fn by(&self) -> String {
        self.by.clone().unwrap_or_else(who)
    }
}

/// Who sits here: user@machine.
pub fn who() -> String {
    let user = std::env::var("USER").unwrap_or_else(|_| "somebody".into());
    match std::fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(machine) => format!("{user}@{}", machine.trim()),
        Err(_) => user,
    }
}

fn in_words(pause: &Pause) -> String {
    let until = pause.until.map_or_else(|| "until it is resumed".into(), |at| format!("until {} UTC", time(at)));
    format!("{}, by {} at {} UTC, {until}", pause.target, pause.by, time(pause.at))
}
