//! The host, whole: built from its config, run until it is told to stop, drained.

mod fleet;
mod opened;
mod opener;
mod outlet;
pub mod queues;
mod runtime;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures::future::join;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use wasq_core::clock::{self, SharedClock, SystemClock};
use wasq_ledgers::Ledger;

pub use opened::Opened;
pub use outlet::outlet_queue;

use opener::{LateOutlets, Opener};
use queues::{ReceiveLimits, Unopened};

use crate::admin::{self, DeadLetterQueues};
use crate::admission::breaker::Breakers;
use crate::admission::fleet_pools::FleetPools;
use crate::admission::hidden::HiddenMessages;
use crate::admission::key_limits::KeyLimits;
use crate::admission::pauses::Pauses;
use crate::admission::permits::Permits;
use crate::admission::rates::Rates;
use crate::admission::set_limits::SetLimits;
use crate::config::Config;
use crate::flow::recent::Recent;
use crate::flow::{QueueRuntime, Services};
use crate::groups::GroupStore;
use crate::ingress::{self, IngressTypes};
use crate::plugins::watch::Watch;
use crate::plugins::{CacheError, Catalog, Catalogs, Loader, Versions};
use crate::sandbox::Sandbox;
use crate::sandbox::egress::Fetcher;
use crate::telemetry::export::otlp::{self, Otlp};
use crate::telemetry::export::{self, Scale, Source};
use crate::telemetry::health::Health;
use crate::telemetry::metrics::IngressMeters;
use crate::telemetry::stats::Stats;
use crate::timers::schedules::Schedules;
use crate::timers::{TimerStore, send_due};
use crate::workers::Workers;

/// How long messages that are due may still be sent after the drain.
const LAST_SENDS: Duration = Duration::from_secs(3);

/// A running host.
pub struct Host {
    config: Arc<Config>,
    /// What the queues' redrive policies allow the plugins that are loaded.
    receives: Arc<ReceiveLimits>,
    workers: Workers,
    /// How many hosts the work needs, as was found last.
    scale: Arc<ArcSwapOption<Scale>>,
    admin: admin::Server,
    /// None where the config does not say where it listens.
    ingress: Option<ingress::Serving>,
    watcher: JoinHandle<()>,
    fetcher: JoinHandle<()>,
    /// Sends what was delayed, until it is told to stop.
    timers: (JoinHandle<()>, CancellationToken),
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
    Ingress(#[from] ingress::IngressError),
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
        let types = IngressTypes::load(&config.ingress).map_err(ingress::IngressError::from)?;
        let ingress = ingress::Server::bind(&config.ingress).await?;
        let watch = Watch::new(&config.plugins_dir).await;
        catalogs.pulled().refresh().await;
        let catalog = load_plugins(&catalogs, &config).await?;
        let opened = Opened::open(&config, secrets.clone(), catalog.demands()).await?;
        let Opened { otlp, access, fetcher, brokers, queues: open } = opened;
        let refused = |errors: Vec<_>| errors.into_iter().map(StartError::Queues).collect::<Vec<_>>();
        let open = open.or_refuse(config.strict_start).map_err(refused)?;
        let otlp = Otlp::new(otlp, &config.scope);
        let (mut outlets, mut late) = (open.outlets(&config), LateOutlets::default());
        outlets.extend(open.unopened.iter().map(|unopened| (unopened.name.clone(), late.add(&config, unopened))));
        let clock: SharedClock = Arc::new(SystemClock);
        let timers = TimerStore::of(&*ledger, &config.scope).map(Arc::new);
        let groups =
            |timers| GroupStore::of(&ledger, &config.scope, timers, clock.clone(), &config.limits).map(Arc::new);
        let services = Arc::new(Services {
            scope: config.scope.clone(),
            clock: clock.clone(),
            catalogs: catalogs.clone(),
            sandbox,
            permits: Permits::for_queues(&config.limits, &config.queues),
            rates: Rates::new(&config),
            fleet_pools: FleetPools::new(&config.pools),
            set_limits: SetLimits::default(),
            key_limits: KeyLimits::new(&config.limits),
            quotas: fleet::quotas(&*ledger, &config.scope, clock.clone()),
            breakers: Breakers::new(&config.limits),
            hidden: Arc::new(HiddenMessages::new(config.limits.hidden_messages)),
            stats: Stats::default(),
            health: Health::default(),
            pauses: Pauses::default(),
            recent: Recent::default(),
            tracing: otlp.tracing(),
            ingress: IngressMeters::default(),
            queue_names: config.queues.keys().cloned().collect(),
            outlets: Arc::new(outlets),
            interrupt: CancellationToken::new(),
            groups: timers.as_ref().and_then(groups),
            timers,
            schedules: Schedules::new(&config.schedules, |queue| config.is_fifo(queue)),
            ledger: ledger.clone(),
            limits: config.limits.clone(),
        });
        let receives = Arc::new(ReceiveLimits::default());
        let dead_letter_queues = Arc::new(DeadLetterQueues::default());
        for queue in &open.queues {
            queue.warn();
            receives.add(queue);
            dead_letter_queues.add(&queue.name, &queue.queue, &queue.dlq);
        }
        receives.note(&services, &config, &catalog);
        // Before the first poll: what was paused stays so across a restart.
        if let Err(error) = services.pauses.refresh(&*services.ledger, &services.scope, clock::unix_ms()).await {
            services.pauses.await_reading();
            tracing::warn!(%error, "what is paused cannot be read; nothing is polled until it can");
        }
        let mut host = Self {
            admin: admin::Server::bind(&config.admin).await?,
            ingress: None,
            watcher: tokio::spawn(keep_current(watch, services.clone(), config.clone(), receives.clone())),
            receives,
            fetcher: tokio::spawn(keep_secrets(fetcher, services.clone())),
            timers: keep_sending(services.clone()),
            background: JoinSet::new(),
            otlp,
            config: config.clone(),
            workers: Workers::new(services),
            scale: Arc::default(),
        };
        for queue in open.queues {
            host.workers.begin(runtime::start(queue, &config, &host.services().clone()));
        }
        let (services, dlqs) = (host.services().clone(), dead_letter_queues.clone());
        let receives = host.receives.clone();
        let opener = Opener {
            brokers,
            config: config.clone(),
            rings: open.rings,
            services,
            receives,
            dead_letter_queues: dlqs,
            late,
        };
        host.open_later(Arc::new(opener), open.unopened);
        let source = host.source();
        host.background.spawn(export::sample(source.clone(), config.telemetry.clone()));
        host.background.spawn(export::follow_scale(source.clone(), config.telemetry.backlog_target));
        host.background.spawn(keep_pauses(source.services.clone()));
        host.background.spawn(fleet::keep(source.services.clone()));
        host.background.spawn(keep_pulled(source.services.clone(), config.clone(), host.receives.clone()));
        host.background.spawn(host.otlp.export(source.clone()));
        host.background.spawn(export::write_emf(source.clone(), config.telemetry.emf));
        let history = Arc::new(admin::History::default());
        host.background.spawn(history.clone().keep(source.clone()));
        if let Some(server) = ingress {
            let (services, runtimes) = (source.services.clone(), source.open.clone());
            let app = ingress::App::new(services, config.clone(), runtimes, secrets, types);
            let addr = config.ingress.listen.unwrap_or_else(|| host.admin.addr());
            host.ingress = Some(server.serve(app).map_err(|source| ingress::IngressError::Listen { addr, source })?);
        }
        let profiles = Arc::default();
        host.admin.serve(admin::App { source, access, history, dead_letter_queues, profiles });
        Ok(host)
    }

    /// Spawns a task for each queue and outlet that is not open yet.
    fn open_later(&mut self, opener: Arc<Opener>, unopened: Vec<Unopened>) {
        for Unopened { name, error } in unopened {
            let opener = opener.clone();
            // Before anybody asks whether the host is ready.
            opener.services.health.not_open(&name, &error.to_string());
            if let Some(queue) = opener.config.queues.get(&name).cloned() {
                self.workers.begin_when_open(async move {
                    let open = opener.queue(&name, &queue).await;
                    runtime::start(open, &opener.config, &opener.services)
                });
            } else if let Some(outlet) = opener.config.outlets.get(&name).cloned() {
                self.background.spawn(async move { opener.outlet(&name, &outlet).await });
            }
        }
    }

    /// Reads the plugin directory again, asks the registries, and swaps what changed.
    pub async fn reload_plugins(&self) -> Result<Arc<Catalog>, StartError> {
        self.services().catalogs.pulled().refresh().await;
        reload(self.services(), &self.config, &self.receives).await
    }

    /// Where the admin port listens.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.addr()
    }

    /// Where the ingress port listens, if it does.
    pub fn ingress_addr(&self) -> Option<SocketAddr> {
        self.ingress.as_ref().map(ingress::Serving::addr)
    }

    /// What metrics are gathered from.
    pub fn source(&self) -> Source {
        let (services, open, scale) = (self.services().clone(), self.workers.runtimes().clone(), self.scale.clone());
        Source { services, open, scale }
    }

    pub fn services(&self) -> &Arc<Services> {
        self.workers.services()
    }

    /// The queues that it works on, in the order in which they were opened.
    pub fn runtimes(&self) -> Arc<Vec<Arc<QueueRuntime>>> {
        self.workers.runtimes().items()
    }

    /// Stops receiving, lets what runs come to its end for `drain_s` or until `hurry`, interrupts
    /// the rest, flushes.
    pub async fn shutdown(self, hurry: impl Future<Output = ()>) {
        let source = self.source();
        let Self { config, mut workers, admin, ingress, watcher, fetcher, timers, mut background, otlp, .. } = self;
        watcher.abort();
        // What it has answered is in the queues, for others.
        if let Some(ingress) = ingress {
            ingress.shutdown().await;
        }
        let (timers, stop_timers) = timers;
        stop_timers.cancel();
        workers.drain(Duration::from_secs(config.drain_s), hurry).await;
        end_sending(timers).await;
        fetcher.abort();
        admin.shutdown().await;
        background.shutdown().await;
        if let Some(quotas) = &source.services.quotas {
            join(source.services.fleet_pools.give_back(quotas), source.services.key_limits.give_back(quotas)).await;
        }
        let last = otlp.last(&source);
        workers.flush().await;
        otlp.flush(last).await;
    }
}

/// Sends what is due, as long as the host runs.
fn keep_sending(services: Arc<Services>) -> (JoinHandle<()>, CancellationToken) {
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let task = tokio::spawn(async move {
        if let Some(timers) = &services.timers {
            let Services { ledger, schedules, outlets, clock, .. } = &*services;
            send_due(timers, &**ledger, schedules, outlets, &**clock, stopped).await;
        }
    });
    (task, stop)
}

/// Lets it send what it has in hand. What it has not sent then is sent when its lease ends.
async fn end_sending(mut timers: JoinHandle<()>) {
    if tokio::time::timeout(LAST_SENDS, &mut timers).await.is_err() {
        tracing::warn!("messages that are due are still being sent; those that are not are sent by another host");
        timers.abort();
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

/// Loads what a registry has anew, as what is anew in the plugin directory.
async fn keep_pulled(services: Arc<Services>, config: Arc<Config>, receives: Arc<ReceiveLimits>) {
    if services.catalogs.pulled().is_empty() {
        return;
    }
    loop {
        services.catalogs.pulled().changed().await;
        if let Err(error) = reload(&services, &config, &receives).await {
            tracing::error!(%error, "the plugins cannot be loaded anew; what was loaded goes on serving");
        }
    }
}

async fn reload(services: &Services, config: &Config, receives: &ReceiveLimits) -> Result<Arc<Catalog>, StartError> {
    let catalog = load_plugins(&services.catalogs, config).await?;
    receives.note(services, config, &catalog);
    Ok(catalog)
}

/// Compiles off the serving threads.
async fn load_plugins(catalogs: &Arc<Catalogs>, config: &Config) -> Result<Arc<Catalog>, StartError> {
    let (catalogs, dir) = (catalogs.clone(), config.plugins_dir.clone());
    let loaded = tokio::task::spawn_blocking(move || catalogs.reload(&dir)).await;
    loaded
        .map_err(|error| StartError::Engine(error.to_string()))?
        .map_err(|source| StartError::PluginsDir { dir: config.plugins_dir.clone(), source })
}
