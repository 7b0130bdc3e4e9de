//! `wasq run`: the host, in production.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use crate::config::{Config, LogFormat};
use crate::host::Host;

/// Run a host with the given config file.
///
/// The config names the queues and the plugin directory; AWS's region and credentials come from the
/// SDK's own chain. SIGTERM drains, and so do SIGINT and SIGHUP: receiving stops, what runs may
/// finish for `drain_s` (20), the rest is put back uncounted. A second signal skips the drain.
///
/// The smallest config:
///
///   plugins_dir = "plugins"
///
///   [queues.orders]
///   dlq = "orders-dlq"
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Run {
    /// The config file.
    #[arg(long, env = "WASQ_CONFIG", default_value = "wasq.toml", value_name = "FILE")]
    config: PathBuf,
}

impl Run {
    /// What the config says of logs. A config that cannot be read says nothing yet: the run itself will tell why.
    pub fn log_format(&self) -> Option<LogFormat> {
        Config::load(&self.config).ok()?.telemetry.log_format
    }

    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let mut config = Config::load(&self.config)?;
        config.compiler = Some(super::process::own_binary()?);
        let mut signals = super::process::Signals::listen().context("cannot listen for signals")?;
        let host = tokio::select! {
            biased;
            host = Host::start(config) => host.context("the host does not start")?,
            // Nothing was begun that had to be finished.
            () = signals.next() => return Ok(ExitCode::SUCCESS),
        };
        let ingress = host.ingress_addr().map(tracing::field::display);
        tracing::info!(admin = %host.admin_addr(), ingress, "running");
        signals.next().await;
        tracing::info!("stopping: what runs may finish; a second signal interrupts it");
        host.shutdown(signals.next()).await;
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    }
}
