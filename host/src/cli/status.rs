//! `wasq status`: what a running host is doing.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::Value;

use super::http::Admin;
use super::table;

/// Show a running host: readiness, queues, types, breakers.
///
/// Exits with 1 if the host is not ready.
#[derive(Args)]
pub struct Status {
    #[command(flatten)]
    admin: Admin,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let status: Value = self.admin.get("/status").await?.context("the host does not know /status")?;
        let ready = status["ready"]["ok"] == true;
        if self.json {
            println!("{status:#}");
        } else {
            print(&status, ready);
        }
        Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn print(status: &Value, ready: bool) {
    println!("{}", if ready { "ready" } else { "not ready" });
    for reason in status["ready"]["reasons"].as_array().into_iter().flatten() {
        println!("  {}", text(reason));
    }
    let mut queues = table(&["queue", "visible", "in flight", "delayed", "in hand", "dead letters"]);
    for queue in list(&status["queues"]) {
        let names = ["name", "visible", "in_flight", "delayed", "in_hand", "dead_letters"];
        queues.add_row(names.map(|name| text(&queue[name])));
    }
    println!("\n{queues}");
    let mut lines = table(&[
        "type",
        "plugin",
        "done",
        "retried",
        "duplicates",
        "dead-lettered",
        "run p50/p99 ms",
        "sent to done p50/p99 ms",
    ]);
    for line in list(&status["lines"]) {
        let exits = |class: &str| line["exits"][class].as_u64().unwrap_or(0);
        let pair = |name: &str| {
            let ms = |q: &str| line[format!("{name}_{q}_ms")].as_f64().unwrap_or(0.0);
            format!("{:.1} / {:.1}", ms("p50"), ms("p99"))
        };
        lines.add_row([
            text(&line["type"]),
            text(&line["plugin"]),
            exits("done").to_string(),
            text(&line["delayed"]),
            text(&line["duplicates"]),
            text(&line["dead_lettered"]),
            pair("run"),
            pair("sent_to_done"),
        ]);
    }
    println!("\n{lines}");
    for breaker in list(&status["breakers"]) {
        if breaker["open"] == true {
            println!(
                "\nbreaker open: {}, next probe in {} ms",
                text(&breaker["dependency"]),
                text(&breaker["probe_in_ms"])
            );
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "?".into(),
        other => other.to_string(),
    }
}
