//! Latency under pressure, measured: what messages take alone, and what they take while others send
//! far more than the host can do. The others are another queue's, or another tenant's.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::routing::any;
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wasq::config::AwsConfig;
use wasq_core::clock;
use wasq_core::message::AttributeValue;
use wasq_local_sqs::{LocalSqs, Options};
use wasq_queues::sqs::{Sqs, SqsQueue};
use wasq_queues::{Outgoing, Queue};

use super::{KIND, STUCK_AFTER};

/// How long a call of a handler takes.
const CALL: Duration = Duration::from_millis(100);
/// Runs at once on the host. So it does 160 messages a second.
const RUNS: usize = 16;
/// How long the others send before the time that is measured.
const AHEAD: Duration = Duration::from_secs(3);
/// From one look at what has been answered to the next.
const LOOK: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);

/// What is measured.
pub struct Scenario {
    name: &'static str,
    /// Queues, and what the config says of each.
    queues: &'static [(&'static str, &'static str)],
    max_instances: usize,
    quiet: Vec<Stream>,
    noisy: Stream,
    /// How much longer the quiet ones' p99 may be.
    ratio_max: f64,
}

/// Messages of one tenant to one queue.
#[derive(Clone)]
struct Stream {
    queue: &'static str,
    tenant: String,
    per_s: u32,
    /// Messages of one send.
    batch: usize,
}

/// When calls have ended, by message.
#[derive(Default)]
struct Ended(Mutex<HashMap<String, Instant>>);

impl Scenario {
    /// Payments, while analytics has a backlog that grows.
    pub fn priority(is_on: bool) -> Self {
        let payments = Stream { queue: "payments", tenant: "p".into(), per_s: 20, batch: 1 };
        let analytics = Stream { queue: "analytics", tenant: "a".into(), per_s: 300, batch: 10 };
        let queues: &[_] = match is_on {
            true => &[("payments", "priority = 10\nmin_share = 0.25"), ("analytics", "")],
            false => &[("payments", ""), ("analytics", "")],
        };
        Self { name: "priority", queues, max_instances: RUNS, quiet: vec![payments], noisy: analytics, ratio_max: 1.2 }
    }

    /// Five tenants, while one more sends 100 times as much as each, and more than the host can do.
    pub fn fairness(is_on: bool) -> Self {
        let tenant = |n| Stream { queue: "jobs", tenant: format!("tenant-{n}"), per_s: 2, batch: 1 };
        let noisy = Stream { queue: "jobs", tenant: "noisy".into(), per_s: 200, batch: 10 };
        let queues: &[_] = match is_on {
            true => &[("jobs", "concurrency = 16\nfair_by = '{/tenant}'")],
            false => &[("jobs", "concurrency = 16")],
        };
        let quiet = (0..5).map(tenant).collect();
        Self { name: "fairness", queues, max_instances: 64, quiet, noisy, ratio_max: 1.5 }
    }

    /// Measures, with a host of this binary; `seconds` each.
    pub async fn measure(self, wasq: &Path, seconds: u64, must_hold: bool) -> Result<ExitCode> {
        let dir = tempfile::tempdir()?;
        let ended = Arc::new(Ended::default());
        let sink = serve(ended.clone()).await?;
        let sqs = LocalSqs::start(Options::new(dir.path().join("sqs")).port(0)).await?;
        let mut queues = HashMap::new();
        let aws = AwsConfig {
            endpoint_url: Some(sqs.endpoint_url()),
            region: Some("eu-central-1".into()),
            ..AwsConfig::default()
        };
        let client = Sqs::connect(&aws).await;
        for (name, _) in self.queues {
            for name in [(*name).to_owned(), format!("{name}-dlq")] {
                sqs.create_queue(&name).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
            }
            queues.insert(*name, Arc::new(client.queue(name).await?));
        }
        let config = self.install(dir.path(), &sqs, sink)?;
        let log = dir.path().join("host.log");
        let mut host = super::spawn(wasq, &config, &log)?;
        let producer = Producer { queues, sink, ended };

        let warm = producer.run("warm", &self.quiet, Duration::from_secs(3)).await?;
        producer.all_ended(&warm).await.with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
        let time = SECOND * seconds as u32;
        let alone = producer.run("alone", &self.quiet, time).await?;
        let alone = producer.all_ended(&alone).await?;
        let (noisy, flood) =
            tokio::try_join!(producer.run("noisy", std::slice::from_ref(&self.noisy), AHEAD + time), async {
                tokio::time::sleep(AHEAD).await;
                let sent = producer.run("flood", &self.quiet, time).await?;
                producer.all_ended(&sent).await
            })?;
        let done = noisy.keys().filter(|name| producer.ended.0.lock().contains_key(*name)).count();
        host.kill().await?;
        sqs.shutdown().await;

        let ratio = percentile(&flood, 99).as_secs_f64() / percentile(&alone, 99).as_secs_f64();
        let line = |latencies: &[Duration]| {
            let [p50, p99] = [50, 99].map(|percent| percentile(latencies, percent).as_secs_f64() * 1_000.0);
            format!("{p50:.0} ms, {p99:.0} ms of {} messages", latencies.len())
        };
        println!("{:<34} {}", "measured", self.name);
        println!("{:<34} {}", "p50, p99 alone", line(&alone));
        println!("{:<34} {}", "p50, p99 while others flood", line(&flood));
        println!("{:<34} {ratio:.2} times, of at most {}", "p99", self.ratio_max);
        println!("{:<34} {}, {done} of them done", "messages of the others", noisy.len());
        if must_hold && ratio > self.ratio_max {
            println!("BROKEN: the others' flood makes the p99 {ratio:.2} times as long");
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn install(&self, dir: &Path, sqs: &LocalSqs, sink: SocketAddr) -> Result<std::path::PathBuf> {
        let plugins = dir.join("plugins");
        std::fs::create_dir(&plugins)?;
        std::fs::copy(crate::guest("probe"), plugins.join("probe.wasm"))?;
        let manifest = format!(
            "name = '{KIND}'\ntypes = ['{KIND}']\ntimeout = '10s'\npriority = 'high'\nqueues = ['self']\n\
             allowed_outbound_hosts = ['http://{sink}']\n"
        );
        std::fs::write(plugins.join("probe.toml"), manifest)?;
        let queues = self.queues.iter().map(|(name, lines)| {
            format!("[queues.{name}]\ndlq = '{name}-dlq'\nvisibility = '60s'\nwait = '5s'\n{lines}\n")
        });
        let config = format!(
            "plugins_dir = '{dir}/plugins'\ncompile_cache = '{dir}/cache'\ngrant_all = true\n\
             aws = {{ endpoint_url = '{endpoint}', region = 'eu-central-1' }}\n\
             ledger = {{ store = 'local', path = '{dir}/ledger' }}\nadmin = {{ listen = '127.0.0.1:0' }}\n\
             egress = {{ open_hosts = ['{sink}'] }}\nlimits = {{ max_instances = {max}, permit_wait = '60s' }}\n{queues}",
            dir = dir.display(),
            endpoint = sqs.endpoint_url(),
            max = self.max_instances,
            queues = queues.collect::<String>(),
        );
        let path = dir.join("wasq.toml");
        std::fs::write(&path, config)?;
        Ok(path)
    }
}

/// Who sends, and who waits for the ends.
struct Producer {
    queues: HashMap<&'static str, Arc<SqsQueue>>,
    sink: SocketAddr,
    ended: Arc<Ended>,
}

impl Producer {
    /// Sends what these tenants send in that time, evenly spaced. The answer is each message with
    /// when it was sent.
    async fn run(&self, run: &'static str, streams: &[Stream], time: Duration) -> Result<HashMap<String, Instant>> {
        let mut sending = JoinSet::new();
        for (n, stream) in streams.iter().cloned().enumerate() {
            let queue = self.queues[stream.queue].clone();
            let (every, sink) = (SECOND * stream.batch as u32 / stream.per_s, self.sink);
            // The tenants do not send all at once.
            let first = clock::now() + every / streams.len() as u32 * n as u32;
            let sends = (time.as_secs_f64() / every.as_secs_f64()) as u32;
            sending.spawn(async move {
                let mut sent = HashMap::new();
                for send in 0..sends {
                    tokio::time::sleep_until(first + every * send).await;
                    let names: Vec<_> =
                        (0..stream.batch).map(|n| format!("{run}-{}-{send}-{n}", stream.tenant)).collect();
                    let batch: Vec<_> = names.iter().map(|name| message(sink, name, &stream.tenant)).collect();
                    let now = clock::now();
                    for answer in queue.send(&batch).await {
                        answer.context("cannot send")?;
                    }
                    sent.extend(names.into_iter().map(|name| (name, now)));
                }
                anyhow::Ok(sent)
            });
        }
        let mut all = HashMap::new();
        while let Some(sent) = sending.join_next().await {
            all.extend(sent??);
        }
        Ok(all)
    }

    /// What the messages have taken that have ended.
    fn latencies(&self, sent: &HashMap<String, Instant>) -> Vec<Duration> {
        let ended = self.ended.0.lock();
        let took = |(name, sent): (&String, &Instant)| Some(ended.get(name)?.saturating_duration_since(*sent));
        sent.iter().filter_map(took).collect()
    }

    /// What each message has taken, from its send to the end of its handler's call.
    async fn all_ended(&self, sent: &HashMap<String, Instant>) -> Result<Vec<Duration>> {
        let from = clock::now();
        loop {
            let mut latencies = self.latencies(sent);
            if latencies.len() == sent.len() {
                latencies.sort();
                return Ok(latencies);
            }
            let missing = sent.len() - latencies.len();
            ensure!(from.elapsed() < STUCK_AFTER, "{missing} messages are not done after {STUCK_AFTER:?}");
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn message(sink: SocketAddr, name: &str, tenant: &str) -> Outgoing {
    let body = json!({ "do": "ask", "url": format!("http://{sink}/call/{name}"), "tenant": tenant }).to_string();
    let attributes = [("type".to_owned(), AttributeValue::string(KIND))];
    Outgoing { body: body.into(), attributes: attributes.into(), delay_s: 0, group: None, deduplication_id: None }
}

/// The latency that so many percent of the messages do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// A server whose calls take a while, and that notes when each ends.
async fn serve(ended: Arc<Ended>) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let router = Router::new().route("/call/{name}", any(note)).with_state(ended);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            eprintln!("the server that is called has ended: {error}");
        }
    });
    Ok(addr)
}

async fn note(State(ended): State<Arc<Ended>>, UrlPath(name): UrlPath<String>) -> String {
    tokio::time::sleep(CALL).await;
    ended.0.lock().entry(name).or_insert_with(clock::now);
    json!({ "do": "done" }).to_string()
}
