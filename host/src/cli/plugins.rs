//! `wasq plugins`: what is loaded, and what could not be.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde::Deserialize;

use super::http::Admin;
use super::table::{Table, list, name, number, whole};
use crate::admin::{CanaryStatus, PluginStatus};

/// List a running host's plugins: types, version, limits, what they may do, and what could not be
/// loaded.
#[derive(Args)]
pub struct Plugins {
    #[command(flatten)]
    admin: Admin,
    /// Shows what each may do: where it may call, what it may send to, the secrets in its requests,
    /// where they are signed for AWS, its variables and pools.
    #[arg(long)]
    grants: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Answer {
    plugins: Vec<PluginStatus>,
    failures: Vec<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    path: String,
    reason: String,
    still_serving: Option<String>,
}

impl Plugins {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let value: serde_json::Value = self.admin.get("/plugins").await?.context("the host does not know /plugins")?;
        if self.json {
            println!("{value:#}");
            return Ok(ExitCode::SUCCESS);
        }
        let answer: Answer =
            serde_json::from_value(value).context("cannot parse the host's response; is it the same wasq version?")?;
        println!("{}", if self.grants { grants(&answer.plugins) } else { limits(&answer.plugins) });
        for (plugin, canary) in answer.plugins.iter().filter_map(|plugin| Some((plugin, plugin.canary.as_ref()?))) {
            println!("\n{}", on_trial(&plugin.name, canary));
        }
        for failure in &answer.failures {
            println!("\nnot loaded: {}: {}", failure.path, failure.reason);
            if let Some(digest) = &failure.still_serving {
                println!("  the earlier version {} goes on serving", &digest[..digest.len().min(12)]);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn on_trial(name: &str, canary: &CanaryStatus) -> String {
    let CanaryStatus { digest, share, elapsed_s, runs, failures, stable_runs, stable_failures } = canary;
    format!(
        "on trial: {name} {} for {share} of its messages since {elapsed_s} s: {failures} of {runs} runs failed\n  \
         the serving version meanwhile: {stable_failures} of {stable_runs}",
        &digest[..digest.len().min(12)]
    )
}

fn limits(plugins: &[PluginStatus]) -> Table {
    let mut rows = Table::new([
        name("plugin"),
        list("types"),
        whole("version"),
        number("timeout"),
        number("memory"),
        number("busy"),
        name("from"),
    ]);
    for plugin in plugins {
        rows.add([
            plugin.name.clone(),
            plugin.types.join(", "),
            plugin.digest.chars().take(12).collect(),
            format!("{} ms", plugin.timeout_ms),
            format!("{} MiB", plugin.memory_bytes >> 20),
            format!("{}/{}", plugin.busy, plugin.max_concurrency),
            plugin.path.clone(),
        ]);
    }
    rows
}

fn grants(plugins: &[PluginStatus]) -> Table {
    let lists = ["may call", "may send to", "secrets", "signed for AWS", "variables", "pools"].map(list);
    let mut rows = Table::new([name("plugin")].into_iter().chain(lists));
    let all = |list: &[String]| if list.is_empty() { "-".to_owned() } else { list.join(", ") };
    for plugin in plugins {
        let PluginStatus { name, allowed_outbound_hosts, queues, secrets, signed, .. } = plugin;
        let PluginStatus { variables, pools, .. } = plugin;
        let lists = [allowed_outbound_hosts, queues, secrets, signed, variables, pools];
        let lists = lists.map(|list| all(list));
        rows.add([name.clone()].into_iter().chain(lists));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_told_with_both_versions_failures() {
        let canary = CanaryStatus {
            digest: "0123456789abcdef".into(),
            share: "10%".into(),
            elapsed_s: 90,
            runs: 20,
            failures: 3,
            stable_runs: 180,
            stable_failures: 1,
        };
        let expect = "on trial: ship 0123456789ab for 10% of its messages since 90 s: 3 of 20 runs failed\n  \
                      the serving version meanwhile: 1 of 180";
        assert_eq!(on_trial("ship", &canary), expect);
    }
}
