//! `wasq check`: everything that can be wrong before the host runs, said at once.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use wasq_core::message::MessageType;
use wasq_ledgers::{Ledger, LedgerError, OpenError, local};

use super::table::{Table, list, name};
use crate::config::{Config, QueueConfig};
use crate::host::{Opened, StartError, kept_versions};
use crate::plugins::demands::Demands;
use crate::plugins::{Catalog, Catalogs, Loader};
use crate::sandbox::Sandbox;

/// Check the config, every plugin with its manifest and grants, and with --live all that a run
/// opens.
///
/// Prints a line for each thing checked, and every problem with its place and the way out; what one
/// setting grants and another takes back is one. Plugins of `[oci]` are pulled, unless they are
/// there already. Exits with 1 if there is any. Host names that a
/// plugin may call are not looked up: whether their addresses may be reached is found out when a
/// handler calls them.
#[derive(Args)]
pub struct Check {
    /// The config file.
    #[arg(long, env = "WASQ_CONFIG", default_value = "wasq.toml", value_name = "FILE")]
    config: PathBuf,
    /// Also open what a run opens: the ledger, each queue with its DLQ and its redrive policy, the
    /// secrets that are with AWS, the admin port's token; and get the credentials that handlers'
    /// requests are signed with. It fails where `wasq run` with `strict_start` would.
    #[arg(long)]
    live: bool,
}

impl Check {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let mut config = Config::load(&self.config)?;
        config.compiler = Some(super::process::own_binary()?);
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
        let catalogs = Catalogs::new(loader.clone(), None);
        if let Err(error) = crate::ingress::check(&config.ingress) {
            problem(error.to_string());
        }
        let mut demands = Demands::default();
        catalogs.pulled().refresh().await;
        match catalogs.reload(&config.plugins_dir) {
            Err(error) => problem(format!("plugins_dir {}: {error}", config.plugins_dir.display())),
            Ok(catalog) => {
                for plugin in catalog.plugins() {
                    let kinds: Vec<_> = plugin.manifest.types.iter().map(ToString::to_string).collect();
                    println!("ok       {}: {} handles {}", plugin.origin, plugin.manifest.name, kinds.join(", "));
                    for conflict in plugin.conflicts.iter() {
                        problem(format!("{}: {conflict}", plugin.origin));
                    }
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
                for (name, queue) in &config.queues {
                    unhandled(name, queue, &catalog).into_iter().for_each(&mut problem);
                }
                unused_limits(&config, &catalog).iter().for_each(|warning| println!("warning  {warning}"));
                for (name, schedule) in &config.schedules {
                    let is_handled = !catalog.route(&MessageType(schedule.kind.clone())).is_empty();
                    // Another service handles what goes to an outlet.
                    if config.queues.contains_key(&schedule.queue) && !is_handled {
                        problem(format!("schedules.{name}.type is `{}`, which no plugin handles", schedule.kind));
                    }
                }
                if catalog.plugins().next().is_none() {
                    let registries = if config.oci.plugins.is_empty() { "" } else { ", and none in [oci] plugins" };
                    problem(format!("plugins_dir {}: no plugin in it{registries}", config.plugins_dir.display()));
                }
                demands = catalog.demands();
                println!("\n{}", types(&catalog));
            }
        }
        if self.live {
            match wasq_ledgers::open(&config.ledger, &config.aws).await {
                Ok(ledger) => match timers_error(&*ledger, &config.scope).await {
                    None => println!("ok       the ledger"),
                    Some(error) => problem(format!("the ledger's timers, which delays and schedules need: {error}")),
                },
                // By the host beside which this is run, most likely.
                Err(OpenError::Local(local::OpenError::InUse { .. })) => println!("ok       the ledger: it is in use"),
                Err(error) => problem(super::process::in_words(&StartError::Ledger(error).into())),
            }
            if let Err(error) = kept_versions(&config) {
                problem(error.to_string());
            }
            match Opened::open(&config, secrets.clone(), demands).await {
                Ok(opened) => {
                    for queue in opened.queues.queues {
                        println!("ok       {} with the DLQ {}", queue.queue.name(), queue.dlq.name());
                        queue
                            .warnings
                            .iter()
                            .for_each(|warning| println!("warning  queue `{}`: {warning}", queue.name));
                    }
                    for outlet in opened.queues.outlets {
                        println!("ok       {}, only sent to", outlet.queue.name());
                    }
                    for unopened in opened.queues.unopened {
                        problem(super::process::in_words(&unopened.error.into()));
                    }
                }
                Err(errors) => errors.into_iter().for_each(|error| problem(super::process::in_words(&error.into()))),
            }
            secrets.missing().into_iter().for_each(&mut problem);
            loader.missing_identities().await.into_iter().for_each(&mut problem);
        }
        Ok(if problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// What speaks against reading the ledger's timers, such as a right that is missing.
async fn timers_error(ledger: &dyn Ledger, scope: &str) -> Option<LedgerError> {
    ledger.timers(scope)?.counts().await.err()
}

/// Types that a queue's config names and no plugin handles.
fn unhandled(name: &str, queue: &QueueConfig, catalog: &Catalog) -> Vec<String> {
    let default = queue.default_type.iter().map(|kind| ("default_type".to_owned(), kind));
    let named = queue.type_map.iter().map(|(found, kind)| (format!("type_map.\"{found}\""), kind));
    let named = default.chain(named).filter(|(_, kind)| catalog.route(&MessageType((*kind).clone())).is_empty());
    let mut problems: Vec<_> =
        named.map(|(key, kind)| format!("queues.{name}.{key} is `{kind}`, which no plugin handles")).collect();
    if let Some(prefix) = &queue.type_prefix
        && !catalog.table().keys().any(|pattern| begin_alike(pattern, prefix))
    {
        problems.push(format!("queues.{name}.type_prefix is `{prefix}`, and no plugin handles a type that begins so"));
    }
    problems
}

/// Rates, pools and priorities that change nothing.
fn unused_limits(config: &Config, catalog: &Catalog) -> Vec<String> {
    let manifests = || catalog.plugins().map(|plugin| &plugin.manifest);
    let rates =
        config.rates.keys().filter(|name| !manifests().any(|of| of.rates.iter().any(|used| used.rate == **name)));
    let rates =
        rates.map(|name| format!("[rates.{name}]: no plugin keeps to it; name it in a manifest: rates = [\"{name}\"]"));
    let pools = config.pools.keys().filter(|name| !manifests().any(|of| of.pools.contains(name)));
    let pools = pools.map(|name| {
        format!("pools.{name}: no plugin takes permits of it; name it in a manifest: pools = [\"{name}\"]")
    });
    let first = config.queues.values().next().map_or(0, |queue| queue.priority);
    let alike = (first > 0 && config.queues.values().all(|queue| queue.priority == first))
        .then(|| format!("queues: all have the priority {first}, so none goes first; lower that of some"));
    let only = config.queues.iter().find(|(_, queue)| queue.min_share.is_some() && config.queues.len() == 1);
    let only = only.map(|(name, _)| {
        format!("queues.{name}.min_share: there is no other queue that could take its permits; take it away")
    });
    let one_turn = config.queues.iter().filter(|(_, queue)| queue.fair_by.is_some() && queue.concurrency.max() == 1);
    let single = one_turn.map(|(name, _)| {
        format!("queues.{name}.fair_by: with concurrency = 1 a newcomer waits for the one run; raise it to 4 or more")
    });
    rates.chain(pools).chain(alike).chain(only).chain(single).collect()
}

/// Whether a type that begins with the prefix may match the pattern.
fn begin_alike(pattern: &str, prefix: &str) -> bool {
    pattern.starts_with(prefix) || pattern.strip_suffix('*').is_some_and(|rest| prefix.starts_with(rest))
}

/// Which plugins get which types: of the patterns that match a type, the longest.
fn types(catalog: &Catalog) -> Table {
    let mut rows = Table::new([name("type"), list("plugins")]);
    for (pattern, serving) in catalog.table() {
        let plugins: Vec<_> = serving.iter().map(|one| one.stable.manifest.name.as_str()).collect();
        rows.add([pattern, plugins.join(", ")]);
    }
    rows
}
