//! What a replay's user is told: on the way, and at the end.

use std::io::IsTerminal;
use std::process::ExitCode;

use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::target::Opened;
use super::view::short;
use crate::dlq::plan::{Event, Plan, ReplayEnd, Summary};
use crate::dlq::watch::WATCHED_MAX;

/// Where there is no terminal, a line is printed for so many letters.
const LINE_EVERY: u64 = 100;

/// Prints the last lines, and gives the exit code.
pub fn report(opened: &Opened, summary: &Summary, left: u64, plan: &Plan, json: bool) -> ExitCode {
    let Summary { replayed, messages, failed_again, kept, ended } = summary;
    let (word, why) = explained(summary, opened.dlq.name(), plan);
    if json {
        let result = json!({
            "replayed": replayed, "messages": messages, "failed_again": failed_again, "not_sent": kept, "left": left, "ended": word,
            "why": if why.is_empty() { Value::Null } else { json!(why) },
        });
        println!("{result:#}");
    } else {
        if !why.is_empty() {
            eprintln!("{why}");
        }
        let as_messages = if messages == replayed { String::new() } else { format!(" as {messages} messages") };
        println!("{replayed} replayed{as_messages}, {failed_again} failed again, {left} left");
    }
    match ended {
        ReplayEnd::Through | ReplayEnd::Limit if *kept == 0 => ExitCode::SUCCESS,
        ReplayEnd::Through
        | ReplayEnd::Limit
        | ReplayEnd::Stopped
        | ReplayEnd::Failures
        | ReplayEnd::CanaryTimeout { .. }
        | ReplayEnd::Unsendable
        | ReplayEnd::Full
        | ReplayEnd::Broken(_) => ExitCode::FAILURE,
    }
}

/// A word for how it ended, and what there is to say of it.
fn explained(summary: &Summary, dlq: &str, plan: &Plan) -> (&'static str, String) {
    let Summary { messages, failed_again, kept, ended, .. } = summary;
    match ended {
        ReplayEnd::Through if *kept > 0 => ("through", format!("{kept} letters were not sent, and stay in {dlq}")),
        ReplayEnd::Through => ("through", String::new()),
        ReplayEnd::Limit => ("limit", String::new()),
        ReplayEnd::Stopped => (
            "stopped",
            "stopped; what was in hand is back in the DLQ. The same command goes on: what was replayed is gone from there"
                .into(),
        ),
        ReplayEnd::Failures => (
            "failures",
            format!(
                "stopped: {failed_again} of {messages} replayed messages have failed again, more than --max-failures {} \
                 allows. `wasq dlq groups` says why they fail; the same command goes on with the others",
                plan.failures_max
            ),
        ),
        ReplayEnd::CanaryTimeout { waiting } => {
            let timeout = plan.canary.map(|canary| canary.timeout).unwrap_or_default();
            let text = format!(
                "stopped: the canary has not settled within {}: {waiting} messages are in the queues it went to, and \
                 {failed_again} of its {messages} have failed again. Give it a longer --timeout; if others keep the \
                 queue busy, go on without --canary and with a low --rate",
                humantime_serde::re::humantime::format_duration(timeout)
            );
            ("canary-timeout", text)
        }
        ReplayEnd::Unsendable => (
            "unsendable",
            format!("stopped: one letter after the other cannot be sent ({kept} in all); they stay in {dlq}. Fix that first"),
        ),
        ReplayEnd::Full => {
            let text = format!(
                "stopped: the limit of {WATCHED_MAX} replayed messages for one run is reached; run the same command to \
                 continue"
            );
            ("full", text)
        }
        ReplayEnd::Broken(error) => ("broken", format!("stopped: {dlq} cannot be read: {error}")),
    }
}

/// What is seen on the way.
pub struct Progress {
    pub bar: ProgressBar,
    lines: bool,
    replayed: u64,
}

impl Progress {
    /// Draws on this bar, or without a terminal in lines, if there are many letters.
    pub fn new(bar: ProgressBar, lines: bool) -> Self {
        Self { bar, lines: lines && !std::io::stderr().is_terminal(), replayed: 0 }
    }

    pub fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Replayed { .. } => {
                self.replayed += 1;
                self.bar.inc(1);
                if self.lines && self.replayed.is_multiple_of(LINE_EVERY) {
                    eprintln!("{} replayed", self.replayed);
                }
            }
            Event::Kept { view, why } => self.say(&format!("{} was not sent: {why}", short(view.id()))),
            Event::Twin { id, why } => self.say(&format!(
                "{} was sent and could not be deleted ({why}); replayed once more it is a twin with the same key",
                short(id)
            )),
            Event::CanarySent { messages, timeout } => {
                let timeout = humantime_serde::re::humantime::format_duration(timeout);
                self.say(&format!("canary: {messages} sent; waiting up to {timeout} until they are settled"));
            }
            Event::CanarySettled { failed, messages } => {
                self.say(&format!("canary: {failed} of {messages} failed again; going on"));
            }
        }
    }

    fn say(&self, line: &str) {
        // A bar without a terminal prints nothing itself.
        self.bar.suspend(|| eprintln!("{line}"));
    }
}
