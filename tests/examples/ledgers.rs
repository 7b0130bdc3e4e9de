//! Messages a second that each ledger takes here: a claim and a completion each, with 16 callers,
//! on a real server that syncs. `cargo run --example ledgers`; docs/operate/ledgers.md has what it
//! printed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::task::JoinSet;
use wasq::config::{PostgresConfig, RedisConfig, Secret};
use wasq_core::clock;
use wasq_core::message::{BodyDigest, Key, MessageId};
use wasq_ledgers::local::LocalLedger;
use wasq_ledgers::postgres::PostgresLedger;
use wasq_ledgers::redis::RedisLedger;
use wasq_ledgers::{Claim, ClaimRequest, Finish, Ledger};
use wasq_tests::servers::Server;

const CALLERS: u64 = 16;
const ROUND: Duration = Duration::from_secs(5);
const ROUNDS: u32 = 3;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let local: Arc<dyn Ledger> = Arc::new(LocalLedger::open(dir.path())?);
    let (redis_server, postgres_server) = (Server::redis()?, Server::postgres_with(&[])?);
    let redis = RedisConfig { url: Some(Secret(redis_server.url())), ..RedisConfig::default() };
    let redis: Arc<dyn Ledger> = Arc::new(RedisLedger::open(&redis).await?);
    let postgres = PostgresConfig { url: Some(Secret(postgres_server.url())), ..PostgresConfig::default() };
    let postgres: Arc<dyn Ledger> = Arc::new(PostgresLedger::open(&postgres).await?);
    for _ in 0..ROUNDS {
        for (name, ledger) in [("local", &local), ("redis", &redis), ("postgres", &postgres)] {
            round(name, ledger).await?;
        }
    }
    Ok(())
}

async fn round(name: &str, ledger: &Arc<dyn Ledger>) -> Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let begun = clock::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let ledger = ledger.clone();
        callers.spawn(async move {
            let mut waits = Vec::new();
            while begun.elapsed() < ROUND {
                let n = NEXT.fetch_add(1, Ordering::Relaxed);
                let key = Key::derive(&[&n.to_le_bytes()]);
                let lease = Duration::from_secs(60);
                let (body, message_id) = (BodyDigest::of(b"body"), MessageId(format!("{n:036}")));
                let request = ClaimRequest { body, message_id, lease, is_redelivery: false };
                let asked = clock::now();
                let Claim::Fresh(claim) = ledger.claim(key, &request).await? else { bail!("the key is new") };
                let claimed = asked.elapsed();
                let ttl = Duration::from_secs(14 * 24 * 60 * 60);
                ledger.finish(key, claim.fence, Finish::Done { result: None, discarded: false, ttl }).await?;
                waits.push((claimed, asked.elapsed() - claimed));
            }
            Ok(waits)
        });
    }
    let mut waits = Vec::new();
    for of_caller in callers.join_all().await {
        waits.extend(of_caller?);
    }
    let took = begun.elapsed();
    let (mut claims, mut finishes): (Vec<_>, Vec<_>) = waits.into_iter().unzip();
    let rate = claims.len() as f64 / took.as_secs_f64();
    println!("{name:9} {rate:6.0} messages/s   claim {}   completion {}", shown(&mut claims)?, shown(&mut finishes)?);
    Ok(())
}

fn shown(waits: &mut [Duration]) -> Result<String> {
    waits.sort_unstable();
    let at = |part: f64| {
        let wait = waits.get((waits.len() as f64 * part) as usize).context("nothing was done")?;
        Ok::<_, anyhow::Error>(wait.as_secs_f64() * 1e3)
    };
    Ok(format!("p50 {:5.2} ms, p99 {:6.2} ms", at(0.5)?, at(0.99)?))
}
