//! `wasq status`: what a running host is doing.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::Value;
use wasq_core::clock;
use wasq_core::message::UnixMs;

use super::dlq::{duration, time};
use super::http::Admin;
use super::screen::{Screen, unanswered};
use super::table::{self, Table, list as names, name, number, text, whole, wrapped};

/// Failures that are shown.
const FAILURES: usize = 5;
/// Show a running host: readiness, what is paused, queues, types, permits, breakers, the latest
/// failures.
///
/// Exits with 1 if the host is not ready.
#[derive(Args)]
pub struct Status {
    #[command(flatten)]
    admin: Admin,
    /// Shows it again and again, until Ctrl-C. Where the output is no terminal, one after the
    /// other.
    #[arg(long, short)]
    watch: bool,
    /// Refresh interval for --watch.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "2s", requires = "watch")]
    every: Duration,
    /// Prints JSON; with --watch a line a look.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        if self.watch {
            return self.watch().await;
        }
        let status = self.ask().await?;
        if self.json {
            println!("{status:#}");
        } else {
            print!("{}", page(&status, clock::unix_ms(), table::columns()));
        }
        Ok(if is_ready(&status) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn ask(&self) -> anyhow::Result<Value> {
        self.admin.get("/status").await?.context("the host does not know /status")
    }

    /// A host that does not answer is waited for: it may be on its way up again.
    async fn watch(&self) -> anyhow::Result<ExitCode> {
        let mut screen = Screen::open(self.json)?;
        let mut ready = false;
        loop {
            let text = match self.ask().await {
                Ok(status) => {
                    ready = is_ready(&status);
                    if self.json { format!("{status}\n") } else { page(&status, clock::unix_ms(), table::columns()) }
                }
                Err(error) => unanswered(&error, self.json),
            };
            if !screen.show(&text) || !screen.wait(self.every).await {
                return Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
        }
    }
}

fn is_ready(status: &Value) -> bool {
    status["ready"]["ok"] == true
}

/// The status in words and tables, no wider than the terminal.
fn page(status: &Value, now: UnixMs, width: usize) -> String {
    let mut page = String::new();
    let mut say = |line: &str| writeln!(page, "{line}").expect("a String takes whatever is written");
    let sentence = |text: &str| {
        let lines = wrapped(text, width.saturating_sub(4));
        lines
            .iter()
            .enumerate()
            .map(|(n, line)| format!("{}{line}", if n == 0 { "  " } else { "    " }))
            .collect::<Vec<_>>()
    };
    say(if is_ready(status) { "ready" } else { "not ready" });
    for reason in items(&status["ready"]["reasons"]) {
        sentence(&shown(reason)).iter().for_each(|line| say(line));
    }
    for pause in items(&status["paused"]) {
        let until = pause["until"]
            .as_u64()
            .map_or_else(|| "until it is resumed".into(), |at| format!("until {} UTC", time(UnixMs(at))));
        let paused = format!("paused: {}, by {}, {until}", shown(&pause["target"]), shown(&pause["by"]));
        sentence(&paused).iter().for_each(|line| say(line));
    }
    say(&format!("\n{}", queues(status).render(width)));
    if items(&status["unroutable"]).next().is_some() {
        say(&format!("\n{}", unroutable(status, now).render(width)));
    }
    if items(&status["lines"]).next().is_some() {
        say(&format!("\n{}", lines(status).render(width)));
    }
    let busy = items(&status["permits"]).filter(|permit| permit["busy"] != 0);
    let busy: Vec<_> =
        busy.map(|permit| format!("{} {} of {}", shown(&permit["name"]), permit["busy"], permit["limit"])).collect();
    if !busy.is_empty() {
        say("");
        wrapped(&format!("permits busy: {}", busy.join(", ")), width).iter().for_each(|line| say(line));
    }
    for breaker in items(&status["breakers"]).filter(|breaker| breaker["open"] == true) {
        let [dependency, plugin, probe] = ["dependency", "plugin", "probe_in_ms"].map(|key| shown(&breaker[key]));
        say("");
        let key = breaker["key"].as_str().map_or_else(String::new, |key| format!(", {key}"));
        wrapped(&format!("breaker open: {dependency} for {plugin}{key}, next probe in {probe} ms"), width)
            .iter()
            .for_each(|line| say(line));
    }
    if items(&status["failures"]).next().is_some() {
        say(&format!("\n{}", failures(status, now).render(width)));
    }
    page
}

fn queues(status: &Value) -> Table {
    let numbers = ["visible", "in flight", "delayed", "lag", "in hand", "dead letters"].map(number);
    let mut queues = Table::new([name("queue")].into_iter().chain(numbers));
    for queue in items(&status["queues"]) {
        let lag = queue["lag_s"].as_f64().map_or_else(|| "?".into(), |s| format!("{s:.1} s"));
        let [name, visible, in_flight, delayed, in_hand, dead_letters] =
            ["name", "visible", "in_flight", "delayed", "in_hand", "dead_letters"].map(|name| shown(&queue[name]));
        queues.add([name, visible, in_flight, delayed, lag, in_hand, dead_letters]);
    }
    queues
}

/// The types that no plugin handles.
fn unroutable(status: &Value, now: UnixMs) -> Table {
    let mut types = Table::new([name("unroutable type"), name("queue"), number("looks"), whole("last")]);
    for row in items(&status["unroutable"]) {
        let [kind, queue, looks, reason] = ["type", "queue", "deliveries", "reason"].map(|name| shown(&row[name]));
        types.add([kind, queue, looks, ago(&row["last_at"], now)]);
        types.note(&reason);
    }
    types
}

fn lines(status: &Value) -> Table {
    let numbers =
        ["done", "returned", "duplicate", "dead-lettered", "run p50/p99 ms", "sent→done p50/p99 ms"].map(number);
    let mut lines = Table::new([name("type"), name("plugin")].into_iter().chain(numbers));
    for line in items(&status["lines"]) {
        let exits = |class: &str| line["exits"][class].as_u64().unwrap_or(0);
        let pair = |name: &str| {
            let ms = |q: &str| milliseconds(line[format!("{name}_{q}_ms")].as_f64().unwrap_or(0.0));
            format!("{}/{}", ms("p50"), ms("p99"))
        };
        lines.add([
            shown(&line["type"]),
            shown(&line["plugin"]),
            exits("done").to_string(),
            shown(&line["delayed"]),
            shown(&line["duplicates"]),
            shown(&line["dead_lettered"]),
            pair("run"),
            pair("sent_to_done"),
        ]);
    }
    lines
}

/// In few characters: `0.4`, `76`, `15s`.
fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.1}"),
        ms if ms < 10_000.0 => format!("{ms:.0}"),
        ms => format!("{:.0}s", ms / 1_000.0),
    }
}

fn failures(status: &Value, now: UnixMs) -> Table {
    let mut failures = Table::new([whole("failed"), name("type"), names("plugins"), whole("exit"), text("reason")]);
    for failure in items(&status["failures"]).take(FAILURES) {
        let [kind, class, reason] = ["type", "class", "reason"].map(|name| shown(&failure[name]));
        let plugins: Vec<_> = items(&failure["plugins"]).map(shown).collect();
        failures.add([ago(&failure["at"], now), kind, plugins.join(", "), class, reason]);
    }
    failures
}

fn ago(at: &Value, now: UnixMs) -> String {
    let ago_s = now.0.saturating_sub(at.as_u64().unwrap_or(now.0)) / 1_000;
    format!("{} ago", humantime_serde::re::humantime::format_duration(Duration::from_secs(ago_s)))
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "?".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
