//! What a message costs the ledger in DynamoDB in processor time of the host: a claim and a
//! completion, in batches of ten, with the SDK alone and without its machinery, in alternation.
//! `cargo run --release --example dynamodb -- http://127.0.0.1:8000`, the address of a dynalite
//! (`node tests/clients/dynalite.mjs 8000`); docs/operate/performance.md has what it printed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;
use wasq::config::{AwsConfig, DynamodbConfig};
use wasq_core::clock;
use wasq_core::message::{BodyDigest, Key, MessageId};
use wasq_ledgers::dynamodb::DynamodbLedger;
use wasq_ledgers::{Claim, ClaimRequest, Finish, Ledger};

const CALLERS: usize = 2;
const BATCH: u64 = 10;
const ROUND: Duration = Duration::from_secs(5);
const ROUNDS: usize = 5;

#[tokio::main(worker_threads = 1)]
async fn main() -> Result<()> {
    let url = std::env::args().nth(1).context("say where DynamoDB is: http://HOST:PORT")?;
    let config = DynamodbConfig { endpoint_url: Some(url), create: true, ..DynamodbConfig::default() };
    let mut contestants = Vec::new();
    for (name, sdk_only) in [("by the SDK", true), ("direct", false)] {
        let aws = AwsConfig { sdk_only, ..AwsConfig::default() };
        contestants.push((name, DynamodbLedger::open(&config, &aws).await?, Vec::new()));
    }
    for _ in 0..ROUNDS {
        for (name, ledger, costs) in &mut contestants {
            costs.push(round(name, ledger).await?);
        }
    }
    for (name, _, costs) in &mut contestants {
        costs.sort_unstable_by(f64::total_cmp);
        println!("{name:10} median {:.1} µs of processor time a message", costs[ROUNDS / 2]);
    }
    Ok(())
}

/// Microseconds of processor time that a message took.
async fn round(name: &str, ledger: &DynamodbLedger) -> Result<f64> {
    let (begun, used) = (clock::now(), processor_time());
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let ledger = ledger.clone();
        callers.spawn(async move {
            let mut messages = 0;
            while begun.elapsed() < ROUND {
                batch(&ledger).await?;
                messages += BATCH;
            }
            Ok::<_, anyhow::Error>(messages)
        });
    }
    let mut messages = 0;
    for of_caller in callers.join_all().await {
        messages += of_caller?;
    }
    let cost_us = (processor_time() - used).as_secs_f64() * 1e6 / messages as f64;
    println!("{name:10} {:6.0} messages/s {cost_us:6.1} µs", messages as f64 / begun.elapsed().as_secs_f64());
    Ok(cost_us)
}

async fn batch(ledger: &DynamodbLedger) -> Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let first = NEXT.fetch_add(BATCH, Ordering::Relaxed);
    let run = clock::unix_ms().0;
    let claims: Vec<_> = (first..first + BATCH)
        .map(|n| {
            let (body, message_id) = (BodyDigest::of(b"body"), MessageId(format!("{n:036}")));
            let request = ClaimRequest { body, message_id, lease: Duration::from_secs(60), is_redelivery: false };
            (Key::derive(&[&run.to_le_bytes(), &n.to_le_bytes()]), request)
        })
        .collect();
    let mut ends = Vec::with_capacity(claims.len());
    for ((key, _), answer) in claims.iter().zip(ledger.claim_batch(&claims).await) {
        let Claim::Fresh(claim) = answer? else { bail!("the key is new") };
        let ttl = Duration::from_secs(14 * 24 * 60 * 60);
        ends.push((*key, claim.fence, Finish::Done { result: None, discarded: false, ttl }));
    }
    ledger.finish_batch(ends).await.into_iter().try_for_each(|answer| answer.map_err(Into::into))
}

fn processor_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().expect("it only grows")
}
