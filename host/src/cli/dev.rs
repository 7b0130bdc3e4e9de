//! `wasq dev`: build, local queue, host; watch and rebuild.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use notify::{RecursiveMode, Watcher};
use tokio::sync::Notify;
use wasq_local_sqs::{LocalSqs, Options};

use super::broker::BrokerServer;
use super::build::{self, OUT_DIR};
use super::target::{DEV_QUEUE, dlq_name};
use super::topology;
use crate::config::{ADMIN_PORT, Broker, Config, LOCAL_SQS_PORT, LedgerConfig, QueueConfig};
use crate::host::Host;

/// Changes within this long of each other are one.
const SETTLE: Duration = Duration::from_millis(150);

/// Build the handlers under a directory, run them on a local queue, and rebuild when a source
/// changes.
///
/// Everything is on this machine: an SQS-compatible queue at 9324 that any AWS client can send to,
/// its data under .wasq, and the host with its admin port at 9325. What the manifests ask for is
/// granted. With a wasq.toml in DIR its queues and settings are used; else there is one queue,
/// `jobs`, with the DLQ `jobs-dlq`. With `--broker` the queues are on a server of yours instead, by
/// the same names; what is missing there is made.
///
///   aws sqs send-message --endpoint-url http://127.0.0.1:9324 \
///     --queue-url http://127.0.0.1:9324/000000000000/jobs --message-body '{"name":"Ada"}' \
///     --message-attributes 'type={DataType=String,StringValue=greeting}'
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Dev {
    /// The directory with the handler projects.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The local queue's port.
    #[arg(long, default_value_t = LOCAL_SQS_PORT)]
    sqs_port: u16,
    /// The admin port.
    #[arg(long, default_value_t = ADMIN_PORT)]
    admin_port: u16,
    /// Take messages and callbacks by HTTP, too, on this port of this machine. Default: as
    /// wasq.toml has it, and not without one.
    #[arg(long, value_name = "PORT")]
    ingress_port: Option<u16>,
    #[command(flatten)]
    server: BrokerServer,
}

impl Dev {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let plugins_dir = self.dir.join(OUT_DIR);
        let data = self.dir.join(".wasq");
        eprintln!("building the handlers in {}", self.dir.display());
        build::build(&self.dir, &plugins_dir, true)?;

        let sqs = LocalSqs::start(Options::new(data.join("sqs")).port(self.sqs_port)).await?;
        let config = self.config(&sqs.endpoint_url(), &plugins_dir, &data)?;
        match self.server.broker() {
            Broker::Sqs => create_queues(&sqs, &config).await?,
            _ => topology::make(&config).await?,
        }
        let mut signals = super::process::Signals::listen().context("cannot listen for signals")?;
        let host = Arc::new(Host::start(config).await?);
        match self.server.broker() {
            Broker::Sqs => eprintln!("local queue {}   admin http://{}", sqs.endpoint_url(), host.admin_addr()),
            broker => eprintln!("queues on {broker}   admin http://{}", host.admin_addr()),
        }
        if let Some(ingress) = host.ingress_addr() {
            eprintln!("messages and callbacks by HTTP at {ingress}");
        }
        for plugin in host.services().catalogs.current().plugins() {
            let kinds: Vec<_> = plugin.manifest.types.iter().map(ToString::to_string).collect();
            eprintln!("  {} handles {}", plugin.manifest.name, kinds.join(", "));
        }
        let rebuild = tokio::spawn(watch(self.dir.clone(), plugins_dir, host.clone()));
        signals.next().await;
        rebuild.abort();
        if let Err(error) = rebuild.await
            && error.is_panic()
        {
            tracing::error!(%error, "the watcher panicked");
        }
        sqs.end_long_polls();
        if let Some(host) = Arc::into_inner(host) {
            host.shutdown(signals.next()).await;
        }
        sqs.shutdown().await;
        Ok(ExitCode::SUCCESS)
    }

    fn config(&self, endpoint_url: &str, plugins_dir: &Path, data: &Path) -> anyhow::Result<Config> {
        let file = self.dir.join("wasq.toml");
        let mut config = match file.exists() {
            true => Config::load(&file)?,
            false => {
                Config::parse(&format!("[queues.{DEV_QUEUE}]\ndlq = \"{DEV_QUEUE}-dlq\""), Path::new("(built in)"))?
            }
        };
        config.grant_all = true;
        // What was just built is nobody's release.
        config.plugins_signed_by = None;
        config.plugins_dir = plugins_dir.to_owned();
        config.compile_cache = data.join("cache");
        config.compiler = Some(super::process::own_binary()?);
        config.ledger = LedgerConfig::Local { path: data.join("ledger") };
        config.admin.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, self.admin_port));
        if let Some(port) = self.ingress_port {
            config.ingress.listen = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
        // Only queues are at the local endpoint.
        config.secrets_aws = Some(config.aws.clone());
        config.aws.endpoint_url = Some(endpoint_url.to_owned());
        for (name, queue) in &mut config.queues {
            // A broker and a URL are production's; here each queue is a local one by its name, or
            // on the server that the command line names.
            let here = match self.server.location(name)? {
                None => QueueConfig::default(),
                Some(location) => on_server(name, &location)?,
            };
            if queue.broker == here.broker && here.broker != Broker::Sqs {
                queue.url = here.url;
            } else {
                *queue = std::mem::take(queue).located_as(here);
            }
            queue.dlq.get_or_insert_with(|| dlq_name(name));
        }
        Ok(config)
    }
}

/// A queue that is only somewhere.
fn on_server(name: &str, location: &str) -> anyhow::Result<QueueConfig> {
    let text = format!("[queues.here]\n{location}");
    let config = Config::parse(&text, Path::new("(command line)"))
        .with_context(|| format!("--broker-url does not serve for the queue `{name}`"))?;
    config.queues.into_values().next().context("the text has a queue")
}

/// Makes the config's queues in a local queue, DLQs included.
pub async fn create_queues(sqs: &LocalSqs, config: &Config) -> anyhow::Result<()> {
    let names = config.queues.iter().flat_map(|(name, queue)| [Some(name), queue.dlq.as_ref()]);
    make_queues(sqs, names.flatten()).await
}

/// Makes queues in a local queue, for clients of every region. Those that are there stay as they
/// are.
pub async fn make_queues<'a>(sqs: &LocalSqs, names: impl IntoIterator<Item = &'a String>) -> anyhow::Result<()> {
    for name in names {
        sqs.create_queue(name).await?;
    }
    Ok(())
}

/// Whether a path under `base` can be a handler's source.
fn is_source(base: &Path, path: &Path) -> bool {
    let inner = path.strip_prefix(base).unwrap_or(path);
    inner.iter().all(|part| build::is_source(&part.to_string_lossy()))
}

/// Rebuilds when a source changes, and has the host load what came of it. An error leaves the old
/// version serving.
async fn watch(dir: PathBuf, plugins_dir: PathBuf, host: Arc<Host>) {
    let changed = Arc::new(Notify::new());
    // Events name absolute paths, and the directory itself may lie under a hidden one.
    let base = match dir.canonicalize() {
        Ok(base) => base,
        Err(error) => return tracing::error!(%error, "cannot watch for changes; restart `wasq dev` to rebuild"),
    };
    let (notify, within) = (changed.clone(), base.clone());
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access() && event.paths.iter().any(|path| is_source(&within, path))) {
            notify.notify_one();
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => return tracing::error!(%error, "cannot watch for changes; restart `wasq dev` to rebuild"),
    };
    if let Err(error) = watcher.watch(&base, RecursiveMode::Recursive) {
        return tracing::error!(%error, "cannot watch for changes; restart `wasq dev` to rebuild");
    }
    eprintln!("watching {}; Ctrl-C stops", dir.display());
    loop {
        changed.notified().await;
        while tokio::time::timeout(SETTLE, changed.notified()).await.is_ok() {}
        let (dir, out) = (dir.clone(), plugins_dir.clone());
        let built = tokio::task::spawn_blocking(move || build::build(&dir, &out, false)).await;
        let changed: Vec<_> = match built {
            Ok(Ok(built)) => built.into_iter().filter(|plugin| plugin.changed).collect(),
            Ok(Err(error)) => {
                eprintln!("not rebuilt: {error:#}; the old version goes on serving");
                continue;
            }
            Err(error) => {
                tracing::error!(%error, "the build panicked");
                continue;
            }
        };
        if changed.is_empty() {
            continue;
        }
        match host.reload_plugins().await {
            Ok(catalog) => {
                for plugin in &changed {
                    eprintln!("rebuilt {}", plugin.path.display());
                }
                for failure in catalog.failures() {
                    eprintln!("not loaded: {}: {}", failure.path.display(), failure.reason);
                }
            }
            Err(error) => eprintln!("not reloaded: {error}"),
        }
    }
}
