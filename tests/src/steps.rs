//! The steps of a message's way, each by itself and all together, without the queue's calls and on
//! a clock that stands still while anything is to do: what a message costs there can be counted
//! (`guard.rs`) and timed (`benches/steps.rs`).

mod canned;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wasq::admission::breaker::Breakers;
use wasq::admission::fleet_pools::FleetPools;
use wasq::admission::hidden::HiddenMessages;
use wasq::admission::key_limits::KeyLimits;
use wasq::admission::pauses::Pauses;
use wasq::admission::permits::Permits;
use wasq::admission::queue_limit::QueueLimit;
use wasq::admission::rates::Rates;
use wasq::admission::set_limits::SetLimits;
use wasq::config::{Config, QueueConfig};
use wasq::exit::Exit;
use wasq::flow::decide::QueueAction;
use wasq::flow::decode::{Decoded, decode};
use wasq::flow::recent::Recent;
use wasq::flow::settle::Settler;
use wasq::flow::{QueueRuntime, Services};
use wasq::lease::Keeper;
use wasq::plugins::{Catalogs, Loader, Plugin};
use wasq::sandbox::{Destinations, Job, Sandbox};
use wasq::telemetry::health::Health;
use wasq::telemetry::metrics::QueueMeters;
use wasq::telemetry::spans::{Span, Tracing};
use wasq::telemetry::stats::{Line, Stats};
use wasq::timers::schedules::Schedules;
use wasq::workers::Workers;
use wasq_bench::no_ledger::NoLedger;
use wasq_bench::workload::Workload;
use wasq_core::clock::SystemClock;
use wasq_core::message::{BodyDigest, Delivery, Key, Message};
use wasq_ledgers::local::LocalLedger;
use wasq_ledgers::{Claim, ClaimRequest, Fence, Finish, Ledger};
use wasq_queues::{BATCH_MAX_ENTRIES, MaximumMessageSize, Queue, Retention};

use canned::Canned;

const SCOPE: &str = "steps";
/// The handler of `wasq-bench`, and what it is sent.
pub const HANDLER: &str = "bench-handler";
pub const BODY_BYTES: usize = 500;

/// Each instance has room for two memories of 4 GiB of addresses, and valgrind has 128 GiB in all.
/// It also takes its own time and memory to compile.
const CONFIG: &str = "grant_all = true\n[limits]\nmax_instances = 4\ncompile_time = '10m'\ncompile_memory = '64GiB'\n\
                      [queues.jobs]\n";

/// A part of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Step {
    /// The envelope opened, type and key found.
    Decode,
    /// From the type to its plugins.
    Route,
    /// The plugin's key, and the digests that the ledger is asked for.
    Key,
    /// A claim and a completion in the local ledger, ten messages in a frame of its log.
    Claim,
    /// An instance made, called and taken down, with the job that goes in and the report that comes
    /// out.
    Run,
    /// Leases and deletes, ten in a call.
    Settle,
    /// All of it, from the receive to the confirmed delete, as a host's worker does it; its ledger
    /// remembers nothing.
    Whole,
}

impl Step {
    /// As the command line calls it.
    pub fn name(self) -> String {
        self.to_possible_value().expect("none is skipped").get_name().to_owned()
    }
}

/// What the steps are done with.
pub struct Steps {
    runtime: Runtime,
    kit: Kit,
    queue: QueueConfig,
    delivery: Delivery,
    message: Arc<Message>,
    plugin: Arc<Plugin>,
    claims: u64,
    ledger: Option<(tempfile::TempDir, LocalLedger)>,
    workers: Option<(Workers, Arc<Canned>)>,
    settler: Option<(Keeper, Settler, Arc<Canned>)>,
}

/// A host without queues. Clones share it.
#[derive(Clone)]
struct Kit {
    config: Arc<Config>,
    sandbox: Sandbox,
    catalogs: Arc<Catalogs>,
}

impl Steps {
    /// With a component as the handler, and messages of so many bytes. Nothing else is started
    /// before its step. With a directory for compiled code, the `wasq` binary beside this one
    /// compiles what is not in it.
    ///
    /// # Panics
    /// When the handler was not built, or is none.
    pub fn new(component: &Path, body_bytes: usize, compiled: Option<&Path>) -> Self {
        Self::of(Kit::new(component, compiled), body_bytes)
    }

    /// For another thread, in the same sandbox and with the same plugin.
    pub fn beside(&self) -> Self {
        Self::of(self.kit.clone(), self.message.body.len())
    }

    fn of(kit: Kit, body_bytes: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime can be made");
        let plugin = kit.catalogs.current().plugins().next().expect("the handler was loaded").clone();
        let kind = plugin.manifest.types[0].to_string();
        let mail = Workload { bytes: body_bytes, sleep_ms: 0, types: vec![kind], duplicates: 0, body: None };
        let delivery = runtime.block_on(async { canned::delivery(mail.main(1, 0), 1) });
        let queue = QueueConfig::default();
        let message = decoded(&delivery, &queue);
        Self {
            runtime,
            kit,
            queue,
            delivery,
            message: Arc::new(message),
            plugin,
            claims: 0,
            ledger: None,
            workers: None,
            settler: None,
        }
    }

    /// Does a step for so many messages.
    ///
    /// # Panics
    /// When it does not do what it is for: what is measured must have been done.
    pub fn perform(&mut self, step: Step, messages: u64) {
        match step {
            Step::Decode => (0..messages).for_each(|_| self.decode()),
            Step::Route => (0..messages).for_each(|_| self.route()),
            Step::Key => (0..messages).for_each(|_| self.key()),
            Step::Claim => self.claim(messages),
            Step::Run => self.run(messages),
            Step::Settle => self.settle(messages),
            Step::Whole => self.whole(messages),
        }
    }

    fn decode(&self) {
        let message = decoded(std::hint::black_box(&self.delivery), &self.queue);
        assert_eq!(message.kind, self.message.kind);
    }

    fn route(&self) {
        let catalog = self.kit.catalogs.current();
        assert_eq!(catalog.route(std::hint::black_box(&self.message.kind)).len(), 1);
    }

    fn key(&self) {
        std::hint::black_box(key(&self.plugin, &self.message, &self.message.key));
        std::hint::black_box(BodyDigest::of(&self.message.body));
    }

    fn claim(&mut self, messages: u64) {
        let (_dir, ledger) = self.ledger.get_or_insert_with(|| {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let ledger = LocalLedger::without_ticks(dir.path()).expect("an empty directory can be a ledger");
            (dir, ledger)
        });
        let request = ClaimRequest {
            body: BodyDigest::of(&self.message.body),
            message_id: self.delivery.message_id.clone(),
            lease: Duration::from_secs(60),
            is_redelivery: false,
        };
        let (first, last) = (self.claims, self.claims + messages);
        self.claims = last;
        // As many at a time as a receive brings, one batch after the other: how many batches would
        // share a transaction depends on the machine.
        self.runtime.block_on(async {
            for numbers in (first..last).collect::<Vec<_>>().chunks(BATCH_MAX_ENTRIES) {
                let key = |number: &u64| key(&self.plugin, &self.message, &number.to_string());
                let claims: Vec<_> = numbers.iter().map(|number| (key(number), request.clone())).collect();
                let claimed = ledger.claim_batch(&claims).await;
                let ends = claims.iter().zip(claimed).map(|((key, _), claim)| {
                    let Ok(Claim::Fresh(fresh)) = claim else {
                        panic!("the key is new, and the ledger says {claim:?}")
                    };
                    let done = Finish::Done { result: None, discarded: false, ttl: Duration::from_secs(3_600) };
                    (*key, fresh.fence, done)
                });
                let ended = ledger.finish_batch(ends.collect()).await;
                assert!(ended.iter().all(Result::is_ok), "the claims are ours, and the ledger says {ended:?}");
            }
        });
    }

    fn run(&self, messages: u64) {
        let (ledger, line): (Arc<dyn Ledger>, Arc<Line>) = (Arc::new(NoLedger), Arc::default());
        for _ in 0..messages {
            let job = Job {
                policy: self.plugin.policy.clone(),
                message: self.message.clone(),
                message_id: self.delivery.message_id.clone(),
                sent_at: self.delivery.sent_at,
                started_at: self.delivery.sent_at,
                parking: None,
                groups: None,
                attempt: 1,
                key: Key([1; 32]),
                fence: Fence(1),
                ledger: ledger.clone(),
                destinations: Destinations::default(),
                span: Span::NONE,
                line: line.clone(),
            };
            let report = self.runtime.block_on(self.kit.sandbox.run(&self.plugin.handler, job, ()));
            // Handlers other than the bench's do not know its order.
            assert!(matches!(report.exit, Exit::Done { .. } | Exit::Reject { .. }), "{:?}", report.exit);
        }
    }

    fn settle(&mut self, messages: u64) {
        let _in_the_runtime = self.runtime.enter();
        let (keeper, settler, queue) = self.settler.get_or_insert_with(|| {
            let (queue, meters) = (Arc::new(Canned::new(self.delivery.clone())), Arc::new(QueueMeters::default()));
            let (keeper, _) = Keeper::new(QueueConfig::default().visibility, meters.clone());
            let hidden = Arc::new(HiddenMessages::new(0));
            (keeper, Settler::start(queue.clone(), meters, hidden, 1), queue)
        });
        self.runtime.block_on(async {
            for delivery in queue.make(messages) {
                let lease = keeper.track(&delivery).expect("each message is received once");
                settler.settle(lease, QueueAction::Delete, None, Span::NONE, None).await;
            }
            queue.all_deleted().await;
        });
    }

    fn whole(&mut self, messages: u64) {
        let _in_the_runtime = self.runtime.enter();
        let (_, queue) = self.workers.get_or_insert_with(|| self.kit.begin(&self.delivery));
        self.runtime.block_on(async {
            queue.offer(messages);
            queue.all_deleted().await;
        });
    }
}

impl Kit {
    fn new(component: &Path, compiled: Option<&Path>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = component.file_name().expect("a component is a file");
        std::fs::copy(component, dir.path().join(file)).expect("the handler was built");
        let mut config = Config::parse(CONFIG, Path::new("wasq.toml")).expect("the config is valid");
        if let Some(cache) = compiled {
            let own = std::env::current_exe().expect("a program knows its file");
            config.compiler = Some(own.with_file_name("wasq"));
            config.compile_cache = cache.to_owned();
        }
        let config = Arc::new(config);
        // A tick would come after so many milliseconds, and not after so many instructions.
        let sandbox = Sandbox::without_ticks(&config.limits).expect("an engine can be made");
        let loader = Loader::new(sandbox.clone(), config.clone()).expect("the config is valid");
        let catalogs = Catalogs::new(loader, None);
        let catalog = catalogs.reload(dir.path()).expect("the directory is there");
        assert!(catalog.failures().is_empty(), "{:?}", catalog.failures());
        Self { config, sandbox, catalogs: Arc::new(catalogs) }
    }

    /// Starts a host's own worker, keeper and settler over a queue in memory.
    fn begin(&self, delivery: &Delivery) -> (Workers, Arc<Canned>) {
        let queue = Arc::new(Canned::new(delivery.clone()));
        let ledger: Arc<dyn Ledger> = Arc::new(NoLedger);
        let limits = self.config.limits.clone();
        let services = Services {
            scope: SCOPE.into(),
            clock: Arc::new(SystemClock),
            catalogs: self.catalogs.clone(),
            sandbox: self.sandbox.clone(),
            permits: Permits::new(&limits),
            rates: Rates::of([], &limits),
            fleet_pools: FleetPools::default(),
            set_limits: SetLimits::default(),
            key_limits: KeyLimits::new(&limits),
            quotas: None,
            ledger: ledger.clone(),
            timers: None,
            groups: None,
            schedules: Schedules::default(),
            breakers: Breakers::new(&limits),
            hidden: Arc::new(HiddenMessages::new(limits.hidden_messages)),
            stats: Stats::default(),
            health: Health::default(),
            pauses: Pauses::default(),
            recent: Recent::default(),
            tracing: Tracing::default(),
            ingress: Default::default(),
            queue_names: Default::default(),
            outlets: Arc::default(),
            interrupt: CancellationToken::new(),
            limits,
        };
        let (config, meters) = (QueueConfig::default(), Arc::new(QueueMeters::default()));
        let (keeper, renewals) = Keeper::new(config.visibility, meters.clone());
        tokio::spawn(renewals.run(queue.clone(), ledger));
        let hidden = services.hidden.clone();
        let mut workers = Workers::new(Arc::new(services));
        workers.begin(QueueRuntime {
            s3: None,
            sns: None,
            name: "jobs".into(),
            number: 0,
            keeper,
            settler: Settler::start(queue.clone(), meters.clone(), hidden, config.concurrency.max()),
            meters,
            retention: Retention::default(),
            max_bytes: MaximumMessageSize::default(),
            dlq: queue.clone() as Arc<dyn Queue>,
            dlq_max_bytes: MaximumMessageSize::default(),
            queue: queue.clone(),
            limit: QueueLimit::new(config.concurrency, None),
            fair: None,
            waiting_room: Arc::new(Semaphore::new(1)),
            config,
        });
        (workers, queue)
    }
}

fn key(plugin: &Plugin, message: &Message, own: &str) -> Key {
    let text = plugin.key_text(std::hint::black_box(message));
    std::hint::black_box(text);
    Key::of(SCOPE, &plugin.manifest.name, &message.kind, own)
}

fn decoded(delivery: &Delivery, queue: &QueueConfig) -> Message {
    match decode(delivery, queue) {
        Ok(Decoded::Message(typed)) => typed.message,
        other => panic!("an order is one message with a type: {other:?}"),
    }
}
