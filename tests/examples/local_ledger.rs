//! What the local ledger costs here: processor time of all threads for a claim and a completion, in
//! batches of ten and one by one, as fast as it goes and at 10,000 messages a second; and how long
//! it takes to start with many entries. `cargo run --release --example local_ledger [ENTRIES]`;
//! docs/internals/stores.md has what it printed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::task::JoinSet;
use wasq_core::clock;
use wasq_core::message::{BodyDigest, Key, MessageId};
use wasq_ledgers::local::LocalLedger;
use wasq_ledgers::{Claim, ClaimRequest, Finish, Ledger};

const ROUND: Duration = Duration::from_secs(5);
const ROUNDS: u32 = 3;
const ENTRIES: u64 = 1_000_000;
const PACED_A_SECOND: f64 = 10_000.0;

/// How long the claims of one batch took, and its completions.
type Waits = (Duration, Duration);

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let entries = std::env::args().nth(1).map_or(Ok(ENTRIES), |entries| entries.parse())?;
    for _ in 0..ROUNDS {
        for (callers, batch) in [(32, 10), (64, 1)] {
            let dir = tempfile::tempdir()?;
            let name = format!("{callers} callers, batches of {batch}");
            measure(&name, batch, dir.path(), |ledger| as_fast_as_it_goes(ledger, callers, batch, u64::MAX)).await?;
        }
        for batch in [10, 1] {
            let dir = tempfile::tempdir()?;
            measure(&format!("10,000/s, batches of {batch}"), batch, dir.path(), |ledger| paced(ledger, batch)).await?;
        }
    }
    let dir = tempfile::tempdir()?;
    let ledger = Arc::new(LocalLedger::open(dir.path())?);
    as_fast_as_it_goes(ledger.clone(), 64, 100, entries).await?;
    ledger.close();
    drop(ledger);
    let begun = clock::now();
    let ledger = LocalLedger::open(dir.path())?;
    let opened = begun.elapsed();
    claims_and_completion(&ledger, 1).await?;
    println!("{entries} entries: open after {opened:.1?}, the first message done after {:.1?}", begun.elapsed());
    Ok(())
}

async fn measure<F: Future<Output = Result<Vec<Waits>>>>(
    name: &str,
    batch: u64,
    dir: &Path,
    load: impl FnOnce(Arc<LocalLedger>) -> F,
) -> Result<()> {
    let ledger = Arc::new(LocalLedger::open(dir)?);
    let (begun, cpu) = (clock::now(), clock::process_cpu());
    let waits = load(ledger.clone()).await?;
    let took = begun.elapsed();
    ledger.close();
    let messages = (waits.len() as u64 * batch) as f64;
    let cpu_us = (clock::process_cpu() - cpu).as_secs_f64() * 1e6 / messages;
    let (mut claims, mut ends): (Vec<_>, Vec<_>) = waits.into_iter().unzip();
    let rate = messages / took.as_secs_f64();
    println!(
        "{name:27} {rate:6.0}/s {cpu_us:5.1} us of processor time   claim {}   completion {}",
        shown(&mut claims)?,
        shown(&mut ends)?
    );
    Ok(())
}

/// Each caller has one batch at a time, until the round is over or so many messages are done.
async fn as_fast_as_it_goes(ledger: Arc<LocalLedger>, callers: u64, batch: u64, messages: u64) -> Result<Vec<Waits>> {
    let begun = clock::now();
    let left = Arc::new(AtomicU64::new(messages / batch));
    let take = |left: u64| left.checked_sub(1);
    let mut all = JoinSet::new();
    for _ in 0..callers {
        let (ledger, left) = (ledger.clone(), left.clone());
        all.spawn(async move {
            let mut waits = Vec::new();
            let is_timed = messages == u64::MAX;
            while !(is_timed && begun.elapsed() > ROUND)
                && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
            {
                waits.push(claims_and_completion(&ledger, batch).await?);
            }
            Ok::<_, anyhow::Error>(waits)
        });
    }
    let waits = all.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(waits.concat())
}

async fn paced(ledger: Arc<LocalLedger>, batch: u64) -> Result<Vec<Waits>> {
    let begun = clock::now();
    let (mut all, mut sent) = (JoinSet::new(), 0);
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    while begun.elapsed() < ROUND {
        tick.tick().await;
        while sent + batch <= (begun.elapsed().as_secs_f64() * PACED_A_SECOND) as u64 {
            sent += batch;
            let ledger = ledger.clone();
            all.spawn(async move { claims_and_completion(&ledger, batch).await });
        }
    }
    all.join_all().await.into_iter().collect()
}

async fn claims_and_completion(ledger: &LocalLedger, batch: u64) -> Result<Waits> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let claims: Vec<_> = (0..batch)
        .map(|_| {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let (body, message_id) = (BodyDigest::of(b"body"), MessageId(format!("{n:036}")));
            let request = ClaimRequest { body, message_id, lease: Duration::from_secs(60), is_redelivery: false };
            (Key::derive(&[&n.to_le_bytes()]), request)
        })
        .collect();
    let begun = clock::now();
    let claimed = ledger.claim_batch(&claims).await;
    let claim_took = begun.elapsed();
    let ttl = Duration::from_secs(14 * 24 * 60 * 60);
    let ends = claims.iter().zip(claimed).map(|((key, _), claim)| {
        let Claim::Fresh(fresh) = claim? else { bail!("the key is new") };
        Ok((*key, fresh.fence, Finish::Done { result: None, discarded: false, ttl }))
    });
    for ended in ledger.finish_batch(ends.collect::<Result<_>>()?).await {
        ended?;
    }
    Ok((claim_took, begun.elapsed() - claim_took))
}

fn shown(waits: &mut [Duration]) -> Result<String> {
    waits.sort_unstable();
    let at = |part: f64| {
        let wait = waits.get((waits.len() as f64 * part) as usize).context("nothing was done")?;
        Ok::<_, anyhow::Error>(wait.as_secs_f64() * 1e3)
    };
    Ok(format!("p50 {:6.3}, p99 {:6.3}, p99.9 {:6.2} ms", at(0.5)?, at(0.99)?, at(0.999)?))
}
