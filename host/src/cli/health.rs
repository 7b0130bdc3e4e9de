//! `wasq health`: whether the host is alive, for whoever restarts it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::http::Admin;
use crate::config::Config;
use crate::telemetry::health::Verdict;

/// Ask the host on this machine whether it is alive, or with --ready whether it can work. Exits with 1 if not.
///
/// It asks the admin port that the config names. For a container:
///
///   HEALTHCHECK CMD ["wasq", "health"]
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Health {
    /// The config file; it names the admin port.
    #[arg(long, env = "WASQ_CONFIG", default_value = "wasq.toml", value_name = "FILE")]
    config: PathBuf,
    /// The host's admin address, in the config's place.
    #[arg(long, env = "WASQ_ADMIN", value_name = "HOST:PORT")]
    admin: Option<String>,
    /// Asks whether the host is ready: plugins loaded, queues and ledger answering.
    #[arg(long)]
    ready: bool,
    /// How long to wait for the answer.
    #[arg(long, default_value = "3s", value_parser = humantime_serde::re::humantime::parse_duration, value_name = "TIME")]
    timeout: Duration,
}

impl Health {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let admin = match self.admin {
            Some(admin) => admin,
            None => super::process::here(Config::load(&self.config)?.admin.listen).to_string(),
        };
        let (path, good) = if self.ready { ("/readyz", "ready") } else { ("/livez", "alive") };
        let asked = Admin { admin: admin.clone() };
        let answer = tokio::time::timeout(self.timeout, asked.get::<Verdict>(path)).await;
        let answer = answer
            .with_context(|| format!("the host at {admin} does not answer within {:?} (--timeout)", self.timeout))?;
        let verdict = answer?.with_context(|| format!("the host at {admin} does not know {path}"))?;
        println!("{}{good}", if verdict.ok { "" } else { "not " });
        for reason in verdict.reasons.iter().chain(&verdict.notes) {
            println!("  {reason}");
        }
        Ok(if verdict.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
