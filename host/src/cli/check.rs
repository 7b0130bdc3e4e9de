//! `wasq check`: everything that can be wrong before the host runs, said at once.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::config::Config;
use crate::plugins::{Catalogs, Loader};
use crate::queue::Queue;
use crate::queue::sqs::Sqs;
use crate::queues;
use crate::sandbox::Sandbox;
use crate::sandbox::egress::Fetcher;

/// Check the config, every plugin with its manifest and grants, and with --live the queues.
///
/// Prints a line for each thing checked, and every problem with its place and the way out. Exits with 1 if there is any.
#[derive(Args)]
pub struct Check {
    /// The config file.
    #[arg(long, env = "WASQ_CONFIG", default_value = "wasq.toml", value_name = "FILE")]
    config: PathBuf,
    /// Also ask SQS for each queue, its DLQ and its redrive policy, and AWS for the secrets that are there.
    #[arg(long)]
    live: bool,
}

impl Check {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let mut config = Config::load(&self.config)?;
        config.compiler = Some(super::own_binary()?);
        let config = Arc::new(config);
        println!("ok       {}", self.config.display());
        let mut problems = 0;
        let mut problem = |text: String| {
            println!("problem  {text}");
            problems += 1;
        };

        let sandbox = Sandbox::new(&config.limits).map_err(|error| anyhow::anyhow!("{error:#}"))?;
        let loader = Loader::new(sandbox, config.clone())?;
        let secrets = loader.secrets();
        let catalogs = Catalogs::new(loader, None);
        let mut attempts = crate::plugins::manifest::Retry::default().max_attempts;
        match catalogs.reload(&config.plugins_dir) {
            Err(error) => problem(format!("plugins_dir {}: {error}", config.plugins_dir.display())),
            Ok(catalog) => {
                for plugin in catalog.plugins() {
                    let kinds: Vec<_> = plugin.manifest.types.iter().map(|kind| kind.0.as_str()).collect();
                    println!(
                        "ok       {}: {} handles {}",
                        plugin.path.display(),
                        plugin.manifest.name,
                        kinds.join(", ")
                    );
                }
                for plugin in catalog.plugins() {
                    for queue in plugin.policy.grants.queues.iter().filter(|queue| !config.is_sent_to(queue)) {
                        let name = &plugin.manifest.name;
                        problem(format!(
                            "{name} is granted the queue `{queue}`, which is not in the config; add [queues.{queue}], or \
                             [outlets.{queue}] if it is only sent to"
                        ));
                    }
                }
                for failure in catalog.failures() {
                    problem(format!("{}: {}", failure.path.display(), failure.reason));
                }
                for name in config.plugins.keys() {
                    if !catalog.plugins().any(|plugin| plugin.manifest.name == *name) {
                        problem(format!("[plugins.{name}]: no plugin of that name is loaded"));
                    }
                }
                if catalog.plugins().next().is_none() {
                    problem(format!("plugins_dir {}: no plugin in it", config.plugins_dir.display()));
                }
                attempts = catalog.most_attempts();
            }
        }
        if self.live {
            Fetcher::start(secrets.clone(), &config.aws, config.egress.secrets_refresh).await;
            secrets.missing().into_iter().for_each(&mut problem);
            let sqs = Sqs::connect(&config.aws).await;
            let mut open = Vec::new();
            for (name, queue_config) in &config.queues {
                match queues::open_queue(&sqs, name, queue_config, attempts).await {
                    Ok(queue) => {
                        println!("ok       {} with the DLQ {}", queue.queue.name(), queue.dlq.name());
                        queue.warnings.iter().for_each(|warning| println!("warning  queue `{name}`: {warning}"));
                        open.push(queue);
                    }
                    Err(error) => problem(error.to_string()),
                }
            }
            for (name, outlet) in &config.outlets {
                match queues::open_outlet(&sqs, name, outlet).await {
                    Ok(outlet) => println!("ok       {}, only sent to", outlet.queue.name()),
                    Err(error) => problem(error.to_string()),
                }
            }
            if let Err(error) = queues::check_rings(&open) {
                problem(error.to_string());
            }
        }
        Ok(if problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
