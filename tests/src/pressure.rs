//! Pressure, measured. Limits of the fleet: real hosts on one queue with more messages than a rate
//! allows, and an HTTP server that counts their calls. Priority and fairness: [`latency`].
//! `concurrency = "auto"`: [`adaptive`].

mod adaptive;
mod latency;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::extract::State;
use axum::routing::any;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::Instant;
use wasq::config::{AwsConfig, QueueConfig, Rate};
use wasq_core::clock;
use wasq_core::message::AttributeValue;
use wasq_local_sqs::{LocalSqs, Options};
use wasq_queues::sqs::{Sqs, SqsQueue};
use wasq_queues::{BATCH_MAX_ENTRIES, Outgoing, Queue};

use latency::Scenario;

use crate::crash::Store;
use crate::servers::Server;

/// The type of all messages, and the plugin that handles them.
const KIND: &str = "probe";
/// What the rate may be missed by, in percent.
const MISSED_MAX: f64 = 2.0;
/// Before the count begins: hosts start, and find out how many they are.
const WARM_UP: Duration = Duration::from_secs(5);
/// How long nothing may happen.
const STUCK_AFTER: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

/// Measure how exactly real hosts keep to a rate, and whether they exceed a pool; or what a flood
/// does to the latency of others.
///
/// They have more messages than the rate allows. Fails where the calls in the time that is measured
/// differ by more than 2 % from the rate, or more were open at once than the pool has permits.
#[derive(clap::Args)]
pub struct Pressure {
    /// What is measured. `priority`: payments' p99 while analytics floods the host, which may be
    /// 1.2 times what it is alone. `fairness`: tenants' p99 while one sends 100 times as much,
    /// which may be
    /// 1.5 times. `concurrency`: what `concurrency = "auto"` finds before a server that does 16
    /// calls at once, then 4, then 16, `--seconds` each. Only `--seconds`, `--without`, `--wasq`
    /// and for the last `--series` count for these.
    #[arg(long, value_enum, default_value_t)]
    measure: Measure,
    /// Measures the same without priorities, without `fair_by`, or with the default concurrency.
    #[arg(long)]
    without: bool,
    /// Hosts at once. The local ledger allows one.
    #[arg(long, default_value_t = 1)]
    hosts: usize,
    /// Where they keep their ledger; a server is started for it.
    #[arg(long, default_value = "local")]
    store: Store,
    #[arg(long, default_value = "100/s", value_parser = rate)]
    rate: Rate,
    #[arg(long, default_value_t = 1)]
    burst: u32,
    /// Permits of a pool of the fleet that the handlers share. 0 is no pool.
    #[arg(long, default_value_t = 0)]
    pool: usize,
    /// How long each call takes.
    #[arg(long, default_value_t = 5)]
    call_ms: u64,
    /// How long is measured.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Kills (-9) half of the hosts in the middle. Then the rate may be missed.
    #[arg(long)]
    kill: bool,
    /// Writes what was seen over the time into this file, as lines of JSON.
    #[arg(long)]
    series: Option<PathBuf>,
    /// The `wasq` binary. Default: the one beside this.
    #[arg(long)]
    wasq: Option<PathBuf>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Measure {
    #[default]
    Rate,
    Priority,
    Fairness,
    Concurrency,
}

fn rate(text: &str) -> Result<Rate, String> {
    text.parse()
}

/// What the handlers called.
#[derive(Default)]
struct Calls {
    at: Mutex<Vec<Instant>>,
    open: AtomicUsize,
    most_open: AtomicUsize,
    takes: Duration,
}

impl Pressure {
    pub fn run(self) -> Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let scenario = match self.measure {
            Measure::Rate => return runtime.block_on(self.measure()),
            Measure::Priority => Scenario::priority(!self.without),
            Measure::Fairness => Scenario::fairness(!self.without),
            Measure::Concurrency => {
                let fixed = self.without.then_some(QueueConfig::default().concurrency.max());
                let (wasq, series) = (self.wasq()?, self.series.as_deref());
                return runtime.block_on(adaptive::measure(&wasq, self.seconds, fixed, series));
            }
        };
        runtime.block_on(scenario.measure(&self.wasq()?, self.seconds, !self.without))
    }

    fn wasq(&self) -> Result<PathBuf> {
        match &self.wasq {
            Some(path) => Ok(path.clone()),
            None => Ok(std::env::current_exe()?.with_file_name("wasq")),
        }
    }

    async fn measure(self) -> Result<ExitCode> {
        ensure!(self.store != Store::Local || self.hosts == 1, "a local ledger has one host; leave --hosts at 1");
        let dir = tempfile::tempdir()?;
        let calls = Arc::new(Calls { takes: Duration::from_millis(self.call_ms), ..Calls::default() });
        let sink = serve(calls.clone()).await?;
        let sqs = LocalSqs::start(Options::new(dir.path().join("sqs")).port(0)).await?;
        let queue = open(&sqs).await?;
        let server = self.store.start()?;
        let config = self.install(dir.path(), &sqs, server.as_ref(), sink)?;
        let per_s = self.rate.per_second();
        // Half as much again as can be handled in all.
        let count = (per_s * 1.5 * (WARM_UP.as_secs() + self.seconds + 2) as f64).ceil() as usize;
        send(&queue, sink, count).await?;
        let wasq = self.wasq()?;
        let mut hosts =
            (0..self.hosts).map(|n| spawn(&wasq, &config, &log(dir.path(), n))).collect::<Result<Vec<_>>>()?;

        let started = clock::now();
        while calls.at.lock().is_empty() {
            ensure!(started.elapsed() < STUCK_AFTER, "no call comes for {STUCK_AFTER:?}");
            tokio::time::sleep(LOOK).await;
        }
        tokio::time::sleep(WARM_UP).await;
        let from = clock::now();
        let half = Duration::from_secs(self.seconds) / 2;
        tokio::time::sleep(half).await;
        if self.kill {
            for mut host in hosts.drain(..self.hosts / 2) {
                host.kill().await?;
            }
        }
        tokio::time::sleep(half).await;
        let until = from + half * 2;
        // What was started in time has come by then.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let report = self.report(&calls, from, until);
        if let Some(path) = &self.series {
            self.keep(&calls, from, path)?;
        }
        for n in self.hosts - hosts.len()..self.hosts {
            println!("host {n}: {}", rate_in_words(&limits(&log(dir.path(), n)).await?));
        }
        for mut host in hosts {
            host.kill().await?;
        }
        sqs.shutdown().await;
        Ok(report)
    }

    fn report(&self, calls: &Calls, from: Instant, until: Instant) -> ExitCode {
        let at = calls.at.lock();
        let within = |from: Instant, until: Instant| at.iter().filter(|at| (from..until).contains(*at)).count();
        let count = within(from, until);
        let expected = self.rate.per_second() * self.seconds as f64;
        let missed = (count as f64 / expected - 1.0) * 100.0;
        let second = Duration::from_secs(1);
        let most = at.iter().filter(|at| (from..until).contains(*at)).map(|at| within(*at, *at + second)).max();
        let each: Vec<_> = (0..self.seconds)
            .map(|n| within(from + second * n as u32, from + second * (n as u32 + 1)).to_string())
            .collect();
        let most_open = calls.most_open.load(Ordering::Relaxed);
        let rows: BTreeMap<&str, String> = [
            ("1 hosts, ledger", format!("{}, {:?}", self.hosts, self.store).to_lowercase()),
            ("2 rate, burst", format!("{}, {}", self.rate, self.burst)),
            ("3 calls in the time, expected", format!("{count}, {expected}: {missed:+.2} %")),
            ("4 calls in each second", each.join(" ")),
            ("5 most calls in any second", most.unwrap_or_default().to_string()),
            ("6 most calls open at once, pool", format!("{most_open}, {}", self.pool)),
        ]
        .into();
        for (name, value) in rows {
            println!("{:<34} {value}", &name[2..]);
        }
        let is_held = if self.kill { missed <= MISSED_MAX } else { missed.abs() <= MISSED_MAX };
        let is_within = self.pool == 0 || most_open <= self.pool;
        match (is_held, is_within) {
            (true, true) => return ExitCode::SUCCESS,
            (false, _) => println!("BROKEN: the rate is missed by {missed:.2} %"),
            (true, false) => println!("BROKEN: the pool is exceeded"),
        }
        ExitCode::FAILURE
    }

    /// Keeps the calls of each second, as lines of JSON.
    fn keep(&self, calls: &Calls, from: Instant, path: &Path) -> Result<()> {
        let (at, second) = (calls.at.lock(), Duration::from_secs(1));
        let of_second = |n: u64| {
            let began = from + second * n as u32;
            at.iter().filter(|at| (began..began + second).contains(*at)).count()
        };
        let lines = (0..self.seconds).map(|n| format!("{}\n", json!({ "at_s": n + 1, "calls": of_second(n) })));
        std::fs::write(path, lines.collect::<String>()).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Writes the plugin, and the config that all hosts have.
    fn install(&self, dir: &Path, sqs: &LocalSqs, server: Option<&Server>, sink: SocketAddr) -> Result<PathBuf> {
        let pools = if self.pool > 0 { "pools = ['db']\n" } else { "" };
        let manifest = format!(
            "name = '{KIND}'\ntypes = ['{KIND}']\ntimeout = '10s'\nqueues = ['self']\nallowed_outbound_hosts = ['http://{sink}']\n\
             rates = ['partner']\n{pools}"
        );
        let ledger = self.store.ledger_config(server.map(Server::url).as_deref(), dir);
        let pools = match self.pool {
            0 => String::new(),
            size => format!("[pools.db]\nsize = {size}\nscope = 'fleet'\n"),
        };
        let config = format!(
            "plugins_dir = '{dir}/plugins'\ncompile_cache = '{dir}/cache'\ngrant_all = true\ndrain_s = 5\n\
             aws = {{ endpoint_url = '{endpoint}', region = 'eu-central-1' }}\nledger = {{ {ledger} }}\n\
             admin = {{ listen = '127.0.0.1:0' }}\negress = {{ open_hosts = ['{sink}'] }}\nlimits = {{ max_instances = 64 }}\n\
             [queues.jobs]\ndlq = 'jobs-dlq'\nvisibility = '10s'\nwait = '1s'\n\
             [rates.partner]\nlimit = '{rate}'\nburst = {burst}\n{pools}",
            dir = dir.display(),
            endpoint = sqs.endpoint_url(),
            rate = self.rate,
            burst = self.burst,
        );
        write(dir, &manifest, &config)
    }
}

/// Makes the queue and its DLQ.
async fn open(sqs: &LocalSqs) -> Result<SqsQueue> {
    let endpoint_url = Some(sqs.endpoint_url());
    let aws = AwsConfig { endpoint_url, region: Some("eu-central-1".into()), ..AwsConfig::default() };
    let client = Sqs::connect(&aws).await;
    for name in ["jobs", "jobs-dlq"] {
        sqs.create_queue(name).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    }
    Ok(client.queue("jobs").await?)
}

/// Writes the plugin with its manifest, and the config. The answer is where the config is.
fn write(dir: &Path, manifest: &str, config: &str) -> Result<PathBuf> {
    let plugins = dir.join("plugins");
    std::fs::create_dir(&plugins)?;
    std::fs::copy(crate::guest("probe"), plugins.join("probe.wasm"))?;
    std::fs::write(plugins.join("probe.toml"), manifest)?;
    let path = dir.join("wasq.toml");
    std::fs::write(&path, config)?;
    Ok(path)
}

async fn send(queue: &SqsQueue, sink: SocketAddr, count: usize) -> Result<()> {
    let body = json!({ "do": "ask", "url": format!("http://{sink}/call") }).to_string();
    let attributes = [("type".to_owned(), AttributeValue::string(KIND))];
    let message =
        Outgoing { body: body.into(), attributes: attributes.into(), delay_s: 0, group: None, deduplication_id: None };
    let messages = vec![message; count];
    for batch in messages.chunks(BATCH_MAX_ENTRIES) {
        for answer in queue.send(batch).await {
            answer.context("cannot send")?;
        }
    }
    Ok(())
}

fn log(dir: &Path, host: usize) -> PathBuf {
    dir.join(format!("host-{host}.log"))
}

/// What a host says of its rate.
fn rate_in_words(limits: &Value) -> String {
    let rate = &limits["rates"][0];
    ["started", "waiting", "hidden", "lost", "hosts"].map(|name| format!("{name} {}", rate[name])).join(", ")
}

/// What a host says of its limits, by its admin port, which its log names.
async fn limits(log: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(log)?;
    let addr = text.split("admin=").nth(1).and_then(|rest| rest.split_whitespace().next()).context("it has begun")?;
    let mut stream = tokio::net::TcpStream::connect(addr).await?;
    let request = format!("GET /limits HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(serde_json::from_str(answer.split("\r\n\r\n").nth(1).context("it has a body")?)?)
}

fn spawn(wasq: &Path, config: &Path, log: &Path) -> Result<Child> {
    let log = std::fs::File::create(log)?;
    let mut command = Command::new(wasq);
    command.arg("run").arg("--config").arg(config);
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("WASQ_LOG", "warn,wasq::cli=info").env("NO_COLOR", "1");
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
    command.spawn().with_context(|| format!("cannot run {}; build it, or name it with --wasq", wasq.display()))
}

/// A server that notes when each call comes.
async fn serve(calls: Arc<Calls>) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let router = Router::new().route("/{*name}", any(note)).with_state(calls);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            eprintln!("the server that counts has ended: {error}");
        }
    });
    Ok(addr)
}

async fn note(State(calls): State<Arc<Calls>>) -> String {
    calls.at.lock().push(clock::now());
    let open = calls.open.fetch_add(1, Ordering::Relaxed) + 1;
    calls.most_open.fetch_max(open, Ordering::Relaxed);
    tokio::time::sleep(calls.takes).await;
    calls.open.fetch_sub(1, Ordering::Relaxed);
    json!({ "do": "done" }).to_string()
}
