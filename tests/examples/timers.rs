//! What a timer costs in each store: set, taken and done in batches, beside many that wait.
//!
//! `cargo run --example timers -- [WAITING]` makes the table of docs/internals/timers.md.
//! `dynalite` is a server in Node on this machine: of DynamoDB only the host's own time counts.

mod stores;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use wasq_core::clock;
use wasq_core::message::UnixMs;
use wasq_ledgers::Ledger;
use wasq_ledgers::timers::{NewTimer, TimerId, Timers, When};

use stores::Stores;

/// Timers that wait for later, unless the command says how many.
const WAITING: usize = 100_000;
/// Timers in one call.
const BATCH: usize = 100;
/// Timers that are set, taken and done.
const TIMERS: usize = 5_000;
const LEASE: Duration = Duration::from_secs(60);
const IDLE_LOOKS: u32 = 200;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let waiting = std::env::args().nth(1).map_or(Ok(WAITING), |text| text.parse())?;
    round("local", &*Stores::local()?.ledger().await?, waiting).await?;
    round("redis", &*Stores::redis()?.ledger().await?, waiting).await?;
    round("postgres", &*Stores::postgres()?.ledger().await?, waiting).await?;
    round("dynalite", &*Stores::dynalite()?.ledger().await?, waiting / 50).await
}

async fn round(name: &str, ledger: &dyn Ledger, waiting: usize) -> Result<()> {
    let timers = ledger.timers("shop").context("it keeps timers")?;
    for at in (0..waiting).step_by(BATCH) {
        set(&*timers, at..at + BATCH, "waits", When::In(Duration::from_secs(86_400 * 30))).await?;
    }
    let (mut cells, took) = (Vec::new(), clock::now());
    for at in (0..TIMERS).step_by(BATCH) {
        set(&*timers, at..at + BATCH, "due", When::At(UnixMs(1_000_000))).await?;
    }
    cells.push(("set", took.elapsed()));
    let (mut taking, mut ending, mut seen) = (Duration::ZERO, Duration::ZERO, 0);
    let cpu = clock::process_cpu();
    while seen < TIMERS {
        let began = clock::now();
        let due = timers.take_due(LEASE, BATCH).await?;
        taking += began.elapsed();
        seen += due.taken.len();
        let ends: Vec<_> = due.taken.into_iter().map(|taken| (taken.id, taken.fence)).collect();
        let began = clock::now();
        for answer in timers.done_batch(&ends).await {
            ensure!(answer?, "a timer was gone");
        }
        ending += began.elapsed();
    }
    let cpu = clock::process_cpu() - cpu;
    cells.extend([("take", taking), ("done", ending)]);
    let began = clock::now();
    for _ in 0..IDLE_LOOKS {
        ensure!(timers.take_due(LEASE, BATCH).await?.taken.is_empty(), "nothing is due");
    }
    let idle = began.elapsed() / IDLE_LOOKS;
    print!("{name:9} {waiting:7} waiting");
    for (what, took) in cells {
        print!("   {what} {:6.0}/s", TIMERS as f64 / took.as_secs_f64());
    }
    println!("   host {:5.1} us a timer   idle look {idle:.1?}", cpu.as_secs_f64() * 1e6 / TIMERS as f64);
    Ok(())
}

async fn set(timers: &dyn Timers, which: std::ops::Range<usize>, name: &str, due: When) -> Result<()> {
    let new =
        |n| NewTimer { id: TimerId(format!("{name} {n}")), due, queue: "mail".into(), message: vec![b'm'; 500].into() };
    for answer in timers.set_batch(which.map(new).collect()).await {
        answer?;
    }
    Ok(())
}
