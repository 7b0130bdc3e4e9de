//! `wasq schedules`: what is sent when, and what came of it.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::dlq::time;
use super::http::Admin;
use super::pause::who;
use super::table::{Table, name, text, whole};
use crate::admin::schedules::{ScheduleRequest, ScheduleStatus, Started};

/// List the schedules of a running host's config: next times, the last tick, and how its handler
/// ended.
///
/// With an action: pause one, have it go on, or send its message now. What is paused is kept in the
/// ledger, for all hosts of the service.
#[derive(Args)]
pub struct Schedules {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    route: Route,
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
    /// Send no message until it is resumed.
    Pause(One),
    /// Go on with the next tick. Those of the pause are not made up for.
    Resume(One),
    /// Send its message now, beside its ticks.
    Run(One),
}

#[derive(Args)]
struct One {
    /// The schedule's name in the config.
    name: String,
    /// Who asks. Default: user@machine.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    route: Route,
}

impl Schedules {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.action {
            None => list(&self.route).await?,
            Some(Action::Pause(one)) => one.change("pause").await?,
            Some(Action::Resume(one)) => one.change("resume").await?,
            Some(Action::Run(one)) => one.start().await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn list(route: &Route) -> anyhow::Result<()> {
    let answer: Value = route.admin.get_if_ok("/schedules").await?.context("the host does not know /schedules")?;
    if route.json {
        println!("{answer:#}");
        return Ok(());
    }
    let all: Vec<ScheduleStatus> = serde_json::from_value(answer["schedules"].clone())
        .context("cannot parse the host's response; is it the same wasq version?")?;
    if all.is_empty() {
        println!("No schedules. A config has them as [schedules.NAME].");
        return Ok(());
    }
    let mut rows = Table::new([
        name("schedule"),
        text("rule"),
        name("type"),
        name("queue"),
        whole("next (UTC)"),
        whole("last tick (UTC)"),
        text("outcome"),
    ]);
    for schedule in &all {
        rows.add([
            schedule.name.clone(),
            schedule.rule.clone(),
            schedule.kind.clone(),
            schedule.queue.clone(),
            next(schedule),
            schedule.last.as_ref().map_or_else(|| "-".into(), |last| time(last.tick)),
            outcome(schedule),
        ]);
    }
    println!("{rows}");
    Ok(())
}

fn next(schedule: &ScheduleStatus) -> String {
    match schedule.next {
        _ if schedule.is_paused => "paused".into(),
        Some(next) => time(next),
        None => "-".into(),
    }
}

/// How the last message of each plugin ended; with the reason where it is not done.
fn outcome(schedule: &ScheduleStatus) -> String {
    let all: Vec<_> = schedule
        .outcomes
        .iter()
        .map(|outcome| match outcome.exit.as_str() {
            "done" => format!("{}: done", outcome.plugin),
            exit => format!("{}: {exit}, {}", outcome.plugin, outcome.reason),
        })
        .collect();
    if all.is_empty() { "-".into() } else { all.join("; ") }
}

impl One {
    async fn change(self, action: &str) -> anyhow::Result<()> {
        let status: ScheduleStatus = self.route.admin.post(&self.path(action), &self.request()).await?;
        if self.route.json {
            println!("{:#}", serde_json::json!(status));
        } else if status.is_paused {
            println!("paused: {}", self.name);
        } else {
            println!("resumed: {}; next at {} UTC", self.name, next(&status));
        }
        Ok(())
    }

    async fn start(self) -> anyhow::Result<()> {
        let started: Started = self.route.admin.post(&self.path("run"), &self.request()).await?;
        if self.route.json {
            println!("{:#}", serde_json::json!(started));
        } else {
            println!("its message is sent within a second, with the key {}", started.key);
        }
        Ok(())
    }

    fn path(&self, action: &str) -> String {
        format!("/schedules/{}/{action}", utf8_percent_encode(&self.name, NON_ALPHANUMERIC))
    }

    fn request(&self) -> ScheduleRequest {
        ScheduleRequest { by: self.by.clone().unwrap_or_else(who) }
    }
}
