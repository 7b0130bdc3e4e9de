//! How late timers are sent when very many are due: two hosts on one store, and a queue that takes
//! everything at once.
//!
//! `cargo run --release --example lateness -- [A_SECOND]` makes the figures of
//! docs/internals/timers.md.

mod stores;

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;
use wasq::timers::schedules::Schedules;
use wasq::timers::{TimerStore, encode, send_due};
use wasq_core::clock::{self, SystemClock};
use wasq_core::message::{Delivery, MessageId, Receipt, UnixMs};
use wasq_ledgers::timers::{NewTimer, TimerId, When};
use wasq_queues::{MaximumMessageSize, Outgoing, Outlet, Outlets, Queue, QueueError};

use stores::Stores;

/// Timers that are due in a second, unless the command says how many, and for how long.
const A_SECOND: u64 = 10_000;
const SECONDS: u64 = 5;
const HOSTS: usize = 2;
const BATCH: u64 = 500;
/// What is due is set so long before the first of it.
const AHEAD: Duration = Duration::from_secs(25);

fn main() -> Result<()> {
    let a_second = std::env::args().nth(1).map_or(Ok(A_SECOND), |text| text.parse())?;
    round("local, 1 host", &Stores::local()?, 1, a_second)?;
    round("redis, 2 hosts", &Stores::redis()?, HOSTS, a_second)?;
    round("postgres, 2 hosts", &Stores::postgres()?, HOSTS, a_second)
}

fn round(name: &str, store: &Stores, hosts: usize, a_second: u64) -> Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let ledger = runtime.block_on(store.ledger())?;
    let first = UnixMs(clock::unix_ms().0 + AHEAD.as_millis() as u64);
    let all = a_second * SECONDS;
    runtime.block_on(async {
        let timers = ledger.timers("shop").context("it keeps timers")?;
        for at in (0..all).step_by(BATCH as usize) {
            let set = timers.set_batch((at..at + BATCH).map(|n| timer(n, first, a_second)).collect()).await;
            set.into_iter().try_for_each(|answer| answer.map(drop))?;
        }
        anyhow::Ok(())
    })?;
    ensure!(clock::unix_ms() < first, "it took longer than {AHEAD:?} to set them");
    let taken = Arc::new(Taken::default());
    let stop = CancellationToken::new();
    let cpu = clock::process_cpu();
    thread::scope(|scope| {
        for host in 0..hosts {
            let (taken, stop, ledger) = (taken.clone(), stop.clone(), (host == 0).then(|| ledger.clone()));
            scope.spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
                runtime.block_on(async {
                    let ledger = match ledger {
                        Some(ledger) => ledger,
                        None => store.ledger().await.expect("the store answers"),
                    };
                    let timers = TimerStore::of(&*ledger, "shop").expect("it keeps timers");
                    let outlet = Outlet { queue: taken, max_bytes: MaximumMessageSize::default() };
                    let outlets: Outlets = [("mail".to_owned(), outlet)].into();
                    send_due(&timers, &*ledger, &Schedules::default(), &outlets, &SystemClock, stop).await;
                });
            });
        }
        while taken.0.lock().len() < all as usize && clock::unix_ms().0 < first.0 + 120_000 {
            thread::sleep(Duration::from_millis(50));
        }
        stop.cancel();
    });
    let mut late = taken.0.lock().clone();
    late.sort_unstable();
    let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize];
    let cpu_us = (clock::process_cpu() - cpu).as_secs_f64() * 1e6 / late.len() as f64;
    println!(
        "{name:18} {a_second} due a second, {} of {all} sent: p50 {} ms, p99 {} ms, most {} ms late; host {cpu_us:.0} us each",
        late.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}

fn timer(n: u64, first: UnixMs, a_second: u64) -> NewTimer {
    let due = first.0 + n * 1_000 / a_second;
    let body = due.to_string().into();
    let message = Outgoing { body, attributes: Default::default(), delay_s: 0, group: None, deduplication_id: None };
    let id = TimerId(format!("due {n}"));
    NewTimer { id, due: When::At(UnixMs(due)), queue: "mail".into(), message: encode(&message, None) }
}

/// A queue that takes everything, and notes how late it was, in milliseconds.
#[derive(Default)]
struct Taken(Mutex<Vec<u64>>);

#[async_trait]
impl Queue for Taken {
    fn name(&self) -> &str {
        "mail"
    }

    async fn receive(&self, _: usize, _: Duration, _: Duration) -> Result<Vec<Delivery>, QueueError> {
        Ok(Vec::new())
    }

    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<(), QueueError>> {
        receipts.iter().map(|_| Ok(())).collect()
    }

    async fn change_visibility(&self, changes: &[(Receipt, u32)]) -> Vec<Result<(), QueueError>> {
        changes.iter().map(|_| Ok(())).collect()
    }

    async fn send(&self, messages: &[Outgoing]) -> Vec<Result<MessageId, QueueError>> {
        let now = clock::unix_ms().0;
        let due = |message: &Outgoing| str::from_utf8(&message.body).ok()?.parse::<u64>().ok();
        self.0.lock().extend(messages.iter().filter_map(due).map(|due| now.saturating_sub(due)));
        messages.iter().map(|_| Ok(MessageId("sent".into()))).collect()
    }

    async fn attributes(&self) -> Result<HashMap<String, String>, QueueError> {
        Ok(HashMap::new())
    }
}
