//! A store that goes away and comes back, and a process that dies.

use std::sync::Arc;
use std::time::Duration;

use wasq_ledgers::timers::{Timers, When};
use wasq_ledgers::{Fence, Ledger, LedgerError};
use wasq_tests::servers::{PASSWORD, Server};

use super::{FAR, Update, done, id, past, set, soon, take_none, take_one, timer};
use crate::ledger::contract::LONG;
use crate::ledger::dynamodb::proxy::{Proxy, Trouble};
use crate::ledger::dynamodb::servers;
use crate::ledger::{dynamodb, local, postgres, redis};
use crate::support::servers::started;

/// How long an operation may take when the server is gone, with what a busy machine adds.
const GIVES_UP: Duration = Duration::from_secs(15);

fn is_unavailable<T: std::fmt::Debug>(answer: &Result<T, LedgerError>) {
    let Err(LedgerError::Unavailable(reason)) = answer else { panic!("{answer:?}") };
    assert!(!reason.contains(PASSWORD), "{reason}");
}

/// Every operation fails in time as long as the store is away, and goes well again by itself when
/// it is back; what was there before is there.
async fn outage<S>(timers: &dyn Timers, store: &mut S, away: impl Fn(&mut S), back: impl Fn(&mut S)) {
    set(timers, vec![timer("before", past(1)), timer("later", FAR)]).await;
    away(store);
    let answers = async {
        let update = Update { id: id("later"), fence: Fence(1), due: When::NOW, message: None };
        let (new, ended, later) = (vec![timer("new", FAR)], [(id("before"), Fence(1))], [id("later")]);
        tokio::join!(
            timers.set_batch(new),
            timers.take_due(LONG, 10),
            timers.done_batch(&ended),
            timers.update_batch(vec![update]),
            timers.cancel_batch(&later),
            timers.get(&later[0]),
            timers.list(10, None),
            timers.counts(),
        )
    };
    let answers = tokio::time::timeout(GIVES_UP, answers).await.expect("they give up in time");
    is_unavailable(&answers.0[0]);
    is_unavailable(&answers.1);
    is_unavailable(&answers.2[0]);
    is_unavailable(&answers.3[0]);
    is_unavailable(&answers.4[0]);
    is_unavailable(&answers.5);
    is_unavailable(&answers.6);
    is_unavailable(&answers.7);
    back(store);
    // Said again, for good or for the first time.
    soon("it works again", async || timers.set_batch(vec![timer("new", FAR)]).await.remove(0).ok()).await;
    let taken = soon("what was set before is taken", async || timers.take_due(LONG, 10).await.ok()?.taken.pop()).await;
    assert_eq!(taken.id, id("before"));
    assert!(done(timers, &taken.id, taken.fence).await.expect("it is ours"));
    timers.cancel_batch(&[id("later"), id("new")]).await;
    assert_eq!(timers.counts().await.expect("it answers").all, 0);
}

fn timers_of(ledger: &dyn Ledger) -> Arc<dyn Timers> {
    ledger.timers("shop").expect("it keeps timers")
}

async fn stopped_and_killed(timers: &dyn Timers, server: &mut Server) {
    outage(timers, server, |server| server.stop().expect("it obeys"), |server| server.cont().expect("it obeys")).await;
    outage(
        timers,
        server,
        |server| server.kill().expect("it obeys"),
        |server| {
            server.restart().expect("it obeys");
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_redis() {
    let mut server = started(Server::redis());
    let ledger = redis::open(&redis::config(&server, "wasq")).await;
    stopped_and_killed(&*timers_of(&ledger), &mut server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_postgresql() {
    let mut server = started(Server::postgres());
    let ledger = postgres::open(&postgres::config(&server, "wasq")).await;
    stopped_and_killed(&*timers_of(&ledger), &mut server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_dynamodb() {
    let mut proxy = Proxy::new(&servers::dynalite().address);
    let ledger = dynamodb::open(&proxy.url()).await;
    let timers = ledger.timers(&crate::ledger::contract::new_key().to_hex()).expect("it keeps timers");
    for trouble in [Trouble::Answers(500, "InternalServerError"), Trouble::Answers(400, "AccessDeniedException")] {
        outage(&*timers, &mut proxy, |proxy| proxy.make(trouble.clone()), |proxy| proxy.make(Trouble::None)).await;
    }
}

/// The leases die with their process.
#[tokio::test]
async fn what_a_process_had_in_hand_is_due_when_it_starts_again() {
    let (ledger, dir) = local::open_shared().await;
    let timers = timers_of(&*ledger);
    set(&*timers, vec![timer("a", past(1)), timer("later", FAR)]).await;
    let before = take_one(&*timers, LONG).await;
    drop((ledger, timers));
    let ledger = wasq_ledgers::local::LocalLedger::open(dir.path()).expect("the ledger opens");
    let timers = timers_of(&ledger);
    let after = take_one(&*timers, LONG).await;
    assert!(after.fence > before.fence);
    assert_eq!(after.message, before.message);
    take_none(&*timers).await;
}
