//! The host, whole: built from its config, run until it is told to stop, drained.

mod opened;
pub mod queues;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use wasq_core::clock::{self, SystemClock};
use wasq_ledgers::Ledger;
use wasq_queues::Queue;
use wasq_queues::sqs::Sqs;

pub use opened::Opened;

use queues::{OpenQueue, ReceiveLimits};

use crate::admin;
use crate::admission::breaker::Breakers;
use crate::admission::pauses::Pauses;
use crate::admission::permits::Permits;
use crate::config::{AwsConfig, Config};
use crate::flow::recent::Recent;
use crate::flow::settle::Settler;
use crate::flow::{QueueRuntime, Services};
use crate::lease::Keeper;
use crate::plugins::watch::Watch;
use crate::plugins::{CacheError, Catalog, Catalogs, Loader, Versions};
use crate::sandbox::Sandbox;
use crate::sandbox::egress::Fetcher;
use crate::telemetry::export::otlp::{self, Otlp};
use crate::telemetry::export::{self, Source};
use crate::telemetry::health::Health;
use crate::telemetry::metrics::QueueMeters;
use crate::telemetry::stats::Stats;
use crate::workers::Workers;

/// A running host.
pub struct Host {
    config: Arc<Config>,
    /// What the queues' redrive policies allow the plugins that are loaded.
    receives: Arc<ReceiveLimits>,
    workers: Workers,
    admin: admin::Server,
    watcher: JoinHandle<()>,
    fetcher: JoinHandle<()>,
    /// Samples and exports.
    background: JoinSet<()>,
    otlp: Otlp,
}

/// Why a host does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Queues(#[from] queues::OpenError),
    #[error("the ledger: {0}")]
    Ledger(#[from] wasq_ledgers::OpenError),
    #[error("the sandbox's engine: {0}")]
    Engine(String),
    #[error("{0}")]
    Egress(#[from] crate::sandbox::egress::EgressError),
    #[error("{0}")]
    Versions(#[from] CacheError),
    #[error("plugins_dir {}: {source}; make the directory, or set plugins_dir", dir.display())]
    PluginsDir { dir: std::path::PathBuf, source: std::io::Error },
    #[error("{0}")]
    Otlp(#[from] otlp::SettingsError),
    #[error("admin: {0}")]
    Admin(#[from] admin::ServeError),
    #[error("{0}")]
    AdminToken(#[from] admin::TokenError),
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<StartError>),
}

impl From<Vec<StartError>> for StartError {
    fn from(mut errors: Vec<Self>) -> Self {
        if errors.len() == 1 { errors.remove(0) } else { Self::Several(errors) }
    }
}

impl Host {
    /// Opens the ledger, loads the plugins, checks the queues, and begins to poll.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let ledger = wasq_ledgers::open(&config.ledger, &config.aws).await?;
        Self::start_on(config, ledger).await
    }

    /// As [`Host::start`], on a ledger that is open already.
    pub async fn start_on(config: Config, ledger: Arc<dyn Ledger>) -> Result<Self, StartError> {
        let sandbox = Sandbox::new(&config.limits).map_err(|error| StartError::Engine(format!("{error:#}")))?;
        Self::start_in(config, ledger, sandbox).await
    }

    /// As [`Host::start_on`], in a sandbox that is made already.
    pub async fn start_in(config: Config, ledger: Arc<dyn Ledger>, sandbox: Sandbox) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let loader = Loader::new(sandbox.clone(), config.clone())?;
        let secrets = loader.secrets();
        let catalogs = Arc::new(Catalogs::new(loader, kept_versions(&config)?));
        let watch = Watch::new(&config.plugins_dir).await;
        let catalog = load_plugins(&catalogs, &config).await?;
        let opened = Opened::open(&config, secrets, catalog.most_attempts()).await?;
        let Opened { otlp, access, fetcher, sqs, queues: open } = opened;
        let otlp = Otlp::new(otlp, &config.scope);
        for queue in &open.queues {
            for warning in &queue.warnings {
                tracing::warn!(queue = queue.name, "{warning}");
            }
        }
        let services = Arc::new(Services {
            scope: config.scope.clone(),
            clock: Arc::new(SystemClock),
            catalogs: catalogs.clone(),
            sandbox,
            permits: Permits::new(&config.limits),
            breakers: Breakers::new(&config.limits),
            stats: Stats::default(),
            health: Health::default(),
            pauses: Pauses::default(),
            recent: Recent::default(),
            tracing: otlp.tracing(),
            outlets: Arc::new(open.outlets()),
            interrupt: CancellationToken::new(),
            ledger,
            limits: config.limits.clone(),
        });
        let receives = Arc::new(open.receive_limits());
        note_plugins(&services, &config, &receives, &catalog);
        // Before the first poll: what was paused stays so across a restart.
        if let Err(error) = services.pauses.refresh(&*services.ledger, &services.scope, clock::unix_ms()).await {
            services.pauses.await_reading();
            tracing::warn!(%error, "what is paused cannot be read; nothing is polled until it can");
        }
        let mut host = Self {
            admin: admin::Server::bind(&config.admin).await?,
            watcher: tokio::spawn(keep_current(watch, services.clone(), config.clone(), receives.clone())),
            receives,
            fetcher: tokio::spawn(keep_secrets(fetcher, services.clone())),
            background: JoinSet::new(),
            otlp,
            config: config.clone(),
            workers: Workers::new(services),
        };
        let dead_letter_queues = admin::dead_letter_queues(
            &sqs,
            open.queues.iter().map(|open| (open.name.as_str(), &open.queue, &open.dlq)),
        );
        for queue in open.queues {
            host.begin(queue);
        }
        let source = host.source();
        host.background.spawn(export::sample(source.clone(), config.telemetry.clone()));
        host.background.spawn(keep_pauses(source.services.clone()));
        host.background.spawn(host.otlp.export(source.clone()));
        host.background.spawn(export::write_emf(source.clone(), config.telemetry.emf));
        let history = Arc::new(admin::History::default());
        host.background.spawn(history.clone().keep(source.clone()));
        host.admin.serve(admin::App { source, access, history, dead_letter_queues });
        Ok(host)
    }

    fn begin(&mut self, open: OpenQueue) {
        let OpenQueue { name, config, queue, retention, max_bytes, dlq, dlq_max_bytes, .. } = open;
        let aws = AwsConfig { region: queue.region(), ..self.config.aws.clone() };
        let url = queue.url().to_owned();
        // The keeper's connections must not wait for the serving threads, so they are made on its
        // own.
        let connect = move || async move {
            let sqs = Sqs::connect(&aws).await;
            let queue = sqs.queue(&url).await.expect("a URL is taken as it is");
            Arc::new(queue) as Arc<dyn Queue>
        };
        let queue: Arc<dyn Queue> = Arc::new(queue);
        let meters = Arc::new(QueueMeters::default());
        self.workers.begin(QueueRuntime {
            name,
            keeper: Keeper::start(connect, config.visibility, self.services().ledger.clone(), meters.clone()),
            settler: Settler::start(queue.clone(), meters.clone()),
            meters,
            retention,
            max_bytes,
            dlq: Arc::new(dlq),
            dlq_max_bytes,
            queue,
            config,
        });
    }

    /// Reads the plugin directory again and swaps what changed.
    pub async fn reload_plugins(&self) -> Result<Arc<Catalog>, StartError> {
        reload(self.services(), &self.config, &self.receives).await
    }

    /// Where the admin port listens.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.addr()
    }

    /// What metrics are gathered from.
    pub fn source(&self) -> Source {
        Source { services: self.services().clone(), runtimes: self.workers.runtimes().to_vec() }
    }

    pub fn services(&self) -> &Arc<Services> {
        self.workers.services()
    }

    /// The queues that it works on.
    pub fn runtimes(&self) -> &[Arc<QueueRuntime>] {
        self.workers.runtimes()
    }

    /// Stops receiving, lets what runs come to its end for `drain_s` or until `hurry`, interrupts
    /// the rest, flushes.
    pub async fn shutdown(self, hurry: impl Future<Output = ()>) {
        let source = self.source();
        let Self { config, receives: _, mut workers, admin, watcher, fetcher, mut background, otlp } = self;
        watcher.abort();
        workers.drain(Duration::from_secs(config.drain_s), hurry).await;
        fetcher.abort();
        admin.shutdown().await;
        background.shutdown().await;
        let last = otlp.last(&source);
        workers.flush().await;
        otlp.flush(last).await;
    }
}

/// Fetches the secrets that are with AWS again whenever it is time.
async fn keep_secrets(fetcher: Fetcher, services: Arc<Services>) {
    fetcher.run(|missing| services.health.secrets(missing)).await;
}

/// Reads again and again what is paused. While the ledger does not answer, what was known holds.
async fn keep_pauses(services: Arc<Services>) {
    let mut ticks = tokio::time::interval(services.limits.pause_refresh);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = services.clock.unix_ms();
        if let Err(error) = services.pauses.refresh(&*services.ledger, &services.scope, now).await {
            tracing::debug!(%error, "what is paused cannot be read");
        }
    }
}

/// Where versions are kept while others are on trial; none where no plugin has a canary.
pub fn kept_versions(config: &Config) -> Result<Option<Versions>, CacheError> {
    let has_canary = config.plugins.values().any(|plugin| plugin.canary.is_some());
    has_canary.then(|| Versions::open(&config.compile_cache.join("rollouts"))).transpose()
}

/// Reads the plugin directory again whenever it has changed, or a trial of a new version has ended.
async fn keep_current(mut watch: Watch, services: Arc<Services>, config: Arc<Config>, receives: Arc<ReceiveLimits>) {
    loop {
        watch.changed(|| services.catalogs.current().a_trial_has_ended()).await;
        match reload(&services, &config, &receives).await {
            Ok(catalog) => {
                let plugins = catalog.plugins().count();
                tracing::info!(plugins, failures = catalog.failures().len(), "the plugin directory was read again");
            }
            Err(error) => {
                tracing::error!(%error, "the plugin directory cannot be read; what was loaded goes on serving")
            }
        }
    }
}

async fn reload(services: &Services, config: &Config, receives: &ReceiveLimits) -> Result<Arc<Catalog>, StartError> {
    let catalog = load_plugins(&services.catalogs, config).await?;
    note_plugins(services, config, receives, &catalog);
    Ok(catalog)
}

/// A plugin that was loaded later may make more attempts than a redrive policy lets it.
fn note_plugins(services: &Services, config: &Config, receives: &ReceiveLimits, catalog: &Catalog) {
    let nothing = catalog.plugins().next().is_none();
    let nothing = nothing.then(|| format!("no plugin is loaded from {}", config.plugins_dir.display()));
    let too_few = receives.check(catalog.most_attempts()).err().map(|error| error.to_string());
    if let Some(problem) = &too_few {
        tracing::error!("{problem}");
    }
    services.health.plugins(nothing.or(too_few));
}

/// Compiles off the serving threads.
async fn load_plugins(catalogs: &Arc<Catalogs>, config: &Config) -> Result<Arc<Catalog>, StartError> {
    let (catalogs, dir) = (catalogs.clone(), config.plugins_dir.clone());
    let loaded = tokio::task::spawn_blocking(move || catalogs.reload(&dir)).await;
    loaded
        .map_err(|error| StartError::Engine(error.to_string()))?
        .map_err(|source| StartError::PluginsDir { dir: config.plugins_dir.clone(), source })
}
