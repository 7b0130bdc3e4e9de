//! `wasq status`: what a running host is doing.

use std::fmt::Write;
use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::Value;

use super::dlq::{cut, duration, time};
use super::http::Admin;
use super::{Signals, table};
use crate::clock;
use crate::message::UnixMs;

/// Columns and rows of a terminal that does not tell how many it has.
const WIDTH: u16 = 80;
const HEIGHT: u16 = 24;
/// Failures that are shown.
const FAILURES: usize = 5;
/// Characters of a reason: the dashboard and `wasq dlq` have it all.
const REASON_CHARS: usize = 60;
/// Moves to the top left; and clears from there on. What is drawn over is not cleared before: that would flicker.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_REST: &str = "\x1b[J";

/// Show a running host: readiness, what is paused, queues, types, permits, breakers, the latest failures.
///
/// Exits with 1 if the host is not ready.
#[derive(Args)]
pub struct Status {
    #[command(flatten)]
    admin: Admin,
    /// Shows it again and again, until Ctrl-C. Where the output is no terminal, one after the other.
    #[arg(long, short)]
    watch: bool,
    /// From one look to the next, with --watch.
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
            print!("{}", page(&status, clock::unix_ms(), size().0));
        }
        Ok(if is_ready(&status) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn ask(&self) -> anyhow::Result<Value> {
        self.admin.get("/status").await?.context("the host does not know /status")
    }

    /// A host that does not answer is waited for: it may be on its way up again.
    async fn watch(&self) -> anyhow::Result<ExitCode> {
        let mut signals = Signals::listen().context("cannot listen for signals")?;
        let mut stdout = std::io::stdout();
        let redraw = stdout.is_terminal() && !self.json;
        let mut ready = false;
        if redraw {
            write!(stdout, "{HOME}{CLEAR_REST}")?;
        }
        loop {
            let text = match self.ask().await {
                Ok(status) => {
                    ready = is_ready(&status);
                    if self.json { format!("{status}\n") } else { page(&status, clock::unix_ms(), size().0) }
                }
                Err(error) if self.json => format!("{}\n", serde_json::json!({ "error": format!("{error:#}") })),
                Err(error) => format!("{error:#}\n"),
            };
            let text = if redraw { frame(&text, size().1) } else { text };
            // Whoever read it may have gone, as `head` does.
            if write!(stdout, "{text}").and_then(|()| stdout.flush()).is_err() {
                break;
            }
            tokio::select! {
                biased;
                () = signals.next() => break,
                () = tokio::time::sleep(self.every) => {}
            }
        }
        if redraw {
            // The shell goes on below it.
            println!();
        }
        Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// A page that takes the last one's place on the screen, and no more of it than there are rows: a screen that scrolls cannot
/// be drawn over.
fn frame(text: &str, rows: u16) -> String {
    let room = usize::from(rows.max(2)) - 1;
    let shown = match text.lines().count() {
        count if count <= room => text.to_owned(),
        count => {
            let first: String = text.lines().take(room - 1).map(|line| format!("{line}\n")).collect();
            format!("{first}… and {} more lines: make the terminal taller", count - room + 1)
        }
    };
    let lines: Vec<_> = shown.lines().map(|line| format!("{line}{CLEAR_LINE}")).collect();
    format!("{HOME}{}{CLEAR_REST}", lines.join("\n"))
}

fn is_ready(status: &Value) -> bool {
    status["ready"]["ok"] == true
}

/// The terminal's columns and rows.
fn size() -> (u16, u16) {
    let known = rustix::termios::tcgetwinsize(std::io::stdout()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    known.map_or((WIDTH, HEIGHT), |size| (size.ws_col, size.ws_row))
}

/// The status in words and tables, no wider than the terminal.
fn page(status: &Value, now: UnixMs, width: u16) -> String {
    let mut page = String::new();
    let mut say = |line: String| writeln!(page, "{line}").expect("a String takes whatever is written");
    say(if is_ready(status) { "ready" } else { "not ready" }.into());
    for reason in list(&status["ready"]["reasons"]) {
        say(format!("  {}", text(reason)));
    }
    for pause in list(&status["paused"]) {
        let until = pause["until"]
            .as_u64()
            .map_or_else(|| "until it is resumed".into(), |at| format!("until {} UTC", time(UnixMs(at))));
        say(format!("  paused: {}, by {}, {until}", text(&pause["target"]), text(&pause["by"])));
    }
    say(format!("\n{}", fit(queues(status), width)));
    if list(&status["lines"]).next().is_some() {
        say(format!("\n{}", fit(lines(status), width)));
    }
    let busy = list(&status["permits"]).filter(|permit| permit["busy"] != 0);
    let busy: Vec<_> =
        busy.map(|permit| format!("{} {} of {}", text(&permit["name"]), permit["busy"], permit["limit"])).collect();
    if !busy.is_empty() {
        say(format!("\npermits busy: {}", busy.join(", ")));
    }
    for breaker in list(&status["breakers"]).filter(|breaker| breaker["open"] == true) {
        let [dependency, plugin, probe] = ["dependency", "plugin", "probe_in_ms"].map(|key| text(&breaker[key]));
        say(format!("\nbreaker open: {dependency} for {plugin}, next probe in {probe} ms"));
    }
    if list(&status["failures"]).next().is_some() {
        say(format!("\n{}", fit(failures(status, now), width)));
    }
    page
}

fn fit(mut table: comfy_table::Table, width: u16) -> comfy_table::Table {
    table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic).set_width(width);
    table
}

fn queues(status: &Value) -> comfy_table::Table {
    let mut queues = table(&["queue", "visible", "in flight", "delayed", "lag", "in hand", "dead letters"]);
    for queue in list(&status["queues"]) {
        let lag = queue["lag_s"].as_f64().map_or_else(|| "?".into(), |s| format!("{s:.1} s"));
        let [name, visible, in_flight, delayed, in_hand, dead_letters] =
            ["name", "visible", "in_flight", "delayed", "in_hand", "dead_letters"].map(|name| text(&queue[name]));
        queues.add_row([name, visible, in_flight, delayed, lag, in_hand, dead_letters]);
    }
    queues
}

fn lines(status: &Value) -> comfy_table::Table {
    let mut lines = table(&["type", "plugin", "done", "retried", "dup", "dead", "run ms p50/p99", "in all ms p50/p99"]);
    for line in list(&status["lines"]) {
        let exits = |class: &str| line["exits"][class].as_u64().unwrap_or(0);
        let pair = |name: &str| {
            let ms = |q: &str| milliseconds(line[format!("{name}_{q}_ms")].as_f64().unwrap_or(0.0));
            format!("{}/{}", ms("p50"), ms("p99"))
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

fn failures(status: &Value, now: UnixMs) -> comfy_table::Table {
    let mut failures = table(&["failed", "type", "plugin", "exit", "reason"]);
    for failure in list(&status["failures"]).take(FAILURES) {
        let ago_s = now.0.saturating_sub(failure["at"].as_u64().unwrap_or(now.0)) / 1_000;
        let ago = humantime_serde::re::humantime::format_duration(Duration::from_secs(ago_s));
        let [kind, plugin, class, reason] = ["type", "plugin", "class", "reason"].map(|name| text(&failure[name]));
        failures.add_row([format!("{ago} ago"), kind, plugin, class, cut(&reason, REASON_CHARS)]);
    }
    failures
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fits_eighty_columns_and_says_what_is_paused_and_what_failed() {
        let status = serde_json::json!({
            "ready": { "ok": true, "reasons": [] },
            "paused": [{ "target": "type:order_completed", "by": "ada@laptop", "at": 0, "until": 60_000 }],
            "queues": [{ "name": "orders", "visible": 12_345, "in_flight": 64, "delayed": 0, "in_hand": 64, "dead_letters": 7, "lag_s": 1.25 }],
            "lines": [{ "type": "order_completed_and_some_more", "plugin": "send-receipt-by-mail", "exits": { "done": 123_456 }, "delayed": 4,
                "duplicates": 0, "dead_lettered": 7, "run_p50_ms": 12.5, "run_p99_ms": 250.0 }],
            "permits": [{ "name": "host", "busy": 3, "limit": 512 }, { "name": "pool:smtp", "busy": 0, "limit": 4 }],
            "breakers": [{ "plugin": "mail", "dependency": "api.mail.example", "open": true, "probe_in_ms": 700 }],
            "failures": [{ "at": 1_000, "type": "t", "plugin": "p", "class": "retry", "reason": "a long reason ".repeat(20) }],
        });
        let page = page(&status, UnixMs(6_000), 80);
        for words in [
            "ready",
            "paused: type:order_completed, by ada@laptop, until 1970-01-01 00:01:00 UTC",
            "permits busy: host 3 of 512\n",
            "breaker open: api.mail.example for mail, next probe in 700 ms",
            "1.2 s",
            "5s ago",
        ] {
            assert!(page.contains(words), "{words}: {page}");
        }
        let widest = page.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 80, "{widest}:\n{page}");
        assert_eq!(frame("a\nb\n", 24), "\x1b[Ha\x1b[K\nb\x1b[K\x1b[J");
        assert_eq!(
            frame("a\nb\nc\nd\n", 4),
            "\x1b[Ha\x1b[K\nb\x1b[K\n… and 2 more lines: make the terminal taller\x1b[K\x1b[J"
        );
    }
}
