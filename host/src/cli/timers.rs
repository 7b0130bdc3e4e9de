//! `wasq timers`: what waits in the ledger for its time.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use wasq_ledgers::timers::END_OF_TIME;

use super::dlq::time;
use super::http::Admin;
use super::pause::who;
use super::table::{Table, name, number, whole};
use crate::admin::timers::{CancelAnswer, CancelRequest, TimerList, Was};

/// List what waits in the ledger for its time: parked messages, delayed ones, schedules, and
/// messages that wait for an answer.
///
/// The first to be due comes first.
#[derive(Args)]
pub struct Timers {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    route: Route,
    /// How many are listed: 1 to 1000.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Lists those behind this place: what the list before has said.
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,
}

#[derive(Args)]
struct Route {
    #[command(flatten)]
    admin: Admin,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Action {
    /// Remove one: its message is not sent, and nothing keeps it.
    Cancel(Cancel),
}

#[derive(Args)]
struct Cancel {
    /// The timer's id.
    id: String,
    /// Confirms that the message is lost.
    #[arg(long)]
    yes: bool,
    /// Who asks. Default: user@machine.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    route: Route,
}

impl Timers {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.action {
            None => list(&self.route, self.limit, self.after.as_deref()).await?,
            Some(Action::Cancel(cancel)) => cancel.run().await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn list(route: &Route, limit: u16, after: Option<&str>) -> anyhow::Result<()> {
    let after = after.map(|after| format!("&after={}", utf8_percent_encode(after, NON_ALPHANUMERIC)));
    let path = format!("/timers?limit={limit}{}", after.unwrap_or_default());
    let list: TimerList = route.admin.get_if_ok(&path).await?.context("the host does not know /timers")?;
    if route.json {
        println!("{:#}", json!(list));
        return Ok(());
    }
    let mut rows = Table::new([whole("due (UTC)"), name("id"), name("queue"), number("bytes"), whole("state")]);
    for timer in &list.timers {
        let state = if timer.is_taken { "being sent" } else { "waits" };
        let due = if timer.due >= END_OF_TIME { "never".into() } else { time(timer.due) };
        rows.add([due, timer.id.clone(), timer.queue.clone(), timer.bytes.to_string(), state.into()]);
    }
    if !list.timers.is_empty() {
        println!("{rows}\n");
    }
    let more = if list.is_at_least { "at least " } else { "" };
    println!("{more}{} timers, {} of them overdue", list.all, list.overdue);
    if let Some(next) = list.next {
        println!("more: --after '{next}'");
    }
    Ok(())
}

impl Cancel {
    async fn run(self) -> anyhow::Result<()> {
        if !self.yes {
            bail!("its message would be lost; say --yes if it is to be");
        }
        let asked = CancelRequest { id: self.id.clone(), by: self.by.unwrap_or_else(who) };
        let answer: CancelAnswer = self.route.admin.post("/timers/cancel", &asked).await?;
        if self.route.json {
            println!("{:#}", json!(answer));
            return Ok(());
        }
        match answer.was {
            Was::Waiting => println!("cancelled: {}", self.id),
            Was::Taken => println!("cancelled: {}; a host has it in hand, and may have sent its message", self.id),
            Was::Gone => bail!("there is no timer `{}`", self.id),
        }
        Ok(())
    }
}
