//! `wasq top`: which types and keys use a running host.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::dlq::duration;
use super::http::Admin;
use super::screen::{Screen, unanswered};
use super::table::{self, Table, name, number};
use crate::admin::{LineUsage, PluginKey, Top as Answer};
use crate::telemetry::top_keys::By;

/// Show which types of a running host compute, which wait, and which call out.
///
/// For each type and plugin what its handlers used since the last look, the most first. The line
/// `(the host itself)` is what is left of the process: receiving, the ledger, settling. Where a
/// manifest has a `cost_key`, its keys follow that used the most.
///
/// In an interval of the last look to this one: `cpu` in percent of one core; `runs`, bytes and
/// calls a second; the times of one run are means.
#[derive(Args)]
pub struct Top {
    #[command(flatten)]
    admin: Admin,
    /// What comes first: who computes the most, who waited the longest from sending to start, or
    /// who sent and received the most.
    #[arg(long, value_enum, default_value_t)]
    by: By,
    /// Refresh interval.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "2s")]
    every: Duration,
    /// Shows one interval, and ends.
    #[arg(long)]
    once: bool,
    /// How many keys are shown.
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    keys: usize,
    /// Prints JSON, a line an interval.
    #[arg(long)]
    json: bool,
}

/// What was used in a time.
#[derive(Debug, Serialize)]
struct Used {
    elapsed_s: f64,
    /// Of the whole process.
    cpu_s: f64,
    /// What is left of it when the handlers' is taken away.
    host_cpu_s: f64,
    lines: Vec<LineUsage>,
    keys: Vec<PluginKey>,
}

impl Top {
    /// A host that does not answer later on is waited for: it may be on its way up again.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let mut before = self.ask().await?;
        let mut screen = Screen::open(self.json)?;
        while screen.wait(self.every).await {
            let text = match self.ask().await {
                Ok(now) => {
                    let used = Used::between(&before, &now, self.by, self.keys);
                    before = now;
                    if self.json { format!("{}\n", serde_json::to_string(&used)?) } else { used.page(table::columns()) }
                }
                Err(error) if self.once => return Err(error),
                Err(error) => unanswered(&error, self.json),
            };
            if !screen.show(&text) || self.once {
                break;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn ask(&self) -> anyhow::Result<Answer> {
        let by = match self.by {
            By::Cpu => "cpu",
            By::Wait => "wait",
            By::Egress => "egress",
        };
        let answer = self.admin.get(&format!("/top?by={by}")).await?;
        answer.context("the host does not know /top; is it the same wasq version?")
    }
}

/// Numbers that only grow, which can be told from what they were.
trait Grows: Clone {
    /// What was added; all of it, where they have begun anew.
    fn since(&self, before: Option<&Self>) -> Self;
    fn weight(&self, by: By) -> f64;
    fn is_idle(&self) -> bool;
}

impl Grows for LineUsage {
    fn since(&self, before: Option<&Self>) -> Self {
        let Some(before) = before.filter(|before| before.runs <= self.runs && before.cpu_s <= self.cpu_s) else {
            return self.clone();
        };
        let calls = self.calls.iter().map(|(call, count)| {
            let earlier = before.calls.get(call).copied().unwrap_or_default();
            (call.clone(), count.saturating_sub(earlier))
        });
        Self {
            kind: self.kind.clone(),
            plugin: self.plugin.clone(),
            runs: self.runs - before.runs,
            cpu_s: self.cpu_s - before.cpu_s,
            wait_s: self.wait_s - before.wait_s,
            run_s: self.run_s - before.run_s,
            sent_bytes: self.sent_bytes.saturating_sub(before.sent_bytes),
            received_bytes: self.received_bytes.saturating_sub(before.received_bytes),
            calls: calls.collect(),
        }
    }

    fn weight(&self, by: By) -> f64 {
        match by {
            By::Cpu => self.cpu_s,
            By::Wait => self.wait_s,
            By::Egress => (self.sent_bytes + self.received_bytes) as f64,
        }
    }

    fn is_idle(&self) -> bool {
        self.runs == 0 && self.cpu_s == 0.0 && self.sent_bytes + self.received_bytes == 0
    }
}

impl Grows for PluginKey {
    fn since(&self, before: Option<&Self>) -> Self {
        let mut since = self.clone();
        // A key that left the ranking and came back has begun anew.
        if let Some(before) = before.filter(|before| before.usage.entered == self.usage.entered) {
            let (now, before) = (&mut since.usage, &before.usage);
            now.runs = now.runs.saturating_sub(before.runs);
            now.cpu_s -= before.cpu_s;
            now.wait_s -= before.wait_s;
            now.run_s -= before.run_s;
            now.sent_bytes = now.sent_bytes.saturating_sub(before.sent_bytes);
            now.received_bytes = now.received_bytes.saturating_sub(before.received_bytes);
        }
        since
    }

    fn weight(&self, by: By) -> f64 {
        match by {
            By::Cpu => self.usage.cpu_s,
            By::Wait => self.usage.wait_s,
            By::Egress => (self.usage.sent_bytes + self.usage.received_bytes) as f64,
        }
    }

    fn is_idle(&self) -> bool {
        self.usage.runs == 0
    }
}

/// What was added to each, the most first, without those that did nothing.
fn between<T: Grows, K: std::hash::Hash + Eq>(before: &[T], now: &[T], key: impl Fn(&T) -> K, by: By) -> Vec<T> {
    let before: HashMap<K, &T> = before.iter().map(|one| (key(one), one)).collect();
    let grown = now.iter().map(|one| one.since(before.get(&key(one)).copied()));
    let mut grown: Vec<_> = grown.filter(|one| !one.is_idle()).collect();
    grown.sort_by(|a, b| b.weight(by).total_cmp(&a.weight(by)));
    grown
}

impl Used {
    /// Another process than before has begun anew.
    fn between(before: &Answer, now: &Answer, by: By, keys_max: usize) -> Self {
        let is_other = now.process_cpu_s < before.process_cpu_s;
        let (earlier, cpu_s) = match is_other {
            true => (&Answer { lines: Vec::new(), keys: Vec::new(), ..now.clone() }, now.process_cpu_s),
            false => (before, now.process_cpu_s - before.process_cpu_s),
        };
        let lines = between(&earlier.lines, &now.lines, |line| (line.kind.clone(), line.plugin.clone()), by);
        let mut keys = between(&earlier.keys, &now.keys, |key| (key.plugin.clone(), key.usage.key.clone()), by);
        keys.truncate(keys_max);
        let host_cpu_s = (cpu_s - lines.iter().map(|line| line.cpu_s).sum::<f64>()).max(0.0);
        let elapsed_s = now.at.0.saturating_sub(before.at.0) as f64 / 1_000.0;
        Self { elapsed_s, cpu_s, host_cpu_s, lines, keys }
    }

    /// In words and tables, no wider than the terminal.
    fn page(&self, width: usize) -> String {
        let numbers = ["cpu %", "runs/s", "cpu/run", "time/run", "wait/run", "sent/s", "received/s"].map(number);
        let a_second = |value: f64| if self.elapsed_s > 0.0 { value / self.elapsed_s } else { 0.0 };
        let percent = |cpu_s: f64| format!("{:.1}", a_second(cpu_s) * 100.0);
        let cells = |runs: u64, times: [f64; 3], bytes: [u64; 2]| {
            let [cpu, run, wait] = times.map(|time_s| if runs == 0 { "-".into() } else { time(time_s / runs as f64) });
            let [sent, received] = bytes.map(|bytes| size(a_second(bytes as f64)));
            [percent(times[0]), format!("{:.1}", a_second(runs as f64)), cpu, run, wait, sent, received]
        };
        let mut types = Table::new([name("type"), name("plugin")].into_iter().chain(numbers).chain([number("http/s")]));
        for line in &self.lines {
            let used = cells(line.runs, [line.cpu_s, line.run_s, line.wait_s], [line.sent_bytes, line.received_bytes]);
            let http = line.calls.get("http").copied().unwrap_or_default();
            let http = format!("{:.1}", a_second(http as f64));
            types.add([line.kind.clone(), line.plugin.clone()].into_iter().chain(used).chain([http]));
        }
        for (what, cpu_s) in [("(the host itself)", self.host_cpu_s), ("(all)", self.cpu_s)] {
            let names = [what.to_owned(), String::new(), percent(cpu_s)];
            types.add(names.into_iter().chain(std::iter::repeat_n(String::new(), 7)));
        }
        let mut page = format!("in {:.1} s\n\n{}\n", self.elapsed_s, types.render(width));
        if !self.keys.is_empty() {
            let mut keys = Table::new([name("key"), name("plugin")].into_iter().chain(numbers));
            for PluginKey { plugin, usage } in &self.keys {
                let times = [usage.cpu_s, usage.run_s, usage.wait_s];
                let used = cells(usage.runs, times, [usage.sent_bytes, usage.received_bytes]);
                keys.add([usage.key.clone(), plugin.clone()].into_iter().chain(used));
            }
            page += &format!("\n{}\n", keys.render(width));
        }
        page
    }
}

/// `85 µs`, `1.2 ms`, `340 ms`, `12 s`.
fn time(s: f64) -> String {
    match s {
        s if s < 0.001 => format!("{:.0} µs", s * 1e6),
        s if s < 0.01 => format!("{:.1} ms", s * 1e3),
        s if s < 10.0 => format!("{:.0} ms", s * 1e3),
        s => format!("{s:.0} s"),
    }
}

/// `512 B`, `1.4 KiB`, `20.0 MiB`.
fn size(bytes: f64) -> String {
    let (mut value, mut unit) = (bytes, "B");
    for larger in ["KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    if unit == "B" { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests;
