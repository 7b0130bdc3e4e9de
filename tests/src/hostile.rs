//! Hostile guests, thousands of runs of them in one process: what stays in its memory, whether
//! anything in the host panics, and how long a guest outlives its timeout.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use fastrand::Rng;
use tokio::task::JoinSet;
use wasq::admission::permits::Permits;
use wasq::config::Config;
use wasq::exit::Exit;
use wasq::plugins::{Loader, Plugin};
use wasq::sandbox::{Destinations, Job, RunReport, Sandbox};
use wasq::telemetry::spans::Span;
use wasq_bench::no_ledger::NoLedger;
use wasq_core::clock;
use wasq_core::message::{Attributes, Key, KeySource, Message, MessageId, MessageType, UnixMs};
use wasq_ledgers::Fence;

/// How much the host's resident memory may grow.
const GROWTH_MAX: f64 = 1.05;
/// Two ticks of the engine's epoch, and 50 ms: what a guest may outlive its timeout by.
const OUTLIVES_MAX: Duration = Duration::from_millis(2 * 10 + 50);
/// Runs at once.
const AT_ONCE: usize = 8;
/// Guests that compute for ever are measured one by one, so that they wait for no other's turn.
const MEASURED: usize = 100;

/// Run hostile guests in one process; say how its resident memory grew, and how long guests
/// outlived their timeouts.
///
/// Exits with 1 if memory grew by more than 5 % after the warm-up, if the host panicked, or if a
/// guest was there 70 ms after its timeout.
#[derive(clap::Args)]
pub struct Hostile {
    /// How many runs, after as many as a fifth of them to warm up.
    #[arg(long, default_value_t = 10_000)]
    pub runs: usize,
    /// The order of the guests follows from it.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// What came of the runs.
#[derive(Debug)]
pub struct Outcome {
    pub runs: usize,
    /// How the runs ended, by class.
    pub classes: BTreeMap<&'static str, usize>,
    /// Guests that were not even loaded.
    pub refused: Vec<String>,
    pub panics: usize,
    pub rss_before_kib: u64,
    pub rss_after_kib: u64,
    pub elapsed: Duration,
}

/// A guest in tests/guests/hostile.
pub struct Guest {
    pub name: String,
    pub component: Vec<u8>,
}

/// All hostile guests, compiled to components, by name.
///
/// # Panics
/// When one of them has not been built, or is no WebAssembly text.
pub fn guests() -> Vec<Guest> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/hostile");
    let entries = dir.read_dir().unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable directory").path()).collect();
    paths.sort();
    paths.iter().map(|path| guest(path)).collect()
}

fn guest(path: &Path) -> Guest {
    let name = path.file_stem().expect("a file of a directory has a name").to_string_lossy().into_owned();
    let read = |path: &Path| std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let component = match path.extension().and_then(|extension| extension.to_str()) {
        Some("wat") => crate::wat::handler_file(&String::from_utf8(read(path)).expect("the text format is UTF-8")),
        Some("rs") => read(&crate::guest(&name)),
        other => panic!("{}: a guest is a .rs or a .wat, not {other:?}", path.display()),
    };
    Guest { name, component }
}

/// A sandbox and plugins, without queues and without a ledger that keeps anything.
pub struct Bench {
    pub sandbox: Sandbox,
    pub permits: Permits,
    loader: Loader,
    dir: tempfile::TempDir,
}

impl Bench {
    /// # Errors
    /// When the engine cannot be made.
    pub fn new(max_instances: usize) -> Result<Self> {
        let text = format!("grant_all = true\n[limits]\nmax_instances = {max_instances}\n[queues.jobs]\n");
        let config = Config::parse(&text, Path::new("wasq.toml"))?;
        let (sandbox, permits) = (Sandbox::new(&config.limits)?, Permits::new(&config.limits));
        let loader = Loader::new(sandbox.clone(), Arc::new(config))?;
        Ok(Self { sandbox, permits, loader, dir: tempfile::tempdir()? })
    }

    /// # Errors
    /// When the component is refused.
    pub fn load(&self, name: &str, component: &[u8], timeout: Duration) -> Result<Plugin> {
        let path = self.dir.path().join(format!("{name}.wasm"));
        std::fs::write(&path, component)?;
        let manifest = format!(
            "name = '{name}'\ntypes = ['{name}']\nmemory = '64MiB'\ntimeout = '{}ms'\nqueues = ['self']\n\
                 allowed_outbound_hosts = ['http://127.0.0.1:80']\n",
            timeout.as_millis()
        );
        std::fs::write(path.with_extension("toml"), manifest)?;
        Ok(self.loader.load(&path)?)
    }

    /// One run, as soon as the plugin may have one, with an order that the probe understands.
    pub async fn run(&self, plugin: &Plugin) -> RunReport {
        let message = Message {
            kind: MessageType(plugin.manifest.types[0].to_string()),
            body: Bytes::from_static(br#"{"do":"done"}"#),
            content_type: "application/json".into(),
            key: "k".into(),
            key_source: KeySource::MessageId,
            traceparent: None,
            attributes: Attributes::new(),
        };
        let job = Job {
            policy: plugin.policy.clone(),
            message_id: MessageId("m".into()),
            sent_at: UnixMs(0),
            started_at: UnixMs(0),
            parking: None,
            groups: None,
            attempt: 1,
            key: Key::of("hostile", &plugin.manifest.name, &MessageType("t".into()), "k"),
            fence: Fence(1),
            ledger: Arc::new(NoLedger),
            destinations: Destinations::default(),
            span: Span::NONE,
            line: Arc::default(),
            message: Arc::new(message),
        };
        self.sandbox.run(&plugin.handler, job, self.permits.acquire(plugin).await).await
    }
}

/// Runs all guests in a drawn order, `runs` times in all, and as a warm-up before.
///
/// # Errors
/// When the engine cannot be made.
pub async fn run(runs: usize, seed: u64) -> Result<Outcome> {
    let bench = Arc::new(Bench::new(AT_ONCE)?);
    let (mut plugins, mut refused) = (Vec::new(), Vec::new());
    for guest in guests() {
        match bench.load(&guest.name, &guest.component, Duration::from_millis(50)) {
            Ok(plugin) => plugins.push(Arc::new(plugin)),
            Err(error) => refused.push(format!("{error:#}")),
        }
    }
    let mut rng = Rng::with_seed(seed);
    let mut outcome = Outcome {
        runs,
        classes: BTreeMap::new(),
        refused,
        panics: 0,
        rss_before_kib: 0,
        rss_after_kib: 0,
        elapsed: Duration::ZERO,
    };
    // Each guest has been in each slot, mostly.
    round(&bench, &plugins, (runs / 5).max(plugins.len() * AT_ONCE), &mut rng, &mut outcome).await;
    outcome.classes.clear();
    outcome.rss_before_kib = rss_kib()?;
    let began = clock::now();
    round(&bench, &plugins, runs, &mut rng, &mut outcome).await;
    outcome.elapsed = began.elapsed();
    outcome.rss_after_kib = rss_kib()?;
    Ok(outcome)
}

async fn round(bench: &Arc<Bench>, plugins: &[Arc<Plugin>], runs: usize, rng: &mut Rng, outcome: &mut Outcome) {
    let (mut running, mut order) = (JoinSet::new(), Vec::new());
    for started in 0..runs {
        if started % plugins.len() == 0 {
            order = (0..plugins.len()).collect();
            rng.shuffle(&mut order);
        }
        let (bench, plugin) = (bench.clone(), plugins[order[started % plugins.len()]].clone());
        running.spawn(async move { bench.run(&plugin).await.exit.class() });
        if running.len() == AT_ONCE {
            outcome.ended(running.join_next().await);
        }
    }
    while let Some(ended) = running.join_next().await {
        outcome.ended(Some(ended));
    }
}

impl Outcome {
    /// How many times as much memory there is after the runs.
    pub fn growth(&self) -> f64 {
        self.rss_after_kib as f64 / self.rss_before_kib as f64
    }

    fn ended(&mut self, ended: Option<Result<&'static str, tokio::task::JoinError>>) {
        match ended {
            Some(Ok(class)) => *self.classes.entry(class).or_default() += 1,
            Some(Err(_)) => self.panics += 1,
            None => {}
        }
    }
}

/// By how much guests that compute, sleep and ask for random bytes for ever outlived their
/// timeouts; sorted.
///
/// # Errors
/// When a guest cannot be loaded, or ends by itself.
pub async fn outlived(runs: usize) -> Result<Vec<Duration>> {
    let bench = Bench::new(AT_ONCE)?;
    let timeout = Duration::from_millis(40);
    let mut plugins = Vec::new();
    for guest in guests() {
        if ["loop", "start_loop", "looping_realloc", "random_flood", "sleep"].contains(&guest.name.as_str()) {
            plugins.push(bench.load(&guest.name, &guest.component, timeout)?);
        }
    }
    let mut outlived = Vec::new();
    for n in 0..runs {
        let plugin = &plugins[n % plugins.len()];
        let report = bench.run(plugin).await;
        ensure!(report.exit == Exit::Timeout { limit: timeout }, "{} ended as {:?}", plugin.manifest.name, report.exit);
        outlived.push(report.usage.elapsed.saturating_sub(timeout));
    }
    outlived.sort();
    Ok(outlived)
}

/// The duration that so much of the sorted ones are at most.
pub fn quantile(sorted: &[Duration], part: f64) -> Duration {
    sorted[((sorted.len() as f64 * part) as usize).min(sorted.len() - 1)]
}

impl Hostile {
    /// # Errors
    /// When it cannot be run at all.
    pub fn run(self) -> Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let outlived = runtime.block_on(async { tokio::spawn(outlived(MEASURED)).await })??;
        let outcome = runtime.block_on(run(self.runs, self.seed))?;
        for refused in &outcome.refused {
            println!("not loaded: {refused}");
        }
        let classes: Vec<_> = outcome.classes.iter().map(|(class, runs)| format!("{class} {runs}")).collect();
        let ms = |part| quantile(&outlived, part).as_secs_f64() * 1_000.0;
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let rows = [
            ("runs", outcome.runs.to_string()),
            ("exits", classes.join(", ")),
            ("panics", outcome.panics.to_string()),
            ("resident before, after", format!("{} KiB, {} KiB", outcome.rss_before_kib, outcome.rss_after_kib)),
            ("growth", format!("{:.3} (at most {GROWTH_MAX})", outcome.growth())),
            ("outlived its timeout: p50, p99, most", format!("{:.1}, {:.1}, {:.1} ms", ms(0.5), ms(0.99), ms(1.0))),
            ("time", format!("{:.0} s", outcome.elapsed.as_secs_f64())),
            ("load", load.split(' ').take(3).collect::<Vec<_>>().join(" ")),
        ];
        println!("{}", rows.map(|(name, value)| format!("| {name} | {value} |")).join("\n"));
        let within = outcome.panics == 0 && outcome.growth() <= GROWTH_MAX && quantile(&outlived, 0.99) <= OUTLIVES_MAX;
        Ok(if within { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// This process' resident memory.
fn rss_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("/proc/self/status has VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
