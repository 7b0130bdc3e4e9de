//! `concurrency = "auto"`, measured: a host with a backlog before a server that does so many calls
//! at once, then fewer, then as many as at first.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::extract::State;
use axum::routing::any;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use wasq_core::clock;
use wasq_local_sqs::{LocalSqs, Options};

use super::{KIND, STUCK_AFTER};

/// What the server does at once in each third of the time, and how long a call takes.
const SERVERS: [usize; 3] = [16, 4, 16];
const CALL: Duration = Duration::from_millis(50);
/// How often the limit is read.
const LOOK: Duration = Duration::from_millis(250);
/// The part of a third in which the limit finds its place.
const SETTLING: f64 = 0.5;
/// What has to hold after that: the limit is at least what the server does at once, and at most so
/// many times that and a few; and the server does at least this part of what it can.
const LIMIT_MAX: f64 = 3.0;
const A_FEW: f64 = 4.0;
const DONE_MIN: f64 = 0.9;

/// A server with a line before it.
#[derive(Default)]
struct Called {
    servers: Mutex<Option<Arc<Semaphore>>>,
    done: AtomicUsize,
    /// What a call has taken, the line before it included.
    took: Mutex<Vec<Duration>>,
    is_over: AtomicBool,
}

/// One look at the host and the server.
struct Look {
    at: Duration,
    limit: f64,
    done: usize,
    p50: Option<Duration>,
}

/// Measures `seconds` for each third, with a host of this binary. `fixed` is a concurrency to
/// compare with.
pub async fn measure(wasq: &Path, seconds: u64, fixed: Option<usize>, series: Option<&Path>) -> Result<ExitCode> {
    let dir = tempfile::tempdir()?;
    let called = Arc::new(Called::default());
    let sink = serve(called.clone()).await?;
    let sqs = LocalSqs::start(Options::new(dir.path().join("sqs")).port(0)).await?;
    let queue = super::open(&sqs).await?;
    let concurrency = fixed.map_or_else(|| "{ min = 2, max = 256 }".to_owned(), |limit| limit.to_string());
    let config = install(dir.path(), &sqs, sink, &concurrency)?;
    let possible = |servers: usize| servers as f64 / CALL.as_secs_f64();
    let backlog = SERVERS.iter().map(|servers| possible(*servers)).sum::<f64>() * seconds as f64 * 1.1;
    called.serve(SERVERS[0]);
    super::send(&queue, sink, backlog as usize).await?;
    let log = super::log(dir.path(), 0);
    let mut host = super::spawn(wasq, &config, &log)?;
    let began = clock::now();
    while called.done.load(Ordering::Relaxed) == 0 {
        ensure!(began.elapsed() < STUCK_AFTER, "no call comes for {STUCK_AFTER:?}");
        tokio::time::sleep(LOOK).await;
    }

    let began = clock::now();
    let mut looks = Vec::new();
    let third = Duration::from_secs(seconds);
    for (n, servers) in SERVERS.into_iter().enumerate() {
        called.serve(servers);
        let until = began + third * (n as u32 + 1);
        while clock::now() < until {
            tokio::time::sleep(LOOK).await;
            looks.push(look(&called, &log, began, fixed).await?);
        }
    }
    called.is_over.store(true, Ordering::Relaxed);
    host.kill().await?;
    sqs.shutdown().await;
    if let Some(path) = series {
        keep(path, &looks)?;
    }
    Ok(report(&looks, seconds, fixed.is_some()))
}

fn report(looks: &[Look], seconds: u64, is_fixed: bool) -> ExitCode {
    let mut is_held = true;
    println!("{:<10} {:>8} {:>10} {:>14} {:>10}", "third", "servers", "limit", "done, of what", "p50");
    for (n, servers) in SERVERS.into_iter().enumerate() {
        let third = looks.iter().filter(|look| look.at.as_secs_f64() / seconds as f64 >= n as f64 + SETTLING);
        let third: Vec<_> = third.filter(|look| look.at <= Duration::from_secs(seconds * (n as u64 + 1))).collect();
        let [Some(first), Some(last)] = [third.first(), third.last()] else { continue };
        let possible = servers as f64 / CALL.as_secs_f64() * (last.at - first.at).as_secs_f64();
        let share = (last.done - first.done) as f64 / possible;
        let mut limits: Vec<_> = third.iter().map(|look| look.limit).collect();
        limits.sort_by(f64::total_cmp);
        let limit = limits[limits.len() / 2];
        let mut times: Vec<_> = third.iter().filter_map(|look| look.p50).collect();
        times.sort();
        let p50 = times.get(times.len() / 2).copied().unwrap_or_default().as_secs_f64() * 1_000.0;
        println!("{:<10} {servers:>8} {limit:>10.0} {share:>14.3} {p50:>7.0} ms", n + 1);
        let is_within = limit >= servers as f64 && limit <= servers as f64 * LIMIT_MAX + A_FEW;
        is_held &= is_within && share >= DONE_MIN;
    }
    if is_fixed || is_held {
        return ExitCode::SUCCESS;
    }
    println!(
        "BROKEN: the limit is not between what the server does at once and {LIMIT_MAX} times that, or too little is done"
    );
    ExitCode::FAILURE
}

/// Keeps the looks, as lines of JSON.
fn keep(path: &Path, looks: &[Look]) -> Result<()> {
    let mut text = String::new();
    let mut before = (Duration::ZERO, 0);
    for look in looks {
        let seconds = (look.at - before.0).as_secs_f64();
        let line = json!({
            "at_s": look.at.as_secs_f64(),
            "limit": look.limit,
            "done_per_s": (look.done - before.1) as f64 / seconds,
            "p50_ms": look.p50.map(|p50| p50.as_secs_f64() * 1_000.0),
        });
        text += &format!("{line}\n");
        before = (look.at, look.done);
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

async fn look(called: &Called, log: &Path, began: Instant, fixed: Option<usize>) -> Result<Look> {
    let limit = match fixed {
        Some(limit) => limit as f64,
        None => {
            let limits: Value = super::limits(log).await?;
            limits["concurrency"][0]["limit"].as_f64().context("the host says what the limit is")?
        }
    };
    let mut took = std::mem::take(&mut *called.took.lock());
    took.sort();
    let p50 = took.get(took.len() / 2).copied();
    Ok(Look { at: began.elapsed(), limit, done: called.done.load(Ordering::Relaxed), p50 })
}

fn install(dir: &Path, sqs: &LocalSqs, sink: std::net::SocketAddr, concurrency: &str) -> Result<std::path::PathBuf> {
    let manifest = format!(
        "name = '{KIND}'\ntypes = ['{KIND}']\ntimeout = '30s'\nqueues = ['self']\nallowed_outbound_hosts = ['http://{sink}']\n"
    );
    let config = format!(
        "plugins_dir = '{dir}/plugins'\ncompile_cache = '{dir}/cache'\ngrant_all = true\ndrain_s = 5\n\
         aws = {{ endpoint_url = '{endpoint}', region = 'eu-central-1' }}\n\
         ledger = {{ store = 'local', path = '{dir}/ledger' }}\nadmin = {{ listen = '127.0.0.1:0' }}\n\
         egress = {{ open_hosts = ['{sink}'] }}\n\
         [queues.jobs]\ndlq = 'jobs-dlq'\nvisibility = '60s'\nwait = '1s'\nconcurrency = {concurrency}\n",
        dir = dir.display(),
        endpoint = sqs.endpoint_url(),
    );
    super::write(dir, &manifest, &config)
}

impl Called {
    /// Does so many calls at once from now on.
    fn serve(&self, servers: usize) {
        *self.servers.lock() = Some(Arc::new(Semaphore::new(servers)));
    }
}

async fn serve(called: Arc<Called>) -> Result<std::net::SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let router = Router::new().route("/{*name}", any(answer)).with_state(called);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            eprintln!("the server that is called has ended: {error}");
        }
    });
    Ok(addr)
}

async fn answer(State(called): State<Arc<Called>>) -> String {
    let came = clock::now();
    let servers = called.servers.lock().clone().expect("it serves before it is called");
    let _server = servers.acquire().await.expect("the semaphore is never closed");
    tokio::time::sleep(CALL).await;
    if !called.is_over.load(Ordering::Relaxed) {
        called.done.fetch_add(1, Ordering::Relaxed);
        called.took.lock().push(came.elapsed());
    }
    json!({ "do": "done" }).to_string()
}
