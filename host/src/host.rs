//! The host, whole: built from its config, run until it is told to stop, drained.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::clock::{self, SystemClock};
use crate::config::{Config, QueueConfig};
use crate::crew::Crew;
use crate::flow::recent::Recent;
use crate::flow::settle::Settler;
use crate::flow::{Breakers, Lane, Services};
use crate::health::Health;
use crate::lease::Keeper;
use crate::ledger::{self, Ledger};
use crate::metrics::QueueMeters;
use crate::pausing::Pauses;
use crate::permits::Permits;
use crate::plugins::watch::Watch;
use crate::plugins::{CacheError, Catalog, Catalogs, Loader, Versions};
use crate::queue::sqs::{Sqs, SqsQueue};
use crate::queue::{Queue, QueueError};
use crate::redrive;
use crate::sandbox::Sandbox;
use crate::sandbox::egress::Fetcher;
use crate::stats::Stats;
use crate::telemetry::otlp::{self, Otlp};
use crate::telemetry::{self, Source};

/// A running host.
pub struct Host {
    config: Arc<Config>,
    crew: Crew,
    admin: admin::Server,
    watcher: JoinHandle<()>,
    fetcher: JoinHandle<()>,
    /// Samples and exports.
    telling: JoinSet<()>,
    otlp: Otlp,
}

/// Why a host does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("queue `{name}`: {error}{hint}")]
    Queue { name: String, error: QueueError, hint: &'static str },
    #[error("{0}")]
    Redrive(#[from] redrive::RedriveError),
    #[error("the ledger: {0}")]
    Ledger(#[from] ledger::OpenError),
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
}

impl Host {
    /// Opens the ledger, loads the plugins, checks the queues, and begins to poll.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let ledger = ledger::open(&config.ledger, &config.aws).await?;
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
        let otlp = Otlp::new(otlp::Settings::new(&config.telemetry, |name| std::env::var(name).ok())?, &config.scope);
        let access = admin::Access::new(&config.admin, std::env::var(admin::TOKEN_VARIABLE).ok())?;
        let versions = kept_versions(&config)?;
        let loader = Loader::new(sandbox.clone(), config.clone())?;
        let secrets_aws = config.secrets_aws.as_ref().unwrap_or(&config.aws);
        let fetcher = Fetcher::start(loader.secrets(), secrets_aws, config.egress.secrets_refresh).await;
        let catalogs = Arc::new(Catalogs::new(loader, versions));
        let watch = Watch::new(&config.plugins_dir);
        let catalog = load_plugins(&catalogs, &config).await?;
        let sqs = Sqs::connect(&config.aws).await;
        let mut queues = Vec::new();
        let mut outlets: HashMap<String, Arc<dyn Queue>> = HashMap::new();
        for (name, queue_config) in &config.queues {
            let (queue, dlq) = open_queue(&sqs, name, queue_config, catalog.most_attempts()).await?;
            outlets.insert(name.clone(), Arc::new(queue.clone()));
            queues.push((name.clone(), queue_config.clone(), queue, dlq));
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
            outlets,
            interrupt: CancellationToken::new(),
            ledger,
            limits: config.limits.clone(),
        });
        note_plugins(&services, &config, &catalog);
        // Before the first poll: what was paused stays so across a restart.
        if let Err(error) = services.pauses.refresh(&*services.ledger, &services.scope, clock::unix_ms()).await {
            services.pauses.await_reading();
            tracing::warn!(%error, "what is paused cannot be read; nothing is polled until it can");
        }
        let mut host = Self {
            admin: admin::Server::bind(config.admin.listen).await?,
            watcher: tokio::spawn(keep_current(watch, services.clone(), config.clone())),
            fetcher: tokio::spawn(keep_secrets(fetcher, services.clone())),
            telling: JoinSet::new(),
            otlp,
            config: config.clone(),
            crew: Crew::new(services),
        };
        let places = queues
            .iter()
            .map(|(name, _, queue, dlq)| Arc::new(admin::Place::new(name, sqs.clone(), queue.clone(), dlq.clone())));
        let places = places.collect();
        for (name, queue_config, queue, dlq) in queues {
            host.begin(name, queue_config, queue, dlq);
        }
        let source = host.source();
        host.telling.spawn(telemetry::sample(source.clone(), config.telemetry.clone()));
        host.telling.spawn(keep_pauses(source.services.clone()));
        host.telling.spawn(host.otlp.export(source.clone()));
        host.telling.spawn(telemetry::write_emf(source.clone(), config.telemetry.emf));
        let history = Arc::new(admin::History::default());
        host.telling.spawn(history.clone().keep(source.clone()));
        host.admin.serve(admin::App { source, access, history, places });
        Ok(host)
    }

    fn begin(&mut self, name: String, config: QueueConfig, queue: SqsQueue, dlq: SqsQueue) {
        let (aws, url) = (self.config.aws.clone(), queue.url().to_owned());
        // The keeper's connections must not wait for the serving threads, so they are made on its own.
        let connect = move || async move {
            let sqs = Sqs::connect(&aws).await;
            let queue = sqs.queue(&url).await.expect("a URL is taken as it is");
            Arc::new(queue) as Arc<dyn Queue>
        };
        let queue: Arc<dyn Queue> = Arc::new(queue);
        let meters = Arc::new(QueueMeters::default());
        self.crew.begin(Lane {
            name,
            keeper: Keeper::start(connect, config.visibility, self.services().ledger.clone(), meters.clone()),
            settler: Settler::start(queue.clone(), meters.clone()),
            meters,
            dlq: Arc::new(dlq),
            queue,
            config,
        });
    }

    /// Reads the plugin directory again and swaps what changed.
    pub async fn reload_plugins(&self) -> Result<Arc<Catalog>, StartError> {
        reload(self.services(), &self.config).await
    }

    /// Where the admin port listens.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.addr()
    }

    /// What metrics are gathered from.
    pub fn source(&self) -> Source {
        Source { services: self.services().clone(), lanes: self.crew.lanes().to_vec() }
    }

    pub fn services(&self) -> &Arc<Services> {
        self.crew.services()
    }

    /// The queues that it works on.
    pub fn lanes(&self) -> &[Arc<Lane>] {
        self.crew.lanes()
    }

    /// Stops receiving, lets what runs come to its end for `drain_s` or until `hurry`, interrupts the rest, flushes.
    pub async fn shutdown(self, hurry: impl Future<Output = ()>) {
        let source = self.source();
        let Self { config, mut crew, admin, watcher, fetcher, mut telling, otlp } = self;
        watcher.abort();
        crew.drain(Duration::from_secs(config.drain_s), hurry).await;
        fetcher.abort();
        admin.shutdown().await;
        telling.shutdown().await;
        let last = otlp.last(&source);
        crew.flush().await;
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
fn kept_versions(config: &Config) -> Result<Option<Versions>, CacheError> {
    let has_canary = config.plugins.values().any(|plugin| plugin.canary.is_some());
    has_canary.then(|| Versions::open(&config.compile_cache.join("rollouts"))).transpose()
}

/// Reads the plugin directory again whenever it has changed, or a trial of a new version has ended.
async fn keep_current(mut watch: Watch, services: Arc<Services>, config: Arc<Config>) {
    loop {
        watch.changed(|| services.catalogs.current().a_trial_has_ended()).await;
        match reload(&services, &config).await {
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

async fn reload(services: &Services, config: &Config) -> Result<Arc<Catalog>, StartError> {
    let catalog = load_plugins(&services.catalogs, config).await?;
    note_plugins(services, config, &catalog);
    Ok(catalog)
}

fn note_plugins(services: &Services, config: &Config, catalog: &Catalog) {
    let nothing = catalog.plugins().next().is_none();
    let problem = nothing.then(|| format!("no plugin is loaded from {}", config.plugins_dir.display()));
    services.health.plugins(problem);
}

/// Compiles off the serving threads.
async fn load_plugins(catalogs: &Arc<Catalogs>, config: &Config) -> Result<Arc<Catalog>, StartError> {
    let (catalogs, dir) = (catalogs.clone(), config.plugins_dir.clone());
    let loaded = tokio::task::spawn_blocking(move || catalogs.reload(&dir)).await;
    loaded
        .map_err(|error| StartError::Engine(error.to_string()))?
        .map_err(|source| StartError::PluginsDir { dir: config.plugins_dir.clone(), source })
}

/// The queue and its DLQ, with the redrive policy checked against the most `attempts` that a plugin makes.
pub async fn open_queue(
    sqs: &Sqs,
    name: &str,
    queue_config: &QueueConfig,
    attempts: u32,
) -> Result<(SqsQueue, SqsQueue), StartError> {
    let fail = |error: QueueError| {
        let hint = match &error {
            QueueError::Permanent { code, .. }
                if code.contains("NonExistentQueue") || code.contains("QueueDoesNotExist") =>
            {
                "; create it, or set `url`"
            }
            _ => "",
        };
        StartError::Queue { name: name.to_owned(), error, hint }
    };
    let queue = sqs.queue(queue_config.url.as_deref().unwrap_or(name)).await.map_err(fail)?;
    let attributes = queue.attributes().await.map_err(fail)?;
    let dlq_name = redrive::check(name, queue.is_fifo(), queue_config, &attributes, attempts)?;
    let dlq = sqs.queue(&dlq_name).await.map_err(|error| match fail(error) {
        StartError::Queue { name, error, .. } => StartError::Queue {
            name: format!("{name}` with the DLQ `{dlq_name}"),
            error,
            hint: "; create it, or set `dlq`",
        },
        other => other,
    })?;
    dlq.attributes().await.map_err(fail)?;
    redrive::check_kinds(name, queue.is_fifo(), &dlq_name, dlq.is_fifo())?;
    Ok((queue, dlq))
}
