//! `wasq pause` and `wasq resume`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::json;
use wasq_core::clock;
use wasq_core::message::UnixMs;
use wasq_core::pause::{Pause, Target};
use wasq_ledgers::Ledger;

use super::dlq::{duration, time};
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
    /// End of the pause: a duration (`90s`, `2h`) or a time (`2026-11-27T18:00Z`; without a zone,
    /// this machine's).
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

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    After(Duration),
    At(UnixMs),
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

impl End {
    fn from(self, now: UnixMs) -> UnixMs {
        match self {
            Self::After(wait) => wasq_ledgers::entry::after(now, wait),
            Self::At(at) => at,
        }
    }
}

/// A duration, or a time: with a zone, or in this machine's.
fn end(text: &str) -> Result<End, String> {
    if let Ok(wait) = duration(text) {
        return Ok(End::After(wait));
    }
    let zoned = text.parse::<jiff::Timestamp>().ok();
    let local =
        || text.parse::<DateTime>().ok()?.to_zoned_datetime(TimeZone::system()).ok().map(|time| time.timestamp());
    let time = zoned.or_else(local).and_then(|time| u64::try_from(time.as_millisecond()).ok());
    let hint = "write a duration, as 90s or 2h, or a time, as 2026-11-27T18:00Z";
    time.map(|ms| End::At(UnixMs(ms))).ok_or_else(|| hint.to_owned())
}

fn in_words(pause: &Pause) -> String {
    let until = pause.until.map_or_else(|| "until it is resumed".into(), |at| format!("until {} UTC", time(at)));
    format!("{}, by {} at {} UTC, {until}", pause.target, pause.by, time(pause.at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_duration_or_a_time() {
        assert_eq!(end("2h 30m"), Ok(End::After(Duration::from_secs(9_000))));
        assert_eq!(end("1970-01-01T00:01Z"), Ok(End::At(UnixMs(60_000))));
        assert_eq!(end("1970-01-01T02:01:00+02:00"), Ok(End::At(UnixMs(60_000))));
        assert!(matches!(end("2026-11-27 18:00"), Ok(End::At(_))));
        for wrong in ["", "soon", "18", "2026-13-01T00:00Z"] {
            assert!(end(wrong).is_err(), "{wrong}");
        }
        assert_eq!(End::After(Duration::from_secs(1)).from(UnixMs(5)), UnixMs(1_005));
    }
}
