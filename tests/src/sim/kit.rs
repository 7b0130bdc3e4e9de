//! What simulated hosts are made of: the plugins, and the product's own parts over the world.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wasq::admission::breaker::Breakers;
use wasq::admission::fair_queue::FairQueue;
use wasq::admission::fleet_pools::FleetPools;
use wasq::admission::hidden::HiddenMessages;
use wasq::admission::key_limits::KeyLimits;
use wasq::admission::pauses::Pauses;
use wasq::admission::permits::Permits;
use wasq::admission::queue_limit::QueueLimit;
use wasq::admission::rates::Rates;
use wasq::admission::set_limits::SetLimits;
use wasq::config::{Config, Envelope, Limits, QueueConfig};
use wasq::flow::recent::Recent;
use wasq::flow::settle::Settler;
use wasq::flow::{QueueRuntime, Services};
use wasq::groups::GroupStore;
use wasq::lease::Keeper;
use wasq::plugins::{Catalogs, Loader};
use wasq::sandbox::Sandbox;
use wasq::telemetry::health::Health;
use wasq::telemetry::metrics::QueueMeters;
use wasq::telemetry::spans::Tracing;
use wasq::telemetry::stats::Stats;
use wasq::timers::schedules::Schedules;
use wasq::timers::{TimerStore, send_due};
use wasq::workers::Workers;
use wasq_ledgers::Ledger;
use wasq_queues::{MaximumMessageSize, Outlet, Queue, Retention};

use super::checks::{MAX_ATTEMPTS, PLUGINS, SCOPE, SimPlugin};
use super::host::{ALWAYS, Seat};
use super::ledger::SimLedger;
use super::plan::Plan;
use super::queue::SimQueue;
use super::quotas;
use super::world::Which;

/// What all simulations share: the compiled plugins. Their runs share nothing.
pub struct Kit {
    sandbox: Sandbox,
    catalogs: Arc<Catalogs>,
    limits: Limits,
}

impl Kit {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for SimPlugin { name: plugin, types, mode } in &PLUGINS {
            let guest = if *mode == "none" { "bare" } else { "sim" };
            let component = std::fs::read(crate::guest(guest)).expect("the guest was built");
            std::fs::write(dir.path().join(format!("{plugin}.wasm")), component).expect("a temporary file");
            // The guest without an outbox knows HTTP, which nobody here orders.
            let asked = match *mode {
                "none" => "allowed_outbound_hosts = ['http://127.0.0.1:1']",
                _ => "queues = ['out', 'self']",
            };
            let manifest = format!(
                "name = '{plugin}'\ntypes = {types:?}\ntimeout = '3s'\nmax_concurrency = 1000\n{asked}\nvariables = {{ plugin = '{plugin}' }}\n\
                 [idempotency]\nmode = '{mode}'\n[retry]\nmax_attempts = {MAX_ATTEMPTS}\ninitial_interval = '500ms'\nmaximum_interval = '2s'\n"
            );
            std::fs::write(dir.path().join(format!("{plugin}.toml")), manifest).expect("a temporary file");
        }
        let text = "grant_all = true\n[limits]\nsettle_grace = '5s'\nmax_instances = 256\n[queues.jobs]\n";
        let config = Config::parse(text, std::path::Path::new("wasq.toml")).expect("the config is valid");
        let limits = config.limits.clone();
        // What a guest does must not depend on how fast the machine is.
        let sandbox = Sandbox::without_ticks(&limits).expect("an engine can be made");
        let loader = Loader::new(sandbox.clone(), Arc::new(config)).expect("the config is valid");
        let catalogs = Catalogs::new(loader, None);
        let catalog = catalogs.reload(dir.path()).expect("the directory is there");
        assert!(catalog.failures().is_empty(), "{:?}", catalog.failures());
        Self { sandbox, catalogs: Arc::new(catalogs), limits }
    }
}

/// What a host does: it works on its queue, and sends what is due.
pub struct HostTasks {
    pub workers: Workers,
    pub timers: (JoinHandle<()>, CancellationToken),
    pub quotas: Option<quotas::Kept>,
}

/// Puts the host's own parts together over the world.
pub fn begin(kit: &Kit, seat: &Arc<Seat>, plan: &Plan) -> HostTasks {
    let queue = |which| Arc::new(SimQueue::new(which, seat.clone())) as Arc<dyn Queue>;
    let ledger: Arc<dyn Ledger> = Arc::new(SimLedger::new(seat.clone()));
    let outlet = |which| Outlet { queue: queue(which), max_bytes: MaximumMessageSize::default() };
    let timers = TimerStore::of(&*ledger, SCOPE).map(Arc::new);
    let services = Services {
        scope: SCOPE.into(),
        limits: kit.limits.clone(),
        clock: seat.clone(),
        catalogs: kit.catalogs.clone(),
        sandbox: kit.sandbox.clone(),
        permits: Permits::new(&kit.limits),
        rates: Rates::of(quotas::rates(), &kit.limits),
        fleet_pools: FleetPools::new(&quotas::pools()),
        set_limits: SetLimits::default(),
        key_limits: KeyLimits::new(&kit.limits),
        quotas: None,
        groups: timers
            .as_ref()
            .and_then(|timers| GroupStore::of(&ledger, SCOPE, timers, seat.clone(), &kit.limits).map(Arc::new)),
        timers,
        schedules: Schedules::default(),
        ledger: ledger.clone(),
        breakers: Breakers::new(&kit.limits),
        hidden: Arc::new(HiddenMessages::new(kit.limits.hidden_messages)),
        stats: Stats::default(),
        health: Health::default(),
        pauses: Pauses::default(),
        recent: Recent::default(),
        tracing: Tracing::default(),
        ingress: Default::default(),
        queue_names: Default::default(),
        outlets: Arc::new(
            [("out", Which::Out), ("jobs", Which::Jobs)].map(|(name, which)| (name.to_owned(), outlet(which))).into(),
        ),
        interrupt: CancellationToken::new(),
    };
    let config = QueueConfig {
        visibility: plan.visibility,
        wait: Duration::from_secs(2),
        concurrency: plan.concurrency.into(),
        // No body has it, so all messages are of one key, and wait for its turns.
        fair_by: (plan.has_quotas && !plan.fifo).then(|| "{/tenant}".to_owned().try_into().expect("a template")),
        max_pollers: 2,
        envelope: Envelope::Auto,
        split: true,
        ..QueueConfig::default()
    };
    let jobs = queue(Which::Jobs);
    let meters = Arc::new(QueueMeters::default());
    let (keeper, renewals) = Keeper::new(config.visibility, meters.clone());
    tokio::spawn(renewals.run(Arc::new(SimQueue::for_keeper(seat.clone())), ledger));
    services.recent.watch(ALWAYS);
    let services = Arc::new(services);
    seat.take(&services);
    let quotas = plan.has_quotas.then(|| quotas::begin(&services, seat)).flatten();
    let kept = services.clone();
    tokio::spawn(async move { kept.hidden.keep(|held_by| kept.room_for(held_by)).await });
    let fair = FairQueue::of(&config, &kit.limits);
    let mut workers = Workers::new(services.clone());
    workers.begin(QueueRuntime {
        s3: None,
        sns: None,
        name: "jobs".into(),
        number: 0,
        keeper,
        settler: Settler::start(jobs.clone(), meters.clone(), services.hidden.clone(), config.concurrency.max()),
        meters,
        queue: jobs,
        retention: Retention::default(),
        max_bytes: MaximumMessageSize::default(),
        dlq: queue(Which::Dlq),
        dlq_max_bytes: MaximumMessageSize::default(),
        limit: QueueLimit::new(config.concurrency, fair.as_ref().map(|fair| fair.turns().clone())),
        fair,
        waiting_room: Arc::new(Semaphore::new(kit.limits.rate_waiting)),
        config,
    });
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let timers = tokio::spawn(async move {
        let store = services.timers.as_ref().expect("the ledger keeps timers");
        let Services { ledger, schedules, outlets, clock, .. } = &*services;
        send_due(store, &**ledger, schedules, outlets, &**clock, stopped).await;
    });
    HostTasks { workers, timers: (timers, stop), quotas }
}
